"""Estimate of a run's time left, as an interval from its rate so far."""

import math
from collections.abc import Sequence
from typing import NamedTuple

# 97.5 % quantiles of Student's t, by degrees of freedom.
_T = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13)
_NORMAL = 2.0
_MOST_BLOCKS, _LEAST_BLOCKS = 10, 4
_LEAST_ENDED = 8  # tasks: fewer are too few for an estimate


class TimeLeft(NamedTuple):
    """Time until the last task ends, s: a 95 % interval, and the expected value."""

    low: float
    expected: float
    high: float  # inf if the rate may be nearly 0


def time_left(intervals: Sequence[tuple[float, int]], left: int) -> TimeLeft | None:
    """Estimate from the last intervals how long `left` more tasks take; None: too early.

    The intervals are joined into blocks of equal length, whose rates are taken as independent
    (batch means). With mean m and standard deviation s over k blocks of b s, the mean rate over the
    next T s is m ± t s sqrt(1/k + b/T): the first term is the uncertainty of the rate, the second
    its future variation. The estimate assumes that tasks and nodes stay alike.

    Args:
        intervals: (length in s, number of tasks that ended), latest last.
        left: Number of unfinished tasks.
    """
    if left <= 0:
        return TimeLeft(0.0, 0.0, 0.0)
    count = min(_MOST_BLOCKS, len(intervals))
    size = len(intervals) // count if count else 0
    used = intervals[len(intervals) - size * count :]
    seconds, ended = sum(length for length, _ in used), sum(tasks for _, tasks in used)
    if count < _LEAST_BLOCKS or ended < _LEAST_ENDED or seconds <= 0:
        return None
    rates = []
    for k in range(count):
        block = used[k * size : (k + 1) * size]
        length = sum(length for length, _ in block)
        if length <= 0:
            return None
        rates.append(sum(tasks for _, tasks in block) / length)
    mean, block_seconds = ended / seconds, seconds / count
    expected = left / mean
    variance = sum((rate - mean) ** 2 for rate in rates) / (count - 1)
    t = _T[count - 2] if count - 2 < len(_T) else _NORMAL
    around = t * math.sqrt(variance * (1 / count + block_seconds / expected))
    # Counts are integers, so the total is uncertain by at least one task.
    around = max(around, 1 / seconds)
    low = left / (mean + around)
    return TimeLeft(low, expected, left / (mean - around) if mean > around else math.inf)
