"""Formatting of numbers and names in text: significant digits, and units that suit the size."""

import math
import numbers
from collections import Counter
from collections.abc import Iterable

from isocline.plural import first_of, stem_of
from isocline.simulate.common.estimate import Estimate

# A half-width below this share of the mean is rounding noise of floating-point sums.
_NOISE = 1e-9
_LEAST_EXPONENT, _LEAST_TOO_LARGE = -4, 7  # range without exponents
_TIME_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))


def number(value: float | None, digits: int = 4) -> str:
    """Number with `digits` significant digits, and an exponent only if it is very large or small.

    An int is a count, and written in full.
    """
    if isinstance(value, numbers.Integral):
        return f"{value:,}"
    if value is None or not math.isfinite(value):
        return "–" if value is None or math.isnan(value) else "∞" if value > 0 else "-∞"
    if value == 0:
        return "0"
    exponent = int(f"{value:.{digits - 1}e}".split("e")[1])  # of the rounded value
    if not _LEAST_EXPONENT <= exponent < _LEAST_TOO_LARGE:
        return f"{value:.{digits - 1}e}"
    return f"{value:,.{max(digits - 1 - exponent, 0)}f}"


def time_unit(seconds: Iterable[float | None]) -> tuple[float, str]:
    """Unit in which the smallest of the times is at least 1, as (seconds in it, its name)."""
    known = [abs(s) for s in seconds if s is not None and math.isfinite(s) and s != 0]
    least = min(known, default=1.0)
    # A time that rounding left just below a unit counts as one: 1 s, not 1,000 ms.
    return next((u for u in _TIME_UNITS if least >= (1.0 - 1e-9) * u[0]), _TIME_UNITS[-1])


def duration(seconds: float | None, digits: int = 3) -> str:
    """Time with its unit."""
    scale, unit = time_unit([seconds])
    return f"{number(seconds / scale, digits)} {unit}" if seconds is not None else "–"


def estimate(value: Estimate | None, scale: float = 1.0, signed: bool = False) -> str:
    """Value ± half-width, both to the second digit of the half-width: "12.34 ± 0.56".

    Both share an exponent if `number` would write one: "(1.20 ± 0.08)e+10". The value is alone if
    there is no half-width, or only rounding noise.
    """
    if value is None:
        return "–"
    centre, half = value.value / scale, value.half_width / scale
    if not (math.isfinite(half) and half > _NOISE * abs(centre)):
        return number(centre)
    exponent = math.floor(math.log10(max(abs(centre), half)))
    if not _LEAST_EXPONENT <= exponent < _LEAST_TOO_LARGE:
        return f"({estimate(value, scale * 10.0**exponent, signed)})e{exponent:+03d}"
    decimals = 1 - math.floor(math.log10(half))
    sign, shown = "+" if signed else "", max(decimals, 0)
    return f"{round(centre, decimals):{sign},.{shown}f} ± {round(half, decimals):,.{shown}f}"


def listed(names: Iterable[str], most: int = 6) -> str:
    """Names separated by commas; more than `most` as kinds with counts, the rest as a count."""
    names = list(names)
    if len(names) > most:
        kinds = Counter(map(stem_of, names))
        names = [f"{kind} (× {n})" if n > 1 else kind for kind, n in kinds.items()]
    return first_of(names, most)


def percent(share: float) -> str:
    """Share in per cent: "12.3%"."""
    return f"{share:.1%}"
