"""A fleet that changes during a run: backends come, go, and get other curves, at given times.

The kernels know one graph. So it holds the frontends of every period, each with the edges that it
has then, and its arrivals come in that period alone; a backend that is missing in a period has no
edge in it and serves what it has left, as in the fluid model
(`theory.routing.piecewise_parameters`). Curves change at the beginning of a period, and policies
are told. A policy that remembers something per frontend, such as the latencies it saw, begins each
period anew, as a router that is configured again does.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Self, final

import numpy as np
import numpy.typing as npt

from isocline.errors import UsageError
from isocline.model.curves import Curve
from isocline.model.fleet import Backend, Frontend, RoutingSystem
from isocline.model.graph import CompatibilityGraph
from isocline.model.replay import frontends_of
from isocline.model.traffic import Arrivals, Mix, Sizes, Trace
from isocline.simulate.routing.failure import (
    BackendFailure,
    Failure,
    by_number,
    require_failures_fit,
    with_failures,
)
from isocline.simulate.routing.prepare import nearly_optimal
from isocline.theory.routing.equilibrium import FluidOptimum
from isocline.theory.routing.piecewise_parameters import Period, periods

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]


@final
@dataclass(frozen=True)
class WindowArrivals(Arrivals):
    """Another process, within a window of time."""

    inner: Arrivals
    begin: float  # s
    end: float  # s, may be inf

    @property
    def rate(self) -> float:
        """Rate within the window."""
        return self.inner.rate

    @property
    def is_stationary(self) -> bool:
        return False

    @property
    def in_words(self) -> str:
        return self.inner.in_words

    def sped_up(self, factor: float) -> Self:
        return self.__class__(self.inner.sped_up(factor), self.begin / factor, self.end / factor)

    def enlarged(self, factor: float) -> Self:
        return self.__class__(self.inner.enlarged(factor), self.begin, self.end)

    def sample(self, rng: np.random.Generator, until: float) -> FloatArray:
        # From 0 on, so that what has a clock of its own keeps it.
        times = self.inner.sample(rng, min(self.end, until))
        return times[times >= self.begin]


@final
@dataclass(frozen=True, eq=False)
class CurveChange:
    """Change of a backend's curve at `time`, which policies know."""

    time: float  # s
    backend: int
    curve: Curve  # jobs/s


@final
@dataclass(frozen=True, eq=False)
class ChangingFleet:
    """All periods as one system, whose frontends are those of the periods one after the other."""

    system: RoutingSystem
    optimum: FluidOptimum  # of the first period; `split` has every period's own
    changes: tuple[CurveChange, ...]
    periods: tuple[Period, ...]
    failures: tuple[BackendFailure, ...]
    failing: tuple[str, ...]  # each failure in words

    @property
    def in_words(self) -> tuple[str, ...]:
        """Phrases for the footnotes of a table."""
        later = (f"{one.system.name} from {one.begin:g} s" for one in self.periods[1:])
        return (*self.failing, *later)

    @property
    def lasting(self) -> tuple[FloatArray, FloatArray]:
        """(F,) arrival rates of the last period, and (B,) capacities in it, jobs/s.

        A frontend of another period brings nothing in it.
        """
        last = self.periods[-1]
        rates = np.zeros(self.system.rates.size)
        rates[-last.system.rates.size :] = last.system.rates
        return rates, np.array([curve.supremum for curve in last.curves])

    @property
    def named(self) -> IntArray:
        """(F,) a number that the frontends of all periods with one name share, from 0 on."""
        numbers: dict[str, int] = {}
        names = (frontend.name for one in self.periods for frontend in one.system.frontends)
        return np.array([numbers.setdefault(name, len(numbers)) for name in names], np.int32)

    def assigned(self, trace: Trace) -> Trace:
        """The trace with each request at the frontend that it has in its period.

        Raises:
            UsageError: The trace does not say where its requests come in, and there is a choice; or
                the periods do not agree on how much work its tokens are.
        """
        self._require_same_weights(trace)
        begins = np.array([one.begin for one in self.periods])
        period = np.searchsorted(begins, trace.times, side="right") - 1
        of = np.empty(trace.times.size, np.int32)
        first = 0
        for p, one in enumerate(self.periods):
            known = frontends_of(one.system, trace)
            if known is None and len(one.system.frontends) > 1:
                raise UsageError(
                    f"trace {trace.name}: a fleet that changes needs to know where each request "
                    "comes in; name the column, as in --trace-columns time=ts,frontend=..."
                )
            mine = period == p
            of[mine] = first + (0 if known is None else known[mine])
            first += len(one.system.frontends)
        labels = tuple(frontend.name for frontend in self.system.frontends)
        return replace(trace, mix=Mix(labels, of, "frontend"))

    def _require_same_weights(self, trace: Trace) -> None:
        if not trace.sized or trace.work is not None:
            return  # it does not need them
        first = self.periods[0].system
        for one in self.periods[1:]:
            mine, other = first.work, one.system.work
            # Sizes are relative to their mean, so that only the ratio counts.
            if not math.isclose(mine.prefill * other.decode, other.prefill * mine.decode):
                raise UsageError(
                    f"change at {one.begin:g} s: {one.system.name} weighs tokens of trace "
                    f"{trace.name} by another `work` than {first.name}; give all files the same "
                    "ratio of prefill to decode"
                )


