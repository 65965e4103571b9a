"""Numbers on the command line, with the remedy for one that was written in another unit."""

import re
from typing import TYPE_CHECKING, final

import click

_UNITS = {"ms": 1e-3, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_WITH_UNIT = re.compile(r"([\d.]+(?:[eE][-+]?\d+)?)\s*([a-z]+)")


if TYPE_CHECKING:
    Float = click.ParamType[float]
else:
    Float = click.ParamType  # generic only in later versions


@final
class Seconds(Float):
    """A duration in seconds, as a bare number."""

    name = "seconds"

    def convert(
        self, value: str | float, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        try:
            return float(value)
        except ValueError:
            self.fail(f"{value!r} is no number of seconds; {_in_seconds(str(value))}", param, ctx)


def _in_seconds(text: str) -> str:
    match = _WITH_UNIT.fullmatch(text.strip())
    if match is None or match[2] not in _UNITS:
        return "give one, as 600"
    try:
        return f"give {float(match[1]) * _UNITS[match[2]]:g}"
    except ValueError:  # 1.2.3
        return "give one, as 600"


SECONDS = Seconds()


def shares(text: str | None) -> list[float]:
    """Loads as shares of the capacity, separated by commas.

    Raises:
        click.BadParameter: One is no number, or so large that per cent were meant.
    """
    return [_share(part.strip()) for part in text.split(",")] if text else []


# A load this many times the capacity is a mistake; a trace at twice its capacity is a question.
_ABSURD = 10.0


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = None
    in_percent = text.removesuffix("%").strip()
    if share is not None and share <= _ABSURD:
        return share
    try:
        hint = f"; for {in_percent} % give {float(in_percent) / 100:g}"
    except ValueError:
        hint = ""
    raise click.BadParameter(
        f"{text!r}: give shares of the capacity, as 0.5,0.7,0.9{hint}", param_hint="--load"
    )
