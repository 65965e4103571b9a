"""Ticks of logarithmic axes: as many as there is room for, in a uniform notation."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, final

import numpy as np

# First, as it reports what to install if matplotlib is missing.
from isocline.report.plots.lettering import SMALL  # isort: skip
from matplotlib.ticker import Formatter, Locator

# Width of a digit and height of a line, relative to the font size.
_DIGIT, _LINE = 0.64, 1.4
_APART = 5.0  # points between adjacent numbers
_STEPS = (1, 2, 3, 4, 5, 10, 20, 50, 100, 200)  # powers of ten from tick to tick
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_LEAST_PLAIN, _LEAST_POWER = 1e-4, 1e7


@final
class LogTicks(Locator):
    """Locator at multiples of powers of ten: the densest choice whose numbers do not touch.

    Args:
        linear_up_to: Value up to which the axis is linear, with a tick at 0; 0 if it is logarithmic
            throughout.
    """

    def __init__(self, linear_up_to: float = 0.0) -> None:
        self._linear = linear_up_to

    def __call__(self) -> Any:
        """(n,) ticks of the axis at its present limits and size."""
        axis: Any = self.axis
        return self.tick_values(*axis.get_view_interval())

    def tick_values(self, vmin: float, vmax: float) -> Any:
        """(n,) ticks from `vmin` to `vmax`."""
        low, high = sorted((vmin, vmax))
        ticks: list[float] = []
        for choice in self._choices(max(low, self._linear), high):
            ticks = self._with_zero(choice, low) if self._linear else choice
            if self._apart(ticks):
                break
        return np.array(ticks, dtype=np.float64)

    def _choices(self, low: float, high: float) -> Iterator[list[float]]:
        """Yield choices of ticks, densest first."""
        if not 0.0 < low < high:
            yield [low] if low == high > 0.0 else []
            return
        ratio = high / low
        several: tuple[tuple[float, ...], ...] = ((1.0, 3.0),) if self._linear else ()
        if not self._linear and ratio < 300.0:
            several = ((1.0, 2.0, 5.0), (1.0, 3.0))
            several = ((1.0, 2.0, 3.0, 5.0), *several) if ratio < 8.0 else several
        first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
        for factors in several:
            yield _between(
                low, high, (f * 10.0**k for k in range(first, last + 1) for f in factors)
            )
        for step in _STEPS:
            yield _between(low, high, (10.0**k for k in range(first, last + 1) if k % step == 0))

    def _with_zero(self, ticks: list[float], low: float) -> list[float]:
        if low > 0.0:
            return ticks
        while ticks and not self._apart([0.0, ticks[0]]):
            ticks = ticks[1:]
        return [0.0, *ticks]

    def _apart(self, ticks: Sequence[float]) -> bool:
        axis: Any = self.axis
        if len(ticks) < 2:
            return True
        across = axis.axis_name == "x"
        box = axis.axes.bbox
        length = (box.width if across else box.height) * 72.0 / axis.get_figure(root=True).dpi
        ends = axis.get_transform().transform(np.array(axis.get_view_interval(), dtype=np.float64))
        at = axis.get_transform().transform(np.array(ticks, dtype=np.float64))
        points = np.abs(np.diff(at)) * length / max(abs(ends[1] - ends[0]), 1e-300)
        if not across:
            return bool(np.all(points >= _LINE * SMALL))
        digits = np.array([len(text) for text in Numbers().format_ticks(ticks)])
        return bool(np.all(points >= _DIGIT * SMALL * 0.5 * (digits[1:] + digits[:-1]) + _APART))


@final
class Numbers(Formatter):
    """Formatter for plain numbers, or powers of ten on an axis with very large or small ones.

    It uses no mathematical text, which would misread dollar signs in names.
    """

    def __call__(self, x: float, pos: int | None = None) -> str:  # noqa: ARG002 - matplotlib's
        """One number."""
        return self.format_ticks([x])[0]

    def format_ticks(self, values: Iterable[float]) -> list[str]:
        """Format all numbers of an axis uniformly."""
        values = list(values)
        plain = all(v == 0.0 or _LEAST_PLAIN <= abs(v) < _LEAST_POWER for v in values)
        return [f"{v:,.10g}" if plain or v == 0.0 else _power(v) for v in values]


def _power(value: float) -> str:
    mantissa, _, exponent = f"{value:.9e}".partition("e")
    power = f"10{str(int(exponent)).translate(_SUPERSCRIPTS)}"
    factor = f"{float(mantissa):g}"
    return power if factor == "1" else f"{factor}×{power}"


def _between(low: float, high: float, values: Iterable[float]) -> list[float]:
    # A limit that is a power of ten may be off by rounding.
    return [value for value in values if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]