def changing_fleet(
    system: RoutingSystem,
    changes: Sequence[tuple[float, RoutingSystem]],
    horizon: float | None = None,
    failures: Sequence[Failure] = (),
) -> ChangingFleet:
    """Build the system that becomes others at given times, s, also by failures.

    Raises:
        UsageError: Times do not increase from above 0 to below the horizon, the systems differ in
            patience or sizes, or as `with_failures`.
    """
    _require_same_jobs(system, changes)
    require_failures_fit(failures, horizon)
    changes = with_failures(system, changes, failures)
    found = periods(system, changes, horizon, concave=False)
    names = found[0].backends
    caches, zones = _caches(system, changes), _zones(system, changes)
    edges, frontends, first = [], [], 0
    for one in found:
        edges.append(np.column_stack((one.graph.source + first, one.graph.sink)))
        frontends += [_frontend(frontend, one) for frontend in one.system.frontends]
        first += len(one.system.frontends)
    graph = CompatibilityGraph.from_edges(first, len(names), np.vstack(edges))
    whole = RoutingSystem(
        tuple(frontends),
        tuple(
            Backend(name, curve, cache_tokens=caches.get(name), zone=zones.get(name))
            for name, curve in zip(names, found[0].curves, strict=True)
        ),
        graph,
        work=replace(system.work, mean=1.0),  # the curves are in jobs/s
        sizes=system.sizes,
        name=system.name,
        patience=system.patience,
        block_size=system.block_size,
        distances=system.distances,
    )
    return ChangingFleet(
        whole,
        _optimum(found, graph),
        _curve_changes(found),
        tuple(found),
        by_number(failures, found),
        tuple(failure.in_words for failure in failures),
    )


def _require_same_jobs(
    system: RoutingSystem, changes: Sequence[tuple[float, RoutingSystem]]
) -> None:
    """Raise UsageError if jobs of a later system are of another kind: one run has one kind."""
    for time, other in changes:
        if not _same_law(other.sizes, system.sizes):
            raise UsageError(
                f"change at {time:g} s: {other.name} has other sizes than {system.name} "
                f"({other.sizes.type}, {system.sizes.type}); give all files the same `sizes`"
            )
        if other.patience != system.patience:
            raise UsageError(
                f"change at {time:g} s: {other.name} has another patience than {system.name}; give "
                "all files the same, or --patience for all"
            )


