"""Bounds of a concave curve between the levels that were measured.

Between two of them a concave curve is above the chord of their lower ends, and below each line
through two levels before it, or two after it, that goes through the lower end of the far one and
the upper end of the near one (sandwich algorithms: G. Rote, Computing 48, 1992; A. Siem, D. den
Hertog, A. Hoffmann, INFORMS J. Computing 23(3), 2011). The width of the band says where the curve
is known least; what is left of it without the measurements' errors says whether another level
would help more than more time at those that are there.
"""

from collections.abc import Sequence
from typing import NamedTuple, final


@final
class Point(NamedTuple):
    """A level and the 95 % interval of its rate."""

    workload: float
    low: float
    high: float

    @property
    def width(self) -> float:
        """Half of the interval over its middle."""
        return half_width(self.low, self.high)


def half_width(low: float, high: float) -> float:
    """Half of an interval over its middle; 1 at most, as rates are not negative."""
    low = max(low, 0.0)
    return (high - low) / (high + low) if high > low else 0.0


def band(points: Sequence[Point], after: int, workload: float) -> tuple[float, float]:
    """(low, high) of the curve at a workload between `points[after]` and the next.

    Args:
        points: In order of their workloads; the first is (0, 0, 0).
        after: Number of the last point that is not above the workload.
        workload: Above that of the point, and below that of the next.
    """
    left, right = points[after], points[after + 1]
    low = _line(left.workload, left.low, right.workload, right.low, workload)
    before, beyond = points[: after + 1], points[:after:-1]
    lines = [
        _line(far.workload, far.low, near.workload, near.high, workload)
        for side in (before, beyond)
        for i, far in enumerate(side)
        for near in side[i + 1 :]
    ]
    chord = _line(left.workload, left.high, right.workload, right.high, workload)
    # Measured curves need not be concave: no band is narrower than what its ends leave.
    return low, max(chord, min(lines, default=right.high))


def _line(x0: float, y0: float, x1: float, y1: float, x: float) -> float:
    return y0 + (y1 - y0) * (x - x0) / (x1 - x0)
