"""Distance of a router from the optimum, from two snapshots: one at the start of a window, one now.

The rates are those at which requests were served, N_b the requests in flight at a backend, the
latency that of the served; curves are those of the file, or as learned by now. So the gap covers
served requests only: refused ones count neither in the latency nor in the load.
"""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple, final

import numpy as np
import numpy.typing as npt

from isocline.compilation.interpretable import interpreted_if_small
from isocline.errors import IsoclineError, UsageError
from isocline.flow import capacity_scale
from isocline.gateway.metrics.curve_intervals import curve_of, known_of
from isocline.gateway.metrics.snapshot import LiveBackend, Snapshot
from isocline.learn import Interval, Known
from isocline.model.fleet import Backend, Frontend, RoutingSystem
from isocline.model.graph import CompatibilityGraph
from isocline.model.traffic import PoissonArrivals
from isocline.plural import counted
from isocline.theory.planning import plan
from isocline.theory.routing.optimality_gap import Measured, OptimalityGap, optimality_gap
from isocline.theory.routing.plan_records import BackendPlan, EdgeSaving, TierPlan

FloatArray = npt.NDArray[np.float64]
MaskArray = npt.NDArray[np.bool_]

LEAST = 100  # requests served: of fewer, with exponential latencies, the mean is off by over 10 %
PARTS = ("optimum", "misrouted", "fluctuation", "held", "outside")  # of the mean latency
_EDGES = 3  # missing edges solved exactly, each at the cost of the optimum itself
_MOST_PAIRS = 100_000  # of frontends and backends: with more the screening takes over 50 ms


@final
@dataclass(frozen=True)
class Optimality:
    """Account of one window; without a gap `why_not` has the reason."""

    window: float = 0.0  # s
    served: int = 0  # requests in it
    gap: OptimalityGap | None = None
    # By how much the rates could grow at the backends that are not drained; None where learned
    # curves were not seen to bend.
    capacity_scale: float | None = None
    capacity_interval: Interval | None = None  # 95 %, of the same, from what was seen of curves
    unseen: tuple[str, ...] = ()  # backends that the optimum gives more jobs than were seen there
    missing_edges: tuple[EdgeSaving, ...] = ()  # s of mean latency, best first
    tiers: tuple[TierPlan, ...] = ()  # of the optimum, the cheapest first
    backends: tuple[BackendPlan, ...] = ()  # at the optimum
    why_not: str = "no window yet"


class _Served(NamedTuple):
    requests: float
    seconds: float
    wait: float


def optimality_between(start: Snapshot, end: Snapshot) -> Optimality:
    """Account of a window between two snapshots, both merged over the same processes."""
    window = end.now - start.now
    served = _served(start, end)
    count = int(sum(it.requests for it in served.values()))
    if count < LEAST or window <= 0:
        why_not = f"{counted(count, 'request')} served in {window:.0f} s; {LEAST} are wanted"
        return Optimality(window, count, why_not=why_not)
    try:
        system, live = _system(served, end, window)
        if any(it.prompt_tokens for it in end.backends.values()):
            raise UsageError(
                "with prefix caches the work of a request depends on where it goes, which this "
                "account does not know"
            )
    except IsoclineError as error:
        return Optimality(window, count, why_not=str(error))

    def found() -> Optimality:
        try:
            gap = optimality_gap(system, _measured(system, live, served, start, end))
        except IsoclineError as error:
            return Optimality(window, count, why_not=str(error))
        return _ahead(Optimality(window, count, gap, why_not=""), system, live)

    # Compiling takes seconds, in which a router would serve slowly.
    return interpreted_if_small(system.graph.edges, found, never_compile=True)


def _ahead(now: Optimality, system: RoutingSystem, live: Mapping[str, LiveBackend]) -> Optimality:
    """Add capacity and missing edges, unless a curve is not strictly concave."""
    try:
        ahead = plan(system, edges_to_try=_EDGES if _is_small(system) else 0)
    except IsoclineError:
        return now
    known = {name: known_of(it) for name, it in live.items()}
    unseen = [
        entry.name
        for entry in ahead.backends
        if (found := known[entry.name]) is not None and entry.jobs > max(found.seen, 1)
    ]
    takes = np.array([not it.draining for it in live.values()])
    interval = _capacity_interval(system, known, takes)
    if takes.all():
        scale = ahead.capacity_scale
    else:
        scale = _scale(system, system.capacities, takes)
    return replace(
        now,
        # A fitted curve goes on beyond what was seen as the prior has it, which is no estimate.
        capacity_scale=None if interval and interval.high is None else scale,
        capacity_interval=interval,
        unseen=tuple(unseen),
        missing_edges=ahead.missing_edges,
        tiers=ahead.tiers,
        backends=ahead.backends,
    )


def _scale(system: RoutingSystem, capacities: FloatArray, takes: MaskArray) -> float:
    """By how much the rates could grow, with those backends (B,) alone that take requests."""
    some = np.maximum(np.where(takes, capacities, 0.0), np.finfo(np.float64).tiny)
    return capacity_scale(system.graph, system.rates, some).scale


def _capacity_interval(
    system: RoutingSystem, known: Mapping[str, Known | None], takes: MaskArray
) -> Interval | None:
    """Interval of the capacity scale, from all backends' lower ends and all their upper ends.

    None if all curves are given. The scale grows with each capacity, so its true value is between
    wherever all of them are.
    """
    if not any(known.values()):
        return None
    ends = []
    for backend in system.backends:
        peak, found = backend.curve.supremum, known[backend.name]
        ends.append(found.capacity.holding(peak) if found else Interval(peak, peak))
    low = np.array([end.low for end in ends])
    high = np.array([math.inf if end.high is None else end.high for end in ends])
    least, most = (_scale(system, end, takes) for end in (low, high))
    return Interval(least, most if math.isfinite(most) else None)


