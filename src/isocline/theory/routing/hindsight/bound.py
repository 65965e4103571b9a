"""Hindsight bound: the least total delay of given arrivals under any policy, the future known.

**What it bounds.** `certificates` states the program: a fluid with given arrivals, in which each
job is split as it comes and pool b drains at most at l_b, straight between whole numbers of jobs.
Its least total delay V is a lower bound of

1. the total delay of every routing of this fluid, whether it knows the future or not;
2. the expected total delay of every policy for real jobs whose work is memoryless (exponential
   sizes), so that they leave at rate l_b(N_b), as in the model of the GMSR paper. The policy may
   know all arrivals in advance, hold jobs at frontends and draw lots; it does not know sizes.

Proof of 2: given the arrivals, the mean workloads n_b = E N_b obey n_b' = E inflow_b - E l_b(N_b).
N_b is whole, and the function that is straight between whole numbers is concave, so that
E l_b(N_b) <= l_b(n_b) (Jensen). So the means are a feasible path of the fluid, and their delay is
the mean delay. (Holding does not help: see `certificates`.)

Where the frontends of jobs are drawn by lot, each job comes to all of them in proportion. V is
convex in the inflow, so that this is at most the mean of V over the lots.

Of jobs with *given sizes*, or of another law, under processor sharing, V is the optimum of the
fluid alone, in which every job has the mean size: a yardstick, and no theorem. A batch of jobs most
of which are tiny leaves faster than one of memoryless jobs (n jobs at a constant total rate of 1
take n E S + n (n - 1) E min(S, S') together, and E min is 1/2 for exponential sizes), and a policy
that knows sizes can use them.

**How it is found.** `interior_point` solves the program on cells of time, `certificates` values the
result in continuous time from both sides, and where these part, cells are divided.
"""

import math
import time as clock
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from isocline.arguments import SHARE, at_least, checked, numbers
from isocline.errors import UsageError
from isocline.model.fleet import RoutingSystem
from isocline.theory.routing.hindsight.certificates import (
    LowerBound,
    UpperBound,
    from_above,
    from_below,
    gap_of_cells,
)
from isocline.theory.routing.hindsight.interior_point import (
    Iterate,
    advance,
    arrivals_at,
    begun,
    by_latency,
    refined,
)
from isocline.theory.routing.hindsight.pools import Pools, TooLargeError, pooled

FloatArray = npt.NDArray[np.float64]

_FIRST_CELLS = 128  # of even length, and as many with the same number of jobs in each
_LAST_CELLS = 64  # while the last jobs leave
_SHORTEST = 1e-10  # cell, relative to the whole time: its ends must differ
_LEAST_CELLS = 2 * _FIRST_CELLS + _LAST_CELLS
# Prices bend where a job comes, and less and less after it: so many cells a job show all of that.
_PER_JOB = 40
_MOST_ENTRIES = 4_000_000  # cells times edges, of the finest cells: some 1 GB
_MOST_WORK_A_STEP = 1e9  # multiplications: half a second
_MOST_PARTS = 8  # of a cell at once
_WORTHWHILE = 1.1  # times as many cells, or none
_MOST_STEPS = 40  # on the same cells
_MOST_WORK = 25  # steps on the most cells there may be, or as many as cost the same on fewer
_STALLED = 8  # steps in which the bounds hardly come closer
_LEAST_CORNER = 1.0 / 64.0  # jobs
# Of the tolerance: what cells may leave of the gap; the rest is for routing that is nearly optimal.
_OF_CELLS = 0.5


@final
@dataclass(frozen=True)
class HindsightBound:
    """Least total delay of given arrivals, between two certificates."""

    lower: float  # job-seconds: no policy takes less
    upper: float  # job-seconds: one that knows the future takes this
    jobs: float  # that came
    cells: int  # of time
    seconds: float  # that it took

    @property
    def gap(self) -> float:
        """Distance of the two, relative to the lower one."""
        return self.upper / self.lower - 1.0

    @property
    def latency(self) -> float:
        """The least mean latency, s."""
        return self.lower / self.jobs


Progress = Callable[[HindsightBound], None]


