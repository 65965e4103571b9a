"""One line of an access log, and the dialects that make it of named values."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import Any, ClassVar, NamedTuple, final


@final
class Outcome(IntEnum):
    """End of a request, or of an attempt at a backend."""

    SERVED = 0
    FAILED = 1  # refused, or an answer of the kind 5xx
    ABANDONED = 2  # the client went away


class Attempt(NamedTuple):
    """One try of a request at a backend; times are s since 1970."""

    backend: str
    begin: float
    end: float
    outcome: Outcome


class Exchange(NamedTuple):
    """One request; times are s since 1970. Without attempts no backend had it."""

    start: float
    end: float
    held: float  # s at the router before it was sent
    outcome: Outcome
    frontend: str  # the router's own name for where it came in, or host and path
    tokens: float  # 0 where they are not known
    attempts: tuple[Attempt, ...]


Values = Sequence[Any]
Reader = Callable[[Values], Exchange]
"""Exchange of a line's values; raises ValueError or TypeError where one of them is unusable."""


class Dialect(ABC):
    """Names that one router gives to the fields of its log."""

    router: ClassVar[str]
    templates: ClassVar[Mapping[str, str]] = {}
    """Lines that it writes as it comes, or by a format in common use, by what to call them."""
    advice: ClassVar[str]
    """What to write into the router's configuration for a log that can be audited."""

    needs: ClassVar[Sequence[tuple[Sequence[str], str]]] = ()
    """Each field that an audit needs: the names that it may have, and what it says, in words."""

    def lacks(self, names: Sequence[str]) -> str:
        """What is missing among the names of the fields, in words; "" if nothing."""
        return " and ".join(said for known, said in self.needs if one_of(names, *known) is None)

    @abstractmethod
    def reader(self, names: Sequence[str]) -> Reader:
        """A reader of values in the order of these names."""


def one_of(names: Sequence[str], *wanted: str) -> int | None:
    """Place of the first of the wanted names that is there."""
    return next((names.index(name) for name in wanted if name in names), None)


def outcome_of(status: str) -> Outcome:
    """Outcome by the status that the client got; 499 is nginx's for a client that went away."""
    if status == "499":
        return Outcome.ABANDONED
    return Outcome.FAILED if status >= "500" or status == "429" else Outcome.SERVED


def frontend_of(host: str, target: str) -> str:
    """Host, and the first segment of the path: what a router's rules mostly go by.

    A segment with a digit may be the number of a thing, of which there are many, and is left out.
    """
    if " " in target:  # a request line: GET /path HTTP/1.1
        target = target.split(" ", 2)[1]
    if "://" in target:
        target = target.split("://", 1)[1].partition("/")[2]
    segment = target.partition("?")[0].strip("/").partition("/")[0]
    path = f"/{segment}" if segment.replace("-", "").replace("_", "").isalpha() else "/"
    return f"{host}{path}" if host not in ("", "-", "_") else path
