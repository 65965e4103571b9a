"""Evidence of a log on service curves: a likelihood of shape and speed for each backend.

**Counts.** While a backend holds n jobs it completes them at rate l(n). With exponential sizes that
is all that a log knows: C(n) completions in T(n) seconds are Poisson with mean l(n) T(n).

**Stays.** Sizes are seldom exponential, and then each request's own duration says more. Under
processor sharing it had the service S = sum of l(n) / n over its stay, which is its size. Of sizes
with a gamma distribution of shape k around 1 (or around the request's tokens, where they are known)
the likelihood of all stays of a backend is the product of

    S^(k - 1) exp(-k S) l(n) / n,         n: jobs there as it ends; the Jacobian of its end

which is that of the counts at k = 1, and knows k times as much. Its score needs no gamma sizes:
under Poisson arrivals the workloads that a job sees do not depend on its size (insensitivity of
processor sharing, J. W. Cohen, Acta Informatica 12, 1979), so it has mean 0 at the true curve
whatever sizes are. k is measured. The counts are used where k is not above 1, and where stays
contradict them: such a backend does not share its speed evenly, as one that serves one by one.

Real curves are none of the family's. Completions at workloads half an octave wide count for at most
1 / MISFIT^2, as in `isocline.learn.known`; stays, which see several of them, for less by the mean.
"""

from collections.abc import Sequence
from typing import NamedTuple, final

import numpy as np
import numpy.typing as npt

from isocline.audit.formats.exchange import Outcome
from isocline.audit.records import AccessRecords
from isocline.audit.workloads import Events, Occupied
from isocline.learn.fit import Prior
from isocline.learn.known import Known, by_group
from isocline.learn.shapes import binned, shapes

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]

# A figure such as a mean latency depends on many groups of workloads, whose errors cancel in part:
# less than that of a single rate. In `benchmarks.audit_virtual` intervals hold the truth so.
MISFIT = 0.015
# Completions that say how sizes vary, and k from which stays say more than counts do, and at most.
_LEAST, _REGULAR, _LARGEST_K = 200, 1.25, 400.0
# ln likelihood below the best, of shapes that are left out; and by which stays contradict counts.
_IMPOSSIBLE, _CONTRADICTION = 30.0, 8.0
_CELLS = 4_000_000  # of arrays of events and shapes


@final
class Evidence(NamedTuple):
    """ln likelihood of shape g at speed u: log[g] + completions ln u - exposure[g] u."""

    log: FloatArray  # (G,)
    completions: float  # those that it counts for
    exposure: FloatArray  # (G,) s, times jobs' worth of service at speed 1


@final
class Posterior(NamedTuple):
    """Probability of shapes, and a gamma distribution of the speed for each."""

    log: FloatArray  # (G,) ln probability, up to a constant
    completions: float
    exposure: FloatArray  # (G,) s


def posterior(found: Evidence, prior: Prior, unit: float) -> Posterior:
    """Posterior of a prior that expects a speed of `unit`, jobs/s per job."""
    completions = found.completions + prior.completions
    exposure = found.exposure + prior.completions / unit
    return Posterior(
        prior.log_density + found.log - completions * np.log(exposure), completions, exposure
    )


def of_counts(known: Known) -> Evidence:
    """Evidence of completions and times at each workload, up to the peak."""
    done, spent, seen = _seen(known)
    weight = by_group(done, seen, MISFIT)
    grid = shapes()
    return Evidence(
        grid.log_value[:, seen] @ (done * weight),
        float(done @ weight),
        grid.value[:, seen] @ (spent * weight),
    )


def of_log(records: AccessRecords, occupied: Occupied, known: Sequence[Known]) -> list[Evidence]:
    """Evidence on each backend, of stays where they can be used, else of counts."""
    return [
        _of_stays(records, occupied, backend, one) or of_counts(one)
        for backend, one in enumerate(known)
    ]


class _Stays(NamedTuple):
    """M jobs of one backend, and its E events."""

    seconds: FloatArray  # (E,) until the next event
    workload: IndexArray  # (E,) between
    begin: IndexArray  # (M,) event with which each job began
    end: IndexArray  # (M,)
    work: FloatArray  # (M,) 1, or by tokens

    def service(self, each: FloatArray) -> FloatArray:
        """(S, M) service over the work, of S shapes with service (S, K) of a job among n."""
        given = np.cumsum(each[:, self.workload] * self.seconds, axis=1)
        given = np.pad(given, ((0, 0), (1, 0)))[:, :-1]
        return np.asarray((given[:, self.end] - given[:, self.begin]) / self.work)


