"""Pages of the verbs, from the command line itself: `python -m tests.docs.verb_pages`."""

import re
from collections.abc import Iterator
from pathlib import Path

import click

from isocline.cli import _options
from tests.cli.verbs import above, verbs

FOLDER = Path(__file__).parents[2] / "docs" / "verbs"
MADE = (
    "<!-- Made by `python -m tests.docs.verb_pages` from the command line; do not edit it here. -->"
)
# Where a verb is explained with examples; a verb without an entry has its reference alone.
GUIDES = {
    "audit": ["../guides/is-my-router-any-good.md"],
    "backend": ["../backend-and-load.md"],
    "curves": ["../learning.md", "../guides/curves-from-a-benchmark.md"],
    "demo": ["../demo.md"],
    "discover": ["../discovery.md"],
    "fleet": ["../guides/cheapest-fleet.md"],
    "fluid": ["../fluid.md"],
    "load": ["../backend-and-load.md"],
    "measure": ["../guides/curves-from-a-benchmark.md"],
    "plan": ["../theory.md", "../near-data-plan.md", "../guides/what-if.md"],
    "policies": ["../choosing.md"],
    "replay": ["../guides/is-my-router-any-good.md"],
    "reproduce": ["../reproduce.md"],
    "run": ["../start/scheduled-task.md", "../dispatch.md"],
    "serve": ["../start/routed-request.md", "../serve.md", "../discovery.md"],
    "simulate": ["../mechanisms.md", "../choosing.md", "../clusters.md", "../guides/what-if.md"],
    "warm": ["../images.md"],
}
INDEX = """# Verbs

`isocline VERB --help` shows what these pages have. Every verb takes `--json`; those that draw
take `--out DIR`, and `--dark` for dark slides. Exit status: 0 done, 1 the answer is negative
(infeasible, unstable), 2 wrong usage or a bad file, 130 stopped by Ctrl-C.

"""


def page(name: str, verb: click.Command) -> str:
    """The page of one verb: usage, description, guides, options by group."""
    context = click.Context(verb, info_name=name, parent=above())
    usage = " ".join([context.command_path, *verb.collect_usage_pieces(context)])
    usage = usage.replace("[[", "[").replace("]]", "]")  # click before 8.3
    parts = [f"# isocline {name}", MADE, f"```text\n{usage}\n```", *_description(verb)]
    guides = [f"[{_title(guide)}]({guide})" for guide in GUIDES.get(name, [])]
    if guides:
        parts.append(f"With examples: {', '.join(guides)}.")
    for heading, rows in _groups(context, verb).items():
        parts.append("\n".join([f"## {heading}", "", *_table(rows)]))
    return "\n\n".join(parts) + "\n"


def pages() -> dict[str, str]:
    """All pages by file name."""
    found = verbs()
    lines = [f"| [`{name}`]({name}.md) | {_first_sentence(verb)} |" for name, verb in found.items()]
    index = INDEX + MADE + "\n\n" + "\n".join(["| verb | |", "|---|---|", *lines]) + "\n"
    return {"index.md": index} | {f"{name}.md": page(name, verb) for name, verb in found.items()}


def _description(verb: click.Command) -> Iterator[str]:
    """Paragraphs of the docstring; what click must not rewrap is shown as it is."""
    for paragraph in (verb.help or "").partition("\f")[0].split("\n\n"):
        if paragraph.startswith("\b"):
            yield "```text\n" + paragraph.removeprefix("\b\n").rstrip() + "\n```"
        elif paragraph.strip():
            yield _prose(" ".join(paragraph.split()))


def _groups(context: click.Context, verb: click.Command) -> dict[str, list[tuple[str, ...]]]:
    """Cells of the options by heading: in the order of the help, with Output last."""
    groups: dict[str, list[tuple[str, ...]]] = {}
    for parameter in verb.get_params(context):
        record = parameter.get_help_record(context)
        if record is None or not isinstance(parameter, click.Option):
            continue
        heading = parameter.group if isinstance(parameter, _options.Option) else _options.OUTPUT
        groups.setdefault(heading, []).append(_cells(*record))
    output = groups.pop(_options.OUTPUT, [])
    return groups | {_options.OUTPUT: output}


def _cells(declared: str, said: str) -> tuple[str, ...]:
    """Option, meaning, default, and what it applies to: the two that click appends in brackets."""
    text, brackets = " ".join(said.split()), list[str]()
    while found := re.fullmatch(r"(.*?) ?\[([^][]*)\]", text):
        text, last = found.groups()
        brackets.insert(0, last)
    parts = [part.strip() for one in brackets for part in one.split(";")]
    default = [part.removeprefix("default: ") for part in parts if part.startswith("default: ")]
    # A text may have a bracket of its own at its end, as "[default: ...; kind: routing]" has none.
    applies = [part for part in parts if not part.startswith("default: ")]
    option = f"`{declared.replace('|', chr(92) + '|')}`"
    return option, _cell(text), _cell("; ".join(default)), "; ".join(map(_applies, applies))


def _applies(part: str) -> str:
    """`with` and `not with` before options, each with its value, as code."""
    word, found, options = part.partition("with ")
    if not found:
        return _cell(part)
    return f"{word}with {', '.join(f'`{option}`' for option in options.split(', '))}"


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    """The rows as a table, without a column that is empty in all."""
    heads = ("option", "", "default", "applies")
    kept = [i for i in range(len(heads)) if i < 2 or any(row[i] for row in rows)]
    lines = [
        [heads[i] for i in kept],
        ["---"] * len(kept),
        *([row[i] for i in kept] for row in rows),
    ]
    return [f"| {' | '.join(line)} |" for line in lines]


def _cell(text: str) -> str:
    return _prose(" ".join(text.split())).replace("|", "\\|")


def _prose(text: str) -> str:
    """Plain text of a help as Markdown: names of options as code, nothing else as markup."""
    text = re.sub(r"([*_<>\[\]])", r"\\\1", text)
    return re.sub(r"(?<![\w`-])(--[a-z][a-z-]*)", r"`\1`", text)


def _first_sentence(verb: click.Command) -> str:
    return _cell(verb.get_short_help_str(limit=120))


def _title(guide: str) -> str:
    text = (FOLDER / guide).read_text(encoding="utf-8")
    return text.partition("\n")[0].removeprefix("# ")


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for file, text in pages().items():
        (FOLDER / file).write_text(text, encoding="utf-8")
