"""Slowdowns of backends during a run, known to policies or not."""

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, final

from isocline.arguments import POSITIVE, Range, require_fields
from isocline.errors import UsageError
from isocline.model.curves import Curve

_FACTOR = Range("a finite number, 1 or more", lambda value: 1 <= value < math.inf)


@final
@dataclass(frozen=True)
class Slowdown:
    """From `time` on a backend is `factor` times as slow as its curve says; 1 ends a slowdown.

    Unless they are told, policies go on by the curves of the system: the change is silent.
    """

    backend: str
    factor: float
    time: float  # s
    told: bool = False

    def __post_init__(self) -> None:
        # Not below 1: the bound stays one, and departures are thinned from the given peak.
        label = f"slowdown of {self.backend}"
        require_fields(self, label, factor=_FACTOR, time=POSITIVE)

    @property
    def in_words(self) -> str:
        """Phrase for the footnotes of a table."""
        silently = "" if self.told else ", untold"
        return f"{self.backend} {self.factor:g} times as slow from {self.time:g} s{silently}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `NAME=FACTOR@TIME` or `NAME=FACTOR@TIME,told`, as on the command line.

        Raises:
            UsageError: It is not written so, or a number is out of range.
        """
        name, _, numbers = text.rpartition("=")  # a name may hold anything
        numbers, _, told = numbers.partition(",")
        factor, _, time = numbers.partition("@")
        try:
            if name and told in ("", "told"):
                return cls(name, float(factor), float(time), told == "told")
        except ValueError as error:
            if isinstance(error, UsageError):
                raise
        raise UsageError(f"slowdown {text!r}: give NAME=FACTOR@TIME, such as h100-1=2@600")


def slower(curve: Curve, factor: float) -> Curve:
    """Curve of a backend that is `factor` times as slow."""
    return curve if factor == 1.0 else curve.scaled(1.0 / factor)


def factors_at(slowdowns: Sequence[Slowdown], names: Sequence[str], time: float) -> list[float]:
    """Factors by which the backends are slower from `time` on, s."""
    begun = (one for one in slowdowns if one.time <= time)
    last = {one.backend: one.factor for one in sorted(begun, key=lambda one: one.time)}
    return [last.get(name, 1.0) for name in names]


def require_slowdowns_fit(slowdowns: Sequence[Slowdown], horizon: float) -> None:
    """Raise UsageError if a slowdown would come after the end of a run."""
    for one in slowdowns:
        if one.time >= horizon:
            raise UsageError(
                f"slowdown of {one.backend} at {one.time:g} s: the run ends at {horizon:g} s; "
                "give an earlier time or a longer horizon"
            )


def require_backends(slowdowns: Sequence[Slowdown], names: Sequence[str]) -> None:
    """Raise UsageError if a slowdown names a backend that is not there."""
    for one in slowdowns:
        if one.backend not in names:
            close = difflib.get_close_matches(one.backend, names, n=1)
            hint = f"; did you mean {close[0]}?" if close else f"; there are {', '.join(names)}"
            raise UsageError(f"slowdown of {one.backend!r}: no backend has this name{hint}")
