"""docs/api.md, written from `isocline.__all__`: `python -m tests.docs.api_page`."""

import inspect
import re
from pathlib import Path

import isocline

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
HEAD = """# Public names

All that `import isocline` offers, with signatures and first lines. `help(isocline)` is the overview
of it, and `help(isocline.plan)`, say, has what a name takes, returns and raises. Results are made
by functions, and have the fields that are listed. `python -m tests.docs.api_page` writes this page.
"""


def grouped() -> dict[str, list[str]]:
    """The public names by the sections of `help(isocline)`, in its order."""
    groups: dict[str, list[str]] = {}
    lines = inspect.getdoc(isocline) or ""
    for section in re.split(r"\n(?=[A-Z][\w ]+\n {4}\S)", lines)[1:]:
        title, _, body = section.partition("\n")
        body = body.partition("\n\n")[0]
        # A line of a function starts with its name; elsewhere names stand in running text, where
        # only those of classes cannot be mistaken for words.
        functions = re.findall(r"^ {4}(\w+) {2,}", body, re.MULTILINE)
        classes = re.findall(r"\b[A-Z]\w+", body)
        words = [w.removesuffix("s") if w not in isocline.__all__ else w for w in classes]
        groups[title] = [w for w in dict.fromkeys(functions + words) if w in isocline.__all__]
    return groups


def signature(name: str) -> str:
    """Names and defaults of the parameters; annotations are left to `help`."""
    thing = getattr(isocline, name)
    try:
        found = inspect.signature(thing)
    except ValueError:  # of a built-in exception
        return name
    bare = [
        one.replace(annotation=one.empty, default=_default(one.default))
        for one in found.parameters.values()
    ]
    return name + str(inspect.Signature(bare))


class _Name:
    """A default that is written as its name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


def _default(value: object) -> object:
    if value is inspect.Parameter.empty:
        return value
    if inspect.isroutine(value):
        return _Name(value.__name__)
    return _Name("...") if value is ... or re.search(r" at 0x|^<", repr(value)) else value


def first_line(name: str) -> str:
    thing = getattr(isocline, name)
    return (inspect.getdoc(thing) or "").partition("\n")[0]


def page() -> str:
    parts = [HEAD]
    for title, names in grouped().items():
        parts.append(f"\n## {title}\n")
        parts += [f"\n- `{signature(name)}`<br>\n  {first_line(name)}" for name in names]
        parts.append("\n")
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
