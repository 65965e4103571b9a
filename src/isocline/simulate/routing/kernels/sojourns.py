"""Record of a job that leaves."""

from typing import Any

from isocline.compilation.compiled import kernel
from isocline.simulate.common.kernels.counters import CLOCK, JOB_SECONDS, SOJOURN, TIMED
from isocline.simulate.common.kernels.latency_histogram import record


@kernel
def record_sojourn(count: Any, gauge: Any, histogram: Any, born: float, way: float) -> bool:
    """Record the sojourn, s, of a job that leaves now; False if it was there at the start.

    Its client waits for the way besides, and it counts among the jobs for as long.

    Args:
        count: (COUNTERS,) int64, written: TIMED.
        gauge: (GAUGES,) float64; CLOCK is read, and SOJOURN and JOB_SECONDS are written.
        histogram: (BUCKETS,) int32, jobs by sojourn; one entry grows by 1.
        born: s, when the job arrived; negative if it was there at the start.
        way: s, to its backend and back.
    """
    if born < 0.0:
        return False
    sojourn = gauge[CLOCK] - born + way
    gauge[JOB_SECONDS] += way
    record(histogram, sojourn)
    gauge[SOJOURN] += sojourn
    count[TIMED] += 1
    return True