def _of_stays(
    records: AccessRecords, occupied: Occupied, backend: int, known: Known
) -> Evidence | None:
    """Evidence of stays; None if they say no more than the counts, or otherwise."""
    if known.cut is not None:
        return None
    stays = _stays(records, occupied, backend)
    if stays.begin.size < _LEAST:
        return None
    done, spent, seen = _seen(known)
    grid = shapes()
    counted = grid.log_value[:, seen] @ done - done.sum() * np.log(grid.value[:, seen] @ spent)
    best = int(np.argmax(counted))
    k = _regularity(stays.service(_each(np.array([best]), stays))[0])
    if k < _REGULAR:
        return None
    possible = np.flatnonzero(counted >= counted[best] - _IMPOSSIBLE)
    weight = float(done @ by_group(k * done, seen, MISFIT) / done.sum())
    found = _likelihood(stays, possible, k, weight)
    likeliest = int(np.argmax(found.log - found.completions * np.log(found.exposure)))
    return found if counted[likeliest] >= counted[best] - _CONTRADICTION else None


def _likelihood(stays: _Stays, possible: IndexArray, k: float, weight: float) -> Evidence:
    """Evidence of stays on the shapes that are possible."""
    size = shapes().knee.size
    log, exposure = np.full(size, -np.inf), np.ones(size)
    last = stays.workload[stays.end - 1]
    for some in np.array_split(possible, -(-possible.size * stays.seconds.size // _CELLS)):
        each = _each(some, stays)
        had = np.maximum(stays.service(each), 1e-12)
        log[some] = weight * ((k - 1.0) * np.log(had) + np.log(each[:, last])).sum(axis=1)
        exposure[some] = weight * k * had.sum(axis=1)
    return Evidence(log, weight * k * stays.begin.size, exposure)


def _stays(records: AccessRecords, occupied: Occupied, backend: int) -> _Stays:
    """Jobs that were served and began while all workloads are known."""
    events: Events = occupied.events
    own = np.flatnonzero(events.backend == backend)
    attempt, leaves = events.attempt[own], events.leaves[own]
    begin = np.zeros(records.attempts.begin.size, np.int64)
    end = begin.copy()
    begin[attempt[~leaves]], end[attempt[leaves]] = np.flatnonzero(~leaves), np.flatnonzero(leaves)
    tried = records.attempts
    low, high = occupied.window
    kept = (tried.backend == backend) & (tried.outcome == Outcome.SERVED)
    kept &= (tried.begin >= low) & (tried.begin <= high)
    work = np.ones(tried.begin.size)
    mean = records.tokens_of_a_job
    if mean is not None:
        work = records.tokens[tried.request] / mean
    return _Stays(
        np.append(np.diff(events.time[own]), 0.0),
        occupied.after[own],
        begin[kept],
        end[kept],
        work[kept],
    )


def _each(some: IndexArray, stays: _Stays) -> FloatArray:
    """(S, K) service of one job among n, by some shapes; 0 where there is none."""
    n = np.arange(1.0, int(stays.workload.max(initial=0)) + 1)
    grid = shapes()
    knee, sharp = grid.knee[some, np.newaxis], grid.sharpness[some, np.newaxis]
    each = np.exp(-np.log1p((n / knee) ** sharp) / sharp)
    return np.pad(each, ((0, 0), (1, 0)))


def _regularity(sizes: FloatArray) -> float:
    """Shape k of the gamma distribution of sizes: 1 if exponential, more if they vary less.

    T. P. Minka, Estimating a gamma distribution, 2002: within 1.5 %.
    """
    had = np.maximum(sizes, 1e-12)
    s = max(float(np.log(had.mean()) - np.log(had).mean()), 1e-9)
    k = (3.0 - s + float(np.sqrt((s - 3.0) ** 2 + 24.0 * s))) / (12.0 * s)
    return min(k, _LARGEST_K)


def _seen(known: Known) -> tuple[FloatArray, FloatArray, IndexArray]:
    """Completions and times at the bins of workloads that were seen, up to the peak."""
    kept = slice(0, None if known.cut is None else known.cut + 1)
    done, spent = binned(known.completions[kept]), binned(known.seconds[kept])
    seen = np.flatnonzero(spent)
    return done[seen], spent[seen], seen
