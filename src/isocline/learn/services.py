"""Workloads at which finished jobs were served: their work counts there, not where they ended.

Jobs of equal size that start together end together. If each counted where it left, N jobs would
count for the workloads N, N - 1, ..., 1, of which all but the first last no time, and rates at low
workloads come out several times too high.

A job is taken as k stages of exponential size, one after the other, with 1/k = c, the squared
coefficient of variation of sizes. The last stage ends with the job; given that, the others ended
uniformly over the service that it had (order statistics of a Poisson process), which is a step of
expectation maximisation (A. P. Dempster, N. M. Laird, D. B. Rubin, J. R. Stat. Soc. B 39(1), 1977).
So a share c of a completion counts where the job ended, and the rest at the workloads of its stay,
in proportion to its service there, l(n) / n a second under processor sharing by the curve fitted
last. Exponential sizes, c = 1, count where they end, as without memory they should; equal ones,
c = 0, are spread over their stay. c is measured: it is the scatter of the service that jobs had,
over the work that they are said to be.

A job does not end at an instant. Servers work in steps, at the end of which all that are done leave
one by one within microseconds, and a machine that stood still hands over several at once. N that
leave so would count for N, N - 1, ..., 1 again, for a share c each: 0.24 completions in 39
microseconds, a rate of 6000/s at a server of 8. So "where it ended" is spread over the last LATE of
the job's service. Workloads move little in that time, as 2 n LATE jobs come and go.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from isocline.compilation.compiled import kernel

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

# Changes of workload that are remembered for each backend: a stay sees about two for each job held.
# A job that saw more counts where it ends. A walk over all takes about a microsecond.
REMEMBERED = 512
# Sizes are believed to be equal to begin with, as if so many jobs had shown it, and older jobs
# count less.
_FIRST, _REPLACED = 8.0, 500.0
# From here on sizes are taken to be exponential, whose c comes out at 0.8 to 1 while the curve that
# services are measured by is still learned.
_EXPONENTIAL = 0.75
# A step, of a job of 20 tokens.
LATE = 0.05


class Services(NamedTuple):
    """B backends, K workloads; written by `changed` and `variation`, `rate` by the learner."""

    rate: FloatArray  # (B, K) fitted service of one job, l(n) / n, jobs/s
    time: FloatArray  # (B, REMEMBERED) s, of the last changes of the workload, in a ring
    given: FloatArray  # (B, REMEMBERED) service of one job until then, since the beginning
    workload: IntArray  # (B, REMEMBERED) held before the change
    changes: IntArray  # (B,) ever
    sizes: FloatArray  # (B, 3) weight of jobs, sums of service over work of each, and squares


def services(backends: int, workloads: int) -> Services:
    """An empty record."""
    ring = (backends, REMEMBERED)
    return Services(
        np.zeros((backends, workloads)),
        np.zeros(ring),
        np.zeros(ring),
        np.zeros(ring, np.int64),
        np.zeros(backends, np.int64),
        np.zeros((backends, 3)),
    )


def enlarged(served: Services, workloads: int) -> Services:
    """The same with room for more workloads, of which nothing is fitted."""
    more = ((0, 0), (0, workloads - served.rate.shape[1]))
    return served._replace(rate=np.pad(served.rate, more, mode="edge"))


@kernel
def changed(served: Services, backend: Any, workload: Any, now: float) -> None:
    """A backend has held a workload until now, s, since the change before."""
    count = served.changes[backend]
    place = count % REMEMBERED
    given = 0.0
    if count > 0:
        last = (count - 1) % REMEMBERED
        pause = now - served.time[backend, last]
        given = served.given[backend, last] + pause * served.rate[backend, workload]
    served.time[backend, place] = now
    served.given[backend, place] = given
    served.workload[backend, place] = workload
    served.changes[backend] = count + 1


@kernel
def variation(served: Services, backend: Any) -> float:
    """The squared coefficient of variation of sizes, c; 1 where none was measured."""
    weight, total, squares = served.sizes[backend]
    if total <= 0.0:
        return 1.0
    mean = total / weight
    scatter = max(squares / weight - mean * mean, 0.0) / (mean * mean)
    return scatter * weight / (weight + _FIRST)  # type: ignore[no-any-return]


@kernel
def stay(served: Services, backend: Any, began: float) -> tuple[Any, float]:
    """Where a job's stay lies in the ring, to be called once the change that ended it is in.

    Returns the number of the first change after `began`, s, and the service that one job had been
    given by then; -1 where so long ago is not remembered.
    """
    end = served.changes[backend]
    low, high = max(end - REMEMBERED, 0) + 1, end - 1
    if low > high or served.time[backend, (low - 1) % REMEMBERED] > began:
        return -1, 0.0
    while low < high:
        middle = (low + high) // 2
        if served.time[backend, middle % REMEMBERED] > began:
            high = middle
        else:
            low = middle + 1
    before, after = (low - 1) % REMEMBERED, low % REMEMBERED
    pause = served.time[backend, after] - served.time[backend, before]
    share = min((began - served.time[backend, before]) / pause, 1.0) if pause > 0.0 else 1.0
    given = served.given[backend, before]
    return low, given + share * (served.given[backend, after] - given)


@kernel
def measure(served: Services, backend: Any, given: float, work: float) -> None:
    """Count the size of a job that ends with the last change, and began at so much service."""
    last = (served.changes[backend] - 1) % REMEMBERED
    size = (served.given[backend, last] - given) / work
    if size > 0.0:
        sizes = served.sizes[backend]
        keep = 1.0 if sizes[0] < _REPLACED else 1.0 - 1.0 / _REPLACED
        sizes[0] = keep * sizes[0] + 1.0
        sizes[1] = keep * sizes[1] + size
        sizes[2] = keep * sizes[2] + size * size


@kernel
def spread(
    served: Services,
    backend: Any,
    first: Any,
    given: float,
    work: float,
    done: FloatArray,
    counted: FloatArray,
) -> tuple[float, float]:
    """Add a job's work to done (K,) at the workloads of its stay, which is as `stay` returns it.

    Returns the share of the job that is not in it, to be counted where the job ended, and that
    which was added where `counted` (K,) is above 0.
    """
    c = variation(served, backend)
    if c >= _EXPONENTIAL:
        c = 1.0
    last = served.changes[backend] - 1
    until = served.given[backend, last % REMEMBERED]
    total = until - given
    if total <= 0.0:
        return 1.0, 0.0
    late, seen = until - LATE * total, 0.0
    change = last
    while change >= first and (c < 1.0 or until > late):
        before = given if change == first else served.given[backend, (change - 1) % REMEMBERED]
        ended = max(until - max(before, late), 0.0) / (LATE * total)
        part = (1.0 - c) * (until - before) / total + c * ended
        workload = served.workload[backend, change % REMEMBERED]
        done[workload] += part * work
        if counted[workload] > 0.0:
            seen += part
        until, change = before, change - 1
    return 0.0, seen
