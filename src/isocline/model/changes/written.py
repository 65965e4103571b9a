"""Written changes, as `h100=1`, `l4=2@chat` and `chat=x1.5`, as records."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, NoReturn, final

from isocline.arguments import in_one_line, is_number
from isocline.errors import UsageError
from isocline.plural import stem_of

Written = str | Sequence[str] | Mapping[str, int]
"""One change, or several, each `NAME` or `NAME=COUNT`; or counts by name."""
WrittenRates = str | Sequence[str] | Mapping[str, float]
"""One rate, or several, each `NAME=RATE`, `NAME=xFACTOR` or `xFACTOR`; or rates by name."""

# A slip of the finger beyond it; a fleet of so many is planned in a minute.
MOST = 100_000
_ADDED = re.compile(r"(?P<name>.+?)(?:=(?P<count>[^=@]*))?(?:@(?P<frontends>[^=@]*))?", re.DOTALL)
_REMOVED = re.compile(r"(?P<name>.+?)(?:=(?P<count>[^=]*))?", re.DOTALL)


@final
@dataclass(frozen=True)
class Addition:
    """Copies of a machine."""

    name: str
    count: int
    frontends: tuple[str, ...] = ()  # that may use the copies; (): those that may use the original

    def __str__(self) -> str:
        only = f" for {', '.join(self.frontends)}" if self.frontends else ""
        return f"+{self.count} {self.name}{only}"


@final
@dataclass(frozen=True)
class Removal:
    """Machines, or a frontend, taken away."""

    name: str
    count: int
    is_frontend: bool = False  # and no machine; the system tells

    def __str__(self) -> str:
        return f"without {self.name}" if self.is_frontend else f"−{self.count} {self.name}"


@final
@dataclass(frozen=True)
class NewRate:
    """Arrival rate of frontends, or of all tasks of a cluster."""

    name: str | None  # a name or a pattern; None: all
    value: float  # jobs/s, or the factor
    is_factor: bool

    @property
    def text(self) -> str:
        """As it is written."""
        value = f"{'x' if self.is_factor else ''}{self.value:g}"
        return value if self.name is None else f"{self.name}={value}"

    def __str__(self) -> str:
        whose = "arrivals" if self.name is None else self.name
        return f"{whose} × {self.value:g}" if self.is_factor else f"{whose} at {self.value:g}/s"


@final
class Changes(NamedTuple):
    """Changes in the order in which they are made."""

    additions: tuple[Addition, ...] = ()
    removals: tuple[Removal, ...] = ()
    rates: tuple[NewRate, ...] = ()

    @property
    def in_words(self) -> str:
        """As in the title of a table."""
        return ", ".join(map(str, (*self.additions, *self.removals, *self.rates)))

    def to_dict(self) -> dict[str, Any]:
        """The key `changes` in JSON documents."""
        return {
            "add": [asdict(it) | {"frontends": list(it.frontends)} for it in self.additions],
            "remove": [asdict(it) for it in self.removals],
            "rates": [asdict(it) for it in self.rates],
        }


def changes_in(add: Written = (), remove: Written = (), rates: WrittenRates = ()) -> Changes:
    """Read changes.

    Raises:
        UsageError: One is not written as it should be; the message shows how.
    """
    return Changes(
        tuple(map(_addition, _texts("add", add))),
        tuple(map(_removal, _texts("remove", remove))),
        tuple(map(_rate, _texts("rate", rates))),
    )


def next_names(stem: str, taken: Iterable[str], count: int) -> list[str]:
    """Name copies: `count` numbered names that are free, after those of this stem.

    They are numbered as their siblings are, h100-5 after h100-4 and a3 after a2. Copies of a
    machine that has no numbered sibling begin with 2, for it is the first itself.
    """
    known = set(taken)
    numbered = [re.fullmatch(r"([-_. ]*)(\d+)", name.removeprefix(stem)) for name in known
                if name.startswith(stem) and name != stem and stem_of(name) == stem]  # fmt: skip
    last = max((int(m[2]), m[1]) for m in numbered if m) if any(numbered) else None
    mark, number = (last[1], last[0]) if last else ("-", 1 if stem in known else 0)
    found: list[str] = []
    while len(found) < count:
        number += 1
        name = f"{stem}{mark}{number}"
        if name not in known:
            found.append(name)
    return found


def siblings(name: str, names: Sequence[str]) -> list[int]:
    """Return the places of a name and of its numbered siblings, by number; [] where none is."""
    found = [i for i, one in enumerate(names) if one == name]
    numbered = [i for i, one in enumerate(names) if one != name and stem_of(one) == name]
    return found + sorted(numbered, key=lambda i: (_number(names[i]), i))


def _number(name: str) -> int:
    match = re.search(r"\d+$", name)
    # As long a number as the longest of a name; int() refuses what has thousands of digits.
    return int(match[0][-18:]) if match else 0


def _texts(what: str, given: Written | WrittenRates) -> list[str]:
    if isinstance(given, str):
        return [given]
    if isinstance(given, Mapping):
        return [f"{name}={value}" for name, value in given.items()]
    texts = list(given)
    for text in texts:
        if not isinstance(text, str):
            raise UsageError(f"{what} {in_one_line(text)}: give text, as {_EXAMPLES[what]!r}")
    return texts


_EXAMPLES = {"add": "h100=1", "remove": "h100=1", "rate": "chat=x1.5"}
_FORMS = {
    "add": "NAME or NAME=COUNT, as h100=1, and with @FRONTEND,... for whom",
    "remove": "NAME or NAME=COUNT, as h100=1",
    "rate": "NAME=RATE, NAME=xFACTOR or xFACTOR, as chat=12, chat=x1.5 or x1.5",
}


def _fail(what: str, text: str, problem: str = "is not understood") -> NoReturn:
    raise UsageError(f"{what} {_short(text)}: {problem}; give {_FORMS[what]}")


def _short(text: str) -> str:
    return repr(text) if len(text) <= 60 else repr(text[:57] + "...")


def _addition(text: str) -> Addition:
    match = _ADDED.fullmatch(text.strip())
    if match is None:
        _fail("add", text)
    frontends = match["frontends"]
    parts = map(str.strip, (frontends or "").split(","))
    names = tuple(dict.fromkeys(filter(None, parts)))
    if frontends is not None and not names:
        _fail("add", text, "names no frontend after @")
    return Addition(match["name"].strip(), _count("add", text, match["count"]), names)


def _removal(text: str) -> Removal:
    match = _REMOVED.fullmatch(text.strip())
    if match is None:
        _fail("remove", text)
    return Removal(match["name"].strip(), _count("remove", text, match["count"]))


def _count(what: str, text: str, count: str | None) -> int:
    if count is None:
        return 1
    written = count.strip()
    if not re.fullmatch(r"[0-9]{1,9}", written) or not 1 <= int(written) <= MOST:
        _fail(what, text, f"{_short(written)} is no whole number from 1 to {MOST:,}")
    return int(written)


def _rate(text: str) -> NewRate:
    name, _, value = text.strip().rpartition("=")
    written = value.strip()
    is_factor = written[:1] in ("x", "×", "X")
    try:
        number = float(written[1:] if is_factor else written)
    except ValueError:
        number = math.nan
    least = number > 0 if is_factor else number >= 0
    if not (is_number(number) and math.isfinite(number) and least):
        wanted = "factor above 0" if is_factor else "rate in jobs/s, 0 or more"
        _fail("rate", text, f"{_short(written)} is no {wanted}")
    return NewRate(name.strip() or None, number, is_factor)
