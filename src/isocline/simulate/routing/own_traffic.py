"""Check of the stated means of a user's own arrivals and sizes against samples.

Load and bound are computed from the stated rate and from sizes of mean 1. Where either is untrue, a
policy may seem better than the best possible.

The counts of independent samples give their own standard error, whatever the process: bursts make
them differ, and the test blunter. Only their later half is counted, as a process may start in any
state. A true process is refused once in a million runs: Student's t of the samples' mean, where
that is normal, beyond an allowance for what has an end inside the half.
"""

import math

import numpy as np
import numpy.typing as npt

from isocline.errors import UsageError
from isocline.model.fleet import Frontend, RoutingSystem
from isocline.model.traffic.own import sizes_of, times_of
from isocline.simulate.common.random_streams import ARRIVALS, SIZES, random_stream
from isocline.simulate.common.statistics import student_t
from isocline.user_code import is_own

FloatArray = npt.NDArray[np.float64]

SAMPLES = 10
MOST_JOBS = 100_000  # in one sample: 0.1 s of a numpy generator
SIZES_EACH = 10_000
CHANCE = 1e-6  # of a refusal without reason
ENDS = 2.0  # jobs: a process with fixed gaps has one more or less between two times
ROUNDING = 1e-6  # relative


def require_true_means(system: RoutingSystem, seed: int, until: float) -> None:
    """Check a user's stationary arrivals and sizes; a run may go on until `until`, s.

    Raises:
        UsageError: More or fewer jobs come than the rate says, or sizes have another mean than 1.
    """
    for number, frontend in enumerate(system.frontends):
        if is_own(type(frontend.arrivals)) and frontend.arrivals.is_stationary:
            _require_rate(number, frontend, seed, until)
    if is_own(type(system.sizes)):
        drawn = [
            sizes_of(system.sizes, random_stream(seed, r, SIZES), SIZES_EACH)
            for r in range(SAMPLES)
        ]
        means = np.array([sample.mean() for sample in drawn])
        if _differs(means, 1.0, 0.0):
            raise UsageError(
                f"sizes: {type(system.sizes).__name__}.sample gives sizes of mean "
                f"{means.mean():.4g}; divide them by their mean, which must be 1"
            )


def _require_rate(number: int, frontend: Frontend, seed: int, until: float) -> None:
    rate = frontend.arrivals.rate
    if rate == 0.0:
        return
    until = min(until, MOST_JOBS / rate)
    half = until / 2.0
    label = f"frontend {frontend.name!r}"
    counts = np.array(
        [
            np.count_nonzero(
                times_of(label, frontend.arrivals, random_stream(seed, r, ARRIVALS, number), until)
                >= half
            )
            for r in range(SAMPLES)
        ],
        dtype=np.float64,
    )
    if _differs(counts, rate * half, ENDS):
        raise UsageError(
            f"{label}: {type(frontend.arrivals).__name__} says rate {rate:g} jobs/s, but its "
            f"sample gives {counts.mean() / half:.4g} from {half:g} s to {until:g} s; mend one of "
            "the two, or set is_stationary = False if the rate changes with time"
        )


def _differs(values: FloatArray, mean: float, allowance: float) -> bool:
    """Whether (R,) independent values do not have this mean."""
    error = float(np.std(values, ddof=1)) / math.sqrt(values.size)
    t = student_t.quantile(1.0 - CHANCE / 2.0, values.size - 1)
    return abs(float(values.mean()) - mean) > t * error + allowance + ROUNDING * mean
