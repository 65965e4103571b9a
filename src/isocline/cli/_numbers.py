"""Numbers on the command line: each option names its range, and a mistake gets the remedy.

No option of a verb may be click's own `int` or `float`: they accept nan, inf and any sign, and the
error that follows later cannot name the option.
"""

import math
import re
from typing import TYPE_CHECKING, Any, final

import click

_UNITS = {"ms": 1e-3, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_WITH_UNIT = re.compile(r"([\d.]+(?:[eE][-+]?\d+)?)\s*([a-z]+)")
# What array indices and C integers hold; a larger count is a slip of the finger.
_LARGEST = 2**63 - 1
_LONGEST = 60  # characters of a value in a message


if TYPE_CHECKING:
    ParamType = click.ParamType[Any]
else:
    ParamType = click.ParamType  # generic only in later versions


@final
class Number(ParamType):
    """A finite number in a range.

    Args:
        example: A number in the range, for messages.
        above: Exclusive lower bound.
        least: Inclusive lower bound.
        below: Exclusive upper bound.
        whole: It counts something; 1e3 is 1000.
        seconds: It is a duration, as a bare number of seconds.
        units: It may have a unit of time.
    """

    def __init__(
        self,
        example: str,
        *,
        above: float | None = None,
        least: float | None = None,
        below: float | None = None,
        whole: bool = False,
        seconds: bool = False,
        units: bool = False,
    ) -> None:
        self.name = "seconds" if seconds else "whole number" if whole else "number"
        self._example, self._whole, self._seconds = example, whole, seconds
        self._units = units
        self._above = -math.inf if above is None else above
        self._least = -math.inf if least is None else least
        self._below = math.inf if below is None else below

    def convert(
        self, value: str | float, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        text = str(value).strip()
        number = self._read(text)
        if number is None and self._units:
            number = _seconds_of(text)
        if number is None:
            kind = "number of seconds" if self._seconds else self.name
            problem = f"is no {kind}" if text else "is empty"
        elif not math.isfinite(number):
            problem = "is not finite"
        elif self._within(number):
            return number
        else:
            problem = "is out of range"
        shown = repr(text) if len(text) <= _LONGEST else repr(text[:_LONGEST] + "...")
        raise click.BadParameter(f"{shown} {problem}; {self._remedy(text)}", ctx, param)

    def _read(self, text: str) -> float | None:
        try:
            return int(text) if self._whole else float(text)
        except ValueError:
            return _whole_of(text) if self._whole else None

    def _within(self, number: float) -> bool:
        inside = self._least <= number < self._below and number > self._above
        return inside and (not self._whole or number <= _LARGEST)

    def _remedy(self, text: str) -> str:
        seconds = _seconds_of(text) if self._seconds else None
        if seconds is not None and self._within(seconds):
            return f"give {seconds:g}"
        kind = "whole number" if self._whole else "finite number"
        return f"give a {kind}{self._range()}, such as {self._example}"

    def _range(self) -> str:
        unit = " of seconds" if self._seconds else ""
        bounds = [
            f"above {self._above:g}" if math.isfinite(self._above) else "",
            f"{self._least:g} or more" if math.isfinite(self._least) else "",
            f"below {self._below:g}" if math.isfinite(self._below) else "",
        ]
        said = " and ".join(filter(None, bounds))
        comma = "," if said and said[0].isdigit() else ""
        return f"{unit}{comma} {said}" if said else unit


def _whole_of(text: str) -> float | None:
    """A whole number that is written as 1e3; inf and nan as they are."""
    try:
        number = float(text)
    except ValueError:
        return None
    if not math.isfinite(number):
        return number
    return int(number) if number.is_integer() else None


def _seconds_of(text: str) -> float | None:
    """600 of `10m`."""
    match = _WITH_UNIT.fullmatch(text)
    if match is None or match[2] not in _UNITS:
        return None
    try:
        return float(match[1]) * _UNITS[match[2]]
    except ValueError:  # 1.2.3
        return None


SECONDS = Number("10", above=0.0, seconds=True)
SECONDS_OR_NONE = Number("10", least=0.0, seconds=True)  # 0 is none
LIMIT = Number("120, 120s or 2m", above=0.0, seconds=True, units=True)
PRECISION = Number("0.05", above=0.0, below=1.0)
SEED = Number("1", least=0, whole=True)
COUNT = Number("10", least=1, whole=True)
FACTOR = Number("2", above=0.0)
WEIGHT = Number("0.1", least=0.0)


def shares(text: str | None) -> list[float]:
    """Loads as shares of the capacity, separated by commas.

    Raises:
        click.BadParameter: One is no number above 0, or so large that per cent were meant, or is
            given twice.
    """
    found = [] if text is None else [_share(part.strip()) for part in text.split(",")]
    for load in found:
        if found.count(load) > 1:
            raise click.BadParameter(
                f"{text!r}: {load:g} is given twice; give each load once", param_hint="--load"
            )
    return found


# A load this many times the capacity is a mistake; a trace at twice its capacity is a question.
_ABSURD = 10.0


def _share(text: str) -> float:
    written = text.removesuffix("%").strip()
    try:
        number = float(written)
    except ValueError:
        number = math.nan
    if text == written and 0.0 < number <= _ABSURD:
        return number
    # Only where per cent may have been meant.
    meant = (_ABSURD if text == written else 0.0) < number <= 100.0 * _ABSURD
    hint = f"; for {written} % give {number / 100.0:g}" if meant else ""
    raise click.BadParameter(
        f"{text!r}: give shares of the capacity above 0, as 0.5,0.7,0.9{hint}", param_hint="--load"
    )
