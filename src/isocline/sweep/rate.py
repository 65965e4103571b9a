"""Service rate at one concurrency, with a standard error that the requests themselves give.

N clients each send their next request when the last is answered, so N requests are in flight. A
request counts for the share of its own time, or of its last `tail` seconds if it took longer, that
lies in the window; so the sum is an unbiased count of completions in it (Campbell's formula), and
requests that end in step, as those of equal length do, do not make it jump by N at the window's
ends.

The variance rests on what each request adds to the count less what its time in the window would
make at the mean rate: 1 - d / mean d of a request of duration d.

1. The sum of their squares is the variance of the count if requests are independent. For durations
   of coefficient of variation c it tends to c^2 times the count: 0 for equal requests, the Poisson
   variance for exponential ones.
2. Sums over parts of the window, of about a mean duration each, scatter as much if requests are
   independent, and more where they wait in one queue or the server has its ups and downs. What they
   scatter more is added. Of a queue first come, first served, whose durations are moving sums of
   service times, parts of t mean durations show t (1 - t / 3) of it, or 1 - 1 / (3 t) from t = 1
   on; it is divided by that. What lasts longer than a few mean durations is missed. Few parts show
   less than there is about as often as more, of which the less is not subtracted from what requests
   alone say: so half a standard error of the parts' own variance is added to it first. (16 clients
   at a server of 8 places, over five mean durations: 92.4 % of the intervals hold the rate without
   this, 94.8 % with it.)

Batch means of the completions themselves would not do: they take requests that end in step for
noise. Each term has Student's factor, so that 1.96 errors are a 95 % interval of few requests, too.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple, Self, final

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

FloatArray = npt.NDArray[np.float64]

Z = 1.96  # standard errors of a 95 % interval
_PER_PART = 3.0  # completions in a part, at least
_FEWEST_PARTS, _MOST_PARTS = 5, 20
_ADDED = 0.5  # standard errors of the parts' variance
_CLOCK = 1e-3  # relative error that clock and client leave to any rate


@final
class Span(NamedTuple):
    """Request of one level; times are s of the run's clock."""

    start: float  # sent
    end: float  # answered; inf: not yet
    work: float = 1.0  # in the curve's unit


@final
class Rate(NamedTuple):
    """Rate at one level."""

    workload: float  # mean number of requests in flight
    rate: float  # of the curve's unit per second
    error: float  # standard error, scaled so that 1.96 of it are a 95 % interval
    completions: float  # requests, as they count
    seconds: float  # length of the window
    latency: float  # s, mean: workload over completions per second

    def with_more(self, other: "Rate") -> Self:
        """Two windows at the same level as one; their errors are independent."""
        seconds = self.seconds + other.seconds
        mine, theirs = self.seconds / seconds, other.seconds / seconds
        completions = self.completions + other.completions
        workload = mine * self.workload + theirs * other.workload
        return self._replace(
            workload=workload,
            rate=mine * self.rate + theirs * other.rate,
            error=float(np.hypot(mine * self.error, theirs * other.error)),
            completions=completions,
            seconds=seconds,
            latency=workload * seconds / completions,
        )


def rate_of(spans: Sequence[Span], begin: float, end: float, tail: float) -> Rate | None:
    """Rate in the window from `begin` to `end`; None if not even one request counts.

    Args:
        spans: All requests that were in flight in it, also those that were not answered by
            `end` + `tail`.
        begin: s.
        end: s.
        tail: Longest time over which a request's count is spread, s.
    """
    start, over, work = np.array(spans, dtype=np.float64).reshape(-1, 3).T
    seconds = end - begin
    held = np.maximum(np.minimum(over, end) - np.maximum(start, begin), 0.0)
    answered = np.isfinite(over)
    spread = np.minimum(np.where(answered, over, start) - start, tail)
    spread = np.maximum(spread, 1e-9)
    inside = np.minimum(over, end) - np.maximum(over - spread, begin)
    share = np.where(answered, np.clip(inside / spread, 0.0, 1.0), 0.0)
    completions, total = float(share.sum()), float((work * share).sum())
    if completions < 1.0 or total <= 0.0:
        return None
    rest = work * share - total / held.sum() * held
    middle = (np.maximum(start, begin) + np.minimum(over, end)) / 2.0
    workload = float(held.sum()) / seconds
    latency = workload * seconds / completions
    error = max(
        _error(rest, (middle - begin) / seconds, completions, seconds / latency), _CLOCK * total
    )
    return Rate(
        workload,
        total / seconds,
        error / seconds,
        completions,
        seconds,
        latency,
    )


def _error(rest: FloatArray, at: FloatArray, completions: float, turnovers: float) -> float:
    """Standard error of the count.

    Args:
        rest: (R,) what each request adds to it, less what its time would.
        at: (R,) places in the window, 0 to 1.
        completions: The count.
        turnovers: Mean durations in the window.
    """
    alone = float((rest**2).sum()) * completions / max(completions - 1.0, 1.0)
    variance = _student(completions - 1.0) ** 2 * alone
    parts = int(min(max(turnovers, _FEWEST_PARTS), _MOST_PARTS, completions / _PER_PART))
    if parts >= _FEWEST_PARTS:
        number = np.clip((at * parts).astype(np.int64), 0, parts - 1)
        together = parts * float(np.bincount(number, rest, parts).var(ddof=1))
        together *= 1.0 + _ADDED * math.sqrt(2.0 / (parts - 1.0))
        length = turnovers / parts
        shown = length * (1.0 - length / 3.0) if length < 1.0 else 1.0 - 1.0 / (3.0 * length)
        variance += _student(parts - 1.0) ** 2 * max(together - alone, 0.0) / shown
    return math.sqrt(variance)


def _student(freedom: float) -> float:
    """Ratio of the 97.5 % quantiles of Student's distribution and of the normal one."""
    return float(stdtrit(max(freedom, 1.0), 0.975)) / Z
