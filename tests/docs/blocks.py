"""Blocks of code in the pages, and what a page says of how they are run.

A comment before a block, which no reader sees, says what is done with it:

- `<!-- not run: REASON -->`: it cannot run here;
- `<!-- file: NAME -->`: it is written to this file, which later blocks of the page use.

A command that ends in `&` goes on running until the page ends.
A comment `<!-- before the examples:` with lines of Python is run before the first block of Python.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import final

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")],
    key=lambda page: page.relative_to(ROOT).as_posix(),
)
# Copies that the site makes.
PAGES = [page for page in PAGES if page.name not in ("changes.md", "contributing.md")]

_BLOCK = re.compile(
    r"(?:^<!-- (?P<marker>[^\n]*) -->\n)?^(?P<indent> *)```(?P<language>\w*)\n"
    r"(?P<text>.*?)^(?P=indent)```$",
    re.DOTALL | re.MULTILINE,
)
_BEFORE = re.compile(r"^<!-- before the examples:\n(.*?)^-->$", re.DOTALL | re.MULTILINE)


@final
@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int  # of its fence
    language: str
    text: str
    marker: str  # of the comment before it; "": none

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def why_not(self) -> str:
        """The reason for which it is not run; "": it is."""
        return self.marker.removeprefix("not run: ") if self.marker.startswith("not run") else ""


@final
@dataclass(frozen=True)
class Command:
    """A command of a console block, and what the block shows of its output; ... stands for any."""

    text: str
    shown: str


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page, in its order."""
    text = page.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        line = text.count("\n", 0, found.start("indent")) + 1
        body = re.sub(rf"^{found['indent']}", "", found["text"], flags=re.MULTILINE)
        yield Block(page, line, found["language"], body, found["marker"] or "")


def before(page: Path) -> str:
    """Python that is run before a page's own."""
    found = _BEFORE.search(page.read_text(encoding="utf-8"))
    return found[1] if found else ""


def commands(block: Block) -> list[Command]:
    """The commands of a console block: `$ ` begins one, `> ` and a backslash continue it."""
    found: list[Command] = []
    for line in block.text.splitlines():
        going_on = found and (found[-1].text.endswith("\\") or line.startswith("> "))
        if line.startswith("$ "):
            found.append(Command(line.removeprefix("$ "), ""))
        elif going_on and not found[-1].shown:
            more = line.removeprefix("> ")
            found[-1] = Command(f"{found[-1].text}\n{more}", "")
        elif found:
            found[-1] = Command(found[-1].text, f"{found[-1].shown}{line}\n")
    return found


def agrees(shown: str, output: str) -> bool:
    """Whether an output is as shown.

    A line of three dots stands for any lines, or none, and three dots within a line for anything
    there. Spaces at the ends of lines do not count.
    """
    pattern = "".join(
        r"(?:.*\n)*" if line == "..." else ".*".join(map(re.escape, line.split("..."))) + r"\n"
        for line in _trimmed(shown).splitlines()
    )
    return re.fullmatch(pattern, _trimmed(output) + "\n") is not None


def _trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())