def notes(found: Optimality) -> list[str]:
    """Sentences on extrapolations of learned curves that an account uses."""
    said, interval = [], found.capacity_interval
    if interval and interval.high is None:
        said.append(
            f"capacity_scale is not known: it is at least {interval.low:.3g}, by what was seen of "
            "learned curves; backends were not seen to bend, and may do more"
        )
    elif interval and interval.high is not None:
        said.append(
            f"capacity_scale is learned: it is between {interval.low:.3g} and {interval.high:.3g}"
        )
    if found.unseen:
        said.append(
            f"the optimum gives {', '.join(found.unseen)} more jobs than were seen there: gap and "
            "missing edges rest on the extrapolated part of the curve"
        )
    return said


def _served(start: Snapshot, end: Snapshot) -> Mapping[tuple[str, str], _Served]:
    """Requests served in the window, for each pair that is still connected."""
    found = {}
    for frontend, seen in end.frontends.items():
        for backend in seen.live.backends if seen.live else ():
            now = end.pairs.get(frontend, {}).get(backend)
            if now is None:
                continue
            then = start.pairs.get(frontend, {}).get(backend)
            found[frontend, backend] = _Served(
                now.served - (then.served if then else 0),
                now.served_seconds - (then.served_seconds if then else 0.0),
                now.served_wait - (then.served_wait if then else 0.0),
            )
    return found


def _system(
    served: Mapping[tuple[str, str], _Served], end: Snapshot, window: float
) -> tuple[RoutingSystem, dict[str, LiveBackend]]:
    """System of the frontends that had arrivals, and all backends."""
    rates: dict[str, float] = {}
    for (frontend, _), it in served.items():
        rates[frontend] = rates.get(frontend, 0.0) + it.requests / window
    live = {name: seen.live for name, seen in end.backends.items() if seen.live}
    number = {name: b for b, name in enumerate(live)}
    backends = tuple(Backend(name, curve_of(it)) for name, it in live.items())
    frontends, neighbours = [], []
    for name, rate in rates.items():
        now = end.frontends[name].live
        if rate > 0 and now:
            frontends.append(Frontend(name, PoissonArrivals(rate)))
            neighbours.append([number[backend] for backend in now.backends])
    graph = CompatibilityGraph.from_neighbours(len(backends), neighbours)
    return RoutingSystem(tuple(frontends), backends, graph, name=end.system), live


def _measured(
    system: RoutingSystem,
    live: Mapping[str, LiveBackend],
    served: Mapping[tuple[str, str], _Served],
    start: Snapshot,
    end: Snapshot,
) -> Measured:
    window = end.now - start.now
    inflows = dict.fromkeys(live, 0.0)
    for (_, backend), it in served.items():
        inflows[backend] += it.requests / window
    workloads = [_rise("job_seconds", name, start, end) / window for name in live]
    total, seconds, wait = (sum(column) for column in zip(*served.values(), strict=True))
    return Measured(
        rates=system.rates,
        inflows=np.array(list(inflows.values())),
        workloads=np.array(workloads),
        latency=seconds / total,
        held=wait / total,
        curve_errors=_curve_errors(live),
        count_errors=_count_errors(live, inflows, start, end),
    )


def _curve_errors(live: Mapping[str, LiveBackend]) -> FloatArray | None:
    """Relative standard errors of the curves' speeds (completions are Poisson); None: all given."""
    if all(it.learned is None for it in live.values()):
        return None
    return np.array([relative_error(it) or 0.0 for it in live.values()])


def relative_error(live: LiveBackend) -> float | None:
    """Relative standard error of a learned curve's speed; None for a given one."""
    if live.learned is None:
        return None
    known = live.learned.completions + live.learned.assumed
    return 1.0 / math.sqrt(known + live.workers)  # one of each one's prior


def _count_errors(
    live: Mapping[str, LiveBackend],
    inflows: Mapping[str, float],
    start: Snapshot,
    end: Snapshot,
) -> FloatArray | None:
    """Mean error of N found by reports, by backend; None if one in use does not report."""
    errors = []
    for name in live:
        reports = _rise("reports", name, start, end)
        if reports:
            errors.append(_rise("surprises", name, start, end) / reports)
        elif inflows[name]:
            return None
        else:
            errors.append(0.0)
    return np.array(errors)


def _rise(what: str, backend: str, start: Snapshot, end: Snapshot) -> float:
    """Increase of a count of a backend."""
    then = start.backends.get(backend)
    return float(getattr(end.backends[backend], what) - (getattr(then, what) if then else 0))


def _is_small(system: RoutingSystem) -> bool:
    return len(system.frontends) * len(system.backends) <= _MOST_PAIRS


@final
class History:
    """Snapshots of the last `seconds`, which are added more often than that."""

    def __init__(self, seconds: float = 60.0) -> None:
        self.seconds = seconds
        self._kept: deque[Snapshot] = deque()

    def add(self, snapshot: Snapshot) -> None:
        """Add a snapshot, merged over all processes."""
        self._kept.append(snapshot)
        while len(self._kept) > 2 and self._kept[1].now <= snapshot.now - self.seconds:
            self._kept.popleft()

    def optimality(self) -> Optimality:
        """Account from the oldest to the latest snapshot."""
        kept = list(self._kept)
        return optimality_between(kept[0], kept[-1]) if len(kept) > 1 else Optimality()
