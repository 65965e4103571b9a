"""Numbers and names in text: as many digits as are known, units that suit the size."""

import math
import numbers
import re
from collections import Counter
from collections.abc import Iterable

from isocline.simulate.common.estimate import Estimate

# A half-width below this share of the mean is rounding noise of sums of doubles, not knowledge.
_NOISE = 1e-9
_LEAST_EXPONENT, _LEAST_TOO_LARGE = -4, 7  # outside of them a person would write one
_TIME_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))


def number(value: float | None, digits: int = 4) -> str:
    """`digits` significant digits, without an exponent where a person would write none.

    An int is a count: it is written whole.
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
    """The unit that keeps the smallest of the times at 1 or above, as (seconds in it, its name)."""
    known = [abs(s) for s in seconds if s is not None and math.isfinite(s) and s != 0]
    least = min(known, default=1.0)
    # What rounding left just below a unit is one: 1 s, not 1,000 ms.
    return next((u for u in _TIME_UNITS if least >= (1.0 - 1e-9) * u[0]), _TIME_UNITS[-1])


def duration(seconds: float | None, digits: int = 3) -> str:
    """A time with its unit."""
    scale, unit = time_unit([seconds])
    return f"{number(seconds / scale, digits)} {unit}" if seconds is not None else "–"


def estimate(value: Estimate | None, scale: float = 1.0, signed: bool = False) -> str:
    """Value ± half-width, both to the second digit of the half-width: "12.34 ± 0.56".

    With one exponent for both where `number` would write one: "(1.20 ± 0.08)e+10". The value alone
    where there is no half-width, or only that of rounding.
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
    """Names with commas; more than `most` as kinds with their numbers, and at last as a number."""
    names = list(names)
    if len(names) > most:
        kinds = Counter(map(kind_of, names))
        names = [f"{kind} (× {n})" if n > 1 else kind for kind, n in kinds.items()]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def kind_of(name: str) -> str:
    """What replicas have in common: "h100" for h100-1 and h100-2."""
    return re.sub(r"[-_. ]*\d+$", "", name) or name


def percent(share: float) -> str:
    """A share as per cent, "12.3%"."""
    return f"{share:.1%}"