@checked(tolerance=SHARE, cells=at_least(_LEAST_CELLS))
def hindsight_bound(
    system: RoutingSystem,
    times: npt.ArrayLike,
    frontends: npt.ArrayLike | None = None,
    *,
    start: npt.ArrayLike | None = None,
    tolerance: float = 0.01,
    cells: int = 20_000,
    progress: Progress | None = None,
) -> HindsightBound:
    """The least total delay of given arrivals, until all jobs have left.

    Args:
        system: Backends and edges. Its rates matter only where `frontends` is left out: they are
            the proportions in which frontends get jobs.
        times: (n,) s, from 0 on, in order.
        frontends: (n,) number of the frontend at which each job comes; None if by lot.
        start: (B,) jobs at each backend at time 0, whose delay counts, too; by default none.
        tolerance: Relative distance of the two bounds at which to stop.
        cells: The most cells of time. Where they do not reach the tolerance, `gap` says so.
        progress: Called after each step with the result so far.

    Raises:
        UsageError: There are no times, or one is below 0 or before the one before it, there is no
            frontend of a number, or `start` is not a number of jobs for each backend.
        TooLargeError: There are too many unlike backends, or jobs.
    """
    began = clock.perf_counter()
    time, frontend, jobs = _arrivals(system, times, frontends, start)
    shares = system.rates
    if frontend is not None:
        shares = np.bincount(frontend, minlength=system.graph.sources).astype(np.float64)
    pools = pooled(system.graph, system.curves, jobs, time, frontend, shares)
    count = float(time.size + jobs.sum())
    search = _Search(pools, count, tolerance, min(cells, _most_cells(pools, count)))

    def found() -> HindsightBound:
        seconds = clock.perf_counter() - began
        return HindsightBound(search.lower, search.upper, count, search.cells, seconds)

    while not search.done:
        search.step()
        if progress is not None:
            progress(found())
    return found()


def _most_cells(pools: Pools, count: float) -> int:
    """Beyond it more cells show nothing more, or take too much time or memory.

    Raises:
        TooLargeError: The least that there are do so.
    """
    degree = np.diff(pools.first).astype(np.float64)
    per_cell = max(
        pools.members.size**3 / _MOST_WORK_A_STEP,
        float(degree.sum()) / _MOST_ENTRIES,
        float((degree**2).sum()) / _MOST_WORK_A_STEP,
    )
    possible = int(1.0 / per_cell)
    if possible < _LEAST_CELLS:
        raise TooLargeError(
            f"hindsight bound: {pools.members.size} unlike backends and {pools.pool.size} edges of "
            "unlike frontends; give systems with fewer kinds of them"
        )
    useful = int(max(_PER_JOB * count, 10.0 * _LEAST_CELLS))
    return min(useful, possible)


@final
class _Search:
    """Steps of the interior-point method, and finer cells, until the bounds are close."""

    def __init__(self, pools: Pools, count: float, tolerance: float, most: int) -> None:
        self._pools, self._count, self._tolerance, self._most = pools, count, tolerance, most
        self.lower, self.upper = 0.0, math.inf
        self._work = 0
        self._exhausted = False
        self._gap_before = math.inf  # of the last cells
        self._use(begun(pools, first_nodes(pools)))

    def _use(self, point: Iterate) -> None:
        self._point, self._steps, self._stalled = point, 0, 0
        self._arrivals = arrivals_at(self._pools, point.node)
        self._least_gap = math.inf

    @property
    def cells(self) -> int:
        """Cells at present."""
        return self._point.node.size - 1

    @property
    def done(self) -> bool:
        """Whether the bounds are close, or nothing is left to try."""
        close = self.upper <= (1.0 + self._tolerance) * self.lower
        return close or self._exhausted or self._work > _MOST_WORK * self._most

    def step(self) -> None:
        """One step; then the bounds, and if it is time for it, finer cells."""
        pools, point = self._pools, self._point
        try:
            length = advance(pools, point, self._arrivals)
        except np.linalg.LinAlgError:  # numbers too far apart: the bounds so far hold
            self._exhausted = True
            return
        self._steps += 1
        self._work += self.cells
        below = from_below(pools, point.node, point.prices(pools))
        above = from_above(pools, point.node, point.shares())
        self.lower, self.upper = max(self.lower, below.value), min(self.upper, above.value)
        slack, gap = point.slack(pools, self._arrivals), above.value - below.value
        self._stalled = self._stalled + 1 if gap > 0.9 * self._least_gap else 0
        self._least_gap = min(gap, self._least_gap)
        # Each edge of a job adds `slack`; where that is little of the gap, the rest is of cells.
        of_routing = slack * float(np.mean(np.diff(pools.first))) * self._count
        if (
            of_routing < max(0.1 * self._tolerance * self.lower, 0.2 * gap)
            or self._stalled >= _STALLED
            or self._steps >= _MOST_STEPS
        ):
            self._refine(below, above)
        else:
            factor = 0.1 if length > 0.9 else 0.4 if length > 0.5 else 1.0
            point.epsilon = max(factor * slack, 1e-5 * self.lower / self._count)

    def _refine(self, below: LowerBound, above: UpperBound) -> None:
        """Divide cells, and make corners sharper; or say that there is nothing left to try."""
        node, corner = self._point.node, self._point.corner
        gap = np.maximum(gap_of_cells(self._pools, below, above), 0.0)
        if not np.isfinite(gap).all():
            self._exhausted = True
            return
        wanted = _OF_CELLS * self._tolerance * max(self.lower, 0.1 * self.upper)
        # The gap of a cell falls with the square of the number m of its parts. Of all m with the
        # same sum of gap / m^2 those proportional to its cube root have the least sum.
        root = np.cbrt(gap)
        exact = np.clip(root * math.sqrt(float(root.sum()) / wanted), 1.0, _MOST_PARTS)
        exact[np.diff(node) < _SHORTEST * node[-1]] = 1.0
        parts = np.ceil(exact).astype(np.int64)
        while (total := int(parts.sum())) > self._most and exact.max() > 1.0:
            exact = np.maximum(exact * (0.9 * self._most / total), 1.0)
            parts = np.ceil(exact).astype(np.int64)
        if not _WORTHWHILE * (node.size - 1) <= total <= self._most:
            parts[:] = 1
        # Finer cells that did not help leave corners as the reason.
        if parts.max() == 1 or self._least_gap > 0.5 * self._gap_before:
            corner = max(corner / 4.0, _LEAST_CORNER)
        self._gap_before = self._least_gap
        self._exhausted = parts.max() == 1 and corner == self._point.corner
        if not self._exhausted:
            self._use(refined(self._pools, self._point, divided(node, parts), corner))


