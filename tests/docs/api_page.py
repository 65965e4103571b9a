"""docs/api.md, from `isocline.__all__` and `isocline.dispatch`: `python -m tests.docs.api_page`."""

import inspect
import re
from pathlib import Path

import isocline
from isocline import dispatch

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
HEAD = """# Public names

The public names of `import isocline`, with signatures and the first lines of their documentation.
`help(isocline)` is an overview, and `help(isocline.plan)`, for example, lists the parameters, the
result and the exceptions of one name. Functions make results, which have the fields listed here.
`python -m tests.docs.api_page` writes this page.
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


def signature(name: str, home: object = isocline) -> str:
    """Names and defaults of the parameters; annotations are left to `help`."""
    thing = getattr(home, name)
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


def first_line(name: str, home: object = isocline) -> str:
    thing = getattr(home, name)
    return (inspect.getdoc(thing) or "").partition("\n")[0]


def fields(name: str) -> list[str]:
    """Of a class of `isocline.dispatch`: the fields that its docstring lists, a line each."""
    documented = inspect.getdoc(getattr(dispatch, name)) or ""
    _, _, listed = documented.partition("\nAttributes:\n")
    found = re.split(r"\n    (?=\w+: )", "\n" + listed.partition("\n\n")[0].rstrip())[1:]
    return [re.sub(r"\s+", " ", re.sub(r"^(\w+):", r"`\1`:", one)) for one in found]


def scheduler_part() -> list[str]:
    """Names that are in `isocline.dispatch` alone: settings with their fields, then errors."""
    parts = ["\n## The scheduler: `isocline.dispatch`\n"]
    errors = [name for name in dispatch.__all__ if name.endswith("Error")]
    for name in (*sorted(set(dispatch.__all__) - {*errors, *isocline.__all__}), *errors):
        shown = name if name in errors else signature(name, dispatch)
        parts.append(f"\n- `{shown}`<br>\n  {first_line(name, dispatch)}")
        if name in ("Rules", "Settings"):
            parts += [f"\n  - {field}" for field in fields(name)]
    return [*parts, "\n"]


def page() -> str:
    parts = [HEAD]
    for title, names in grouped().items():
        parts.append(f"\n## {title}\n")
        parts += [f"\n- `{signature(name)}`<br>\n  {first_line(name)}" for name in names]
        parts.append("\n")
    return "".join([*parts, *scheduler_part()])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