def _caches(
    system: RoutingSystem, changes: Sequence[tuple[float, RoutingSystem]]
) -> dict[str, int | None]:
    """Tokens in the cache of each backend, by name; raises UsageError if a file changes them."""
    found = {backend.name: backend.cache_tokens for backend in system.backends}
    for time, other in changes:
        if other.has_caches and other.block_size != system.block_size:
            raise UsageError(
                f"change at {time:g} s: {other.name} has blocks of {other.block_size} tokens, and "
                f"{system.name} of {system.block_size}; give all files the same block_size"
            )
        for backend in other.backends:
            if found.setdefault(backend.name, backend.cache_tokens) != backend.cache_tokens:
                raise UsageError(
                    f"change at {time:g} s: backend {backend.name!r} has another prefix cache than "
                    "before; give it the same tokens in all files"
                )
    return found


def _zones(
    system: RoutingSystem, changes: Sequence[tuple[float, RoutingSystem]]
) -> dict[str, str | None]:
    """Zone of each backend, by name; raises UsageError if a file changes it, or distances."""
    found = {backend.name: backend.zone for backend in system.backends}
    for time, other in changes:
        if other.distances != system.distances:
            raise UsageError(
                f"change at {time:g} s: {other.name} has other distances of zones than "
                f"{system.name}; give all files the same serve.distance"
            )
        for backend in other.backends:
            if found.setdefault(backend.name, backend.zone) != backend.zone:
                raise UsageError(
                    f"change at {time:g} s: backend {backend.name!r} has another zone than "
                    "before; give it the same one in all files"
                )
    return found


def _same_law(one: Sizes, other: Sizes) -> bool:
    """Whether two distributions give the same sizes from the same randomness.

    A class of one's own need not define equality, and one that holds arrays may have none.
    """
    mine, its = (law.sample(np.random.default_rng(0), 64) for law in (one, other))
    return one is other or np.array_equal(mine, its)


def _frontend(frontend: Frontend, period: Period) -> Frontend:
    arrivals = WindowArrivals(frontend.arrivals, period.begin, period.end)
    name = f"{frontend.name} from {period.begin:g} s" if period.begin else frontend.name
    return Frontend(name, arrivals, zone=frontend.zone)


def _curve_changes(found: Sequence[Period]) -> tuple[CurveChange, ...]:
    return tuple(
        CurveChange(after.begin, b, curve)
        for before, after in pairwise(found)
        for b, curve in enumerate(after.curves)
        if curve != before.curves[b]
    )


def _optimum(found: Sequence[Period], graph: CompatibilityGraph) -> FluidOptimum:
    """First optimum among all backends, with every period's split."""
    total, jobs = 0.0, np.zeros(graph.sinks)
    split, done = np.zeros(graph.edges), 0
    for one in found:
        # The edges of a source are sorted by sink, and sinks have other numbers here.
        order = np.lexsort((one.present[one.system.graph.sink], one.system.graph.source))
        optimum = nearly_optimal(one.system)
        split[done : done + order.size] = optimum.split[order]
        if not one.begin:
            total = optimum.total_jobs
            jobs[one.present] = optimum.workloads
        done += order.size
    return FluidOptimum(total, jobs, split)


def require_same_places(fleet: ChangingFleet, discipline: str) -> None:
    """Raise UsageError if a station gets another number of servers while jobs are in order.

    With `fcfs` a job keeps its server; which one would be interrupted nobody has said.
    """
    if discipline == "ps":
        return
    for change in fleet.changes:
        backend = fleet.system.backends[change.backend]
        before = getattr(backend.curve, "count", None)
        after = getattr(change.curve, "count", None)
        if before != after:
            raise UsageError(
                f"discipline {discipline}: backend {backend.name!r} has {before} servers, and "
                f"{after} from {change.time:g} s; keep their number, or use discipline ps"
            )


def horizon_for(
    changes: Sequence[tuple[float, RoutingSystem]], failures: Sequence[Failure] = ()
) -> float:
    """Length of a run that shows the state after the last change as long as all before it, s."""
    last = max([time for time, _ in changes[-1:]] + [failure.time for failure in failures])
    if not (math.isfinite(last) and last > 0):
        raise UsageError(f"change at {last:g} s: give a time above 0")
    return 2.0 * last