def first_nodes(pools: Pools) -> FloatArray:
    """(K + 1,) s: cells even in time and in jobs, and growing ones in which the last leave."""
    time = pools.jobs.time
    last, rank = float(time[-1]), np.linspace(0.0, 1.0, _FIRST_CELLS + 1)
    node = np.unique(np.concatenate((rank * last, np.quantile(time, rank, method="lower"))))
    shortest = max(1e-3 * float(pools.alone.min()), _SHORTEST * last)
    _, jobs = by_latency(pools, np.append(node, last + shortest))
    # Longer than they take, as the last whole number below n is served at more than its rate.
    rest = max(
        float(np.sum(1.0 / rate[1 : 2 + math.ceil(n)]))
        for rate, n in zip(pools.rate, jobs[-1].tolist(), strict=True)
    )
    tail = np.geomspace(min(shortest, 0.1 * rest), 2.0 * rest, _LAST_CELLS)
    return np.unique(np.concatenate((node, last + tail)))


def divided(node: FloatArray, parts: npt.NDArray[np.int64]) -> FloatArray:
    """The nodes, with each cell divided into so many."""
    first = np.repeat(node[:-1], parts)
    within = np.arange(first.size) - np.repeat(np.cumsum(parts) - parts, parts)
    return np.append(first + within * np.repeat(np.diff(node) / parts, parts), node[-1])


def _arrivals(
    system: RoutingSystem,
    times: npt.ArrayLike,
    frontends: npt.ArrayLike | None,
    start: npt.ArrayLike | None,
) -> tuple[FloatArray, npt.NDArray[np.int64] | None, FloatArray]:
    """Times, frontends and jobs at the start, checked."""
    time: FloatArray = numbers("times", times)
    row = time.ndim == 1 and time.size > 0
    if not (row and np.isfinite(time).all() and (np.diff(time, prepend=0.0) >= 0.0).all()):
        raise UsageError("times: give one or more finite numbers, 0 or more, in order")
    frontend = None
    if frontends is not None:
        frontend = np.asarray(frontends)
        most, whole = system.graph.sources, frontend.dtype.kind in "iu"
        if not whole or frontend.shape != time.shape or not _within(frontend, most):
            raise UsageError(
                f"frontends: give a whole number from 0 to {most - 1} for each of {time.size} jobs"
            )
        frontend = frontend.astype(np.int64)
    backends = system.graph.sinks
    jobs: FloatArray = np.zeros(backends) if start is None else numbers("start", start)
    if jobs.shape != (backends,) or not (np.isfinite(jobs) & (jobs >= 0.0)).all():
        raise UsageError(f"start: give a finite number, 0 or more, for each of {backends} backends")
    return time, frontend, jobs


def _within(values: npt.NDArray[np.integer], most: int) -> bool:
    return bool(((values >= 0) & (values < most)).all())
