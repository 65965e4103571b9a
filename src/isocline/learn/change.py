"""Detection of changes in a backend's speed: a cumulative-sum test on its completions.

Under a fitted rate l(n) completions are Poisson events of rate l(N(t)); after a change of speed by
a factor r, of rate r l(N(t)). The log-likelihood ratio of the two rises by (1 - r) l(n) dt while
time passes and by ln r with a completion, whatever the workload does, so all levels count together.
The score is that sum since the moment most in favour of a change, which is where it was last 0
(E. S. Page, Biometrika 41, 1954); an alarm is a score above ln(2 / p). There are two scores, for a
backend half and twice as fast. From each 0 the score exceeds h with probability at most e^-h under
no change (Wald), and there is at most one 0 per completion, so p bounds the false alarms per
completion (G. Lorden, Ann. Math. Statist. 42(6), 1971, gives the same bound in the mean).

A backend that becomes twice as slow gains 1 - ln 2 = 0.31 per completion: 47 completions to the
alarm at p = 10^-6. A change by less than ln 2 / (1 - 1/2) = 1.39 times leaves the scores at 0 and
is followed by forgetting alone; so does an error of the fit of that size raise no alarm.

Sizes that are not exponential make completions other than Poisson. Equal jobs that start together
end together, and 21 such completions after a time in which none was due would be an alarm. So where
the squared coefficient of variation of sizes, c, is below 1, what was due and what was done are
summed up over LUMP (1 - c) times the jobs held before the scores move: a batch that is missing, or
comes at once, is then at most a fourth of what was due, which moves neither score up, as
(1 - 1/2) 4 - 3 ln 2 < 0. Where c is above 1, counts scatter by c times as much, and the likelihood
is flattened by that (R. W. M. Wedderburn, Biometrika 61(3), 1974).
"""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from isocline.compilation.compiled import kernel

FloatArray = npt.NDArray[np.float64]

# The change of speed that each score is made for.
SLOWER, FASTER = 0.5, 2.0
LUMP = 4.0
_LOG_2 = math.log(2.0)
# A level is watched if so many completions were seen within a factor of NEAR: their rate is then
# known to 1 / sqrt(50) = 14 %, half of what would raise a score.
LEAST_COMPLETIONS, NEAR = 50.0, 1.25


class Watch(NamedTuple):
    """B backends, K workloads; the two columns are for slower and faster."""

    rate: FloatArray  # (B, K) fitted jobs/s; 0 where too little was seen, and nothing is watched
    score: FloatArray  # (B, 2)
    expected: FloatArray  # (B, 2) completions since the score was 0
    observed: FloatArray  # (B, 2)
    threshold: FloatArray  # (1,)
    # (B, 4) completions due and done since the scores moved, due before they move, and dispersion
    pending: FloatArray


def watch(backends: int, workloads: int, false_alarms: float) -> Watch:
    """A test without a fit; `false_alarms` per completion, 0 to raise none."""
    threshold = math.log(2.0 / false_alarms) if false_alarms > 0 else math.inf
    pair = (backends, 2)
    return Watch(
        np.zeros((backends, workloads)),
        np.zeros(pair),
        np.zeros(pair),
        np.zeros(pair),
        np.array([threshold]),
        np.array([[0.0, 0.0, 0.0, 1.0]] * backends),
    )


@kernel
def lapse(
    watched: Watch, backend: Any, workload: Any, seconds: float, scatter: float = 1.0
) -> None:
    """Time passed at this workload; `scatter` is c, the variation of sizes."""
    due = watched.rate[backend, workload] * seconds
    if due > 0.0:
        pending = watched.pending[backend]
        pending[0] += due
        pending[2] = max(pending[2], LUMP * (1.0 - scatter) * workload)
        pending[3] = max(scatter, 1.0)
        _settle(watched, backend)


@kernel
def complete(watched: Watch, backend: Any, work: float = 1.0) -> None:
    """So much work was done at workloads that are watched."""
    if work > 0.0:
        watched.pending[backend, 1] += work
        _settle(watched, backend)


@kernel
def _settle(watched: Watch, backend: Any) -> None:
    due, done, owed, scatter = watched.pending[backend]
    if due >= owed:
        watched.pending[backend, :3] = 0.0
        slower = (1.0 - SLOWER) * due - _LOG_2 * done
        faster = (1.0 - FASTER) * due + _LOG_2 * done
        _move(watched, backend, 0, slower / scatter, due, done)
        _move(watched, backend, 1, faster / scatter, due, done)


@kernel
def _move(
    watched: Watch, backend: Any, way: int, gain: float, expected: float, observed: float
) -> None:
    score = watched.score[backend, way] + gain
    if score > 0.0:
        watched.score[backend, way] = score
        watched.expected[backend, way] += expected
        watched.observed[backend, way] += observed
    else:
        forget(watched, backend, way)


@kernel
def forget(watched: Watch, backend: Any, way: int) -> None:
    """Start a score anew."""
    watched.score[backend, way] = 0.0
    watched.expected[backend, way] = 0.0
    watched.observed[backend, way] = 0.0


@kernel
def alarmed(watched: Watch, backend: Any) -> bool:
    """Whether a score is above the threshold."""
    most = max(watched.score[backend, 0], watched.score[backend, 1])
    return most > watched.threshold[0]  # type: ignore[no-any-return]


def speed(watched: Watch, backend: int) -> float:
    """How fast the backend is, over what was fitted, since the change most in evidence."""
    way = int(np.argmax(watched.score[backend]))
    # The prior's one completion keeps a backend that finishes nothing at a speed above 0.
    return float((watched.observed[backend, way] + 1.0) / (watched.expected[backend, way] + 1.0))


def enlarged(watched: Watch, workloads: int) -> Watch:
    """The same scores with room for more workloads."""
    return watched._replace(
        rate=np.pad(watched.rate, ((0, 0), (0, workloads - watched.rate.shape[1])))
    )


def trusted(completions: FloatArray) -> npt.NDArray[np.bool_]:
    """(K,) the workloads near which enough completions (K,) were seen to be watched."""
    level = np.arange(completions.size)
    total = np.append(0.0, np.cumsum(completions))
    first = np.ceil(level / NEAR).astype(np.int64)
    last = np.minimum((level * NEAR).astype(np.int64), completions.size - 1)
    return np.asarray((total[last + 1] - total[first] >= LEAST_COMPLETIONS) & (level > 0))
