"""Scenario: the system at the simulated load, with a trace's traffic if there is one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import final

import numpy as np

from isocline.compilation.interpretable import interpreted_if_small
from isocline.errors import UsageError
from isocline.flow import CapacityScale, capacity_scale
from isocline.model.fleet import RoutingSystem
from isocline.model.replay import frontends_of, with_trace
from isocline.model.traffic import Trace
from isocline.simulate.routing.changing_fleet import ChangingFleet, changing_fleet
from isocline.simulate.routing.failure import Failure
from isocline.simulate.routing.overload import Span, overloads, spans_in_words
from isocline.simulate.routing.slowdown import Slowdown
from isocline.theory.routing.piecewise_parameters import periods


@final
@dataclass(frozen=True, eq=False)
class Scenario:
    """A system at one load."""

    system: RoutingSystem
    trace: Trace | None
    load: float  # 1 / capacity_scale: at 1 some frontends bring all that their backends can serve
    bottleneck: tuple[str, ...]  # backends that are the first to have too much as the load grows
    slowdowns: tuple[Slowdown, ...] = ()
    speed: float = 1.0  # factor by which the arrivals were sped up
    fleet: ChangingFleet | None = None

    @property
    def steady(self) -> bool:
        """Whether arrival rates and speeds are constant, so that there is a steady state."""
        constant = all(f.arrivals.is_stationary for f in self.system.frontends)
        return self.trace is None and constant and not self.slowdowns

    @property
    def ends(self) -> bool:
        """Whether a run is of the jobs that come until its horizon, and lasts until all have left.

        Else it is a part of one that goes on for ever.
        """
        constant = all(f.arrivals.is_stationary for f in self.system.frontends)
        changes = bool(self.slowdowns) or self.fleet is not None
        return self.trace is not None or not constant or changes

    @property
    def overloaded(self) -> bool:
        """Whether more arrives than can be served, for good, which only a trace may cause."""
        return self.load >= 1.0 and self.system.patience is None

    @cached_property
    def overloads(self) -> tuple[Span, ...]:
        """Parts of the run with more arrivals than can be served, where something changes."""
        if self.fleet is not None:
            return overloads(self.fleet.periods, self.slowdowns)
        if self.slowdowns:
            return overloads(periods(self.system, (), None, concave=False), self.slowdowns)
        return ()

    @property
    def _ways_in_words(self) -> tuple[str, ...]:
        if not self.system.ways.size or self.system.distances is None:
            return ()
        zone, region = self.system.distances
        return (f"another zone {zone:g} s away, another region {region:g} s",)

    @property
    def source(self) -> str:
        """Describe the arrivals and the changes."""
        changes = self.fleet.in_words if self.fleet else ()
        patience = self.system.patience
        gives_up = (patience.in_words,) if patience else ()
        beyond = (f"beyond capacity {spans_in_words(self.overloads)}",) if self.overloads else ()
        far = self._ways_in_words
        later = (*far, *gives_up, *(one.in_words for one in self.slowdowns), *changes, *beyond)
        if self.trace is not None:
            name, mix = f"trace {self.trace.name}", self.trace.mix
            if mix is not None and frontends_of(self.system, self.trace) is not None:
                by = "of its model" if mix.column == "model" else "it names"
                name += f", each request at the frontend {by}"
            return "; ".join((name, *later))
        kinds = {f.arrivals.in_words for f in self.system.frontends if f.arrivals.rate > 0}
        known = f"{', '.join(sorted(kinds))} arrivals, {self.system.sizes.type} sizes"
        caches = "no prefix caches, as only the requests of a trace have prompts"
        return "; ".join((known, *((caches,) if self.system.has_caches else ()), *later))


def scenario(
    system: RoutingSystem,
    trace: Trace | None = None,
    time_scale: float = 1.0,
    load: float | None = None,
) -> Scenario:
    """Replace the arrivals by a trace's, speed them up by `time_scale`, then to `load`.

    Without a trace that of the system is replayed, if it has one.

    Raises:
        UsageError: A factor or a load is not above 0, or a trace holds no work or labels that no
            frontend has.
    """
    for name, value in (("time scale", time_scale), ("load", load)):
        if value is not None and not 0 < value < float("inf"):
            raise UsageError(f"{name} {value:g}: give a finite number above 0")
    if trace is not None:
        system = replace(with_trace(system, trace), trace=trace)
    most = _most(system)
    speed = time_scale if load is None else load * most.scale
    if speed != 1.0:
        system = system.sped_up(speed)
    first = tuple(system.backends[b].name for b in most.sinks)
    return Scenario(system, system.trace, speed / most.scale, first, speed=speed)


def with_changes(
    scene: Scenario,
    changes: Sequence[tuple[float, RoutingSystem]],
    trace: Trace | None,
    horizon: float | None,
    failures: Sequence[Failure] = (),
    scale: float = 1.0,
) -> Scenario:
    """The scene, whose system becomes others at given times, s, with arrivals sped up as its own.

    `trace` is as it was before: it is replayed through all the systems. All are `enlarged(scale)`.

    Raises:
        UsageError: As `changing_fleet`, or as `with_trace` for a later system.
    """
    later = []
    for time, other in changes:
        known = other if trace is None else with_trace(other, trace)
        later.append((time, replace(known, trace=None).sped_up(scene.speed).enlarged(scale)))
    fleet = changing_fleet(scene.system.enlarged(scale), later, horizon, failures)
    replayed = None if scene.trace is None else fleet.assigned(scene.trace)
    return replace(scene, system=fleet.system, trace=replayed, fleet=fleet)


def require_same_trace(
    system: RoutingSystem, changes: Sequence[tuple[float, RoutingSystem]]
) -> None:
    """Raise UsageError if a later system names another trace than the one that is replayed."""
    for time, other in changes:
        if other.trace is not None and not _same_requests(other.trace, system.trace):
            raise UsageError(
                f"change at {time:g} s: {other.name} has another trace than {system.name}; give "
                "all files the same `trace`, or --trace or --arrivals for all"
            )


def _same_requests(one: Trace, other: Trace | None) -> bool:
    return other is not None and all(
        np.array_equal(getattr(one, column), getattr(other, column))
        for column in ("times", "prompt_tokens", "output_tokens", "work")
    )


def _most(system: RoutingSystem) -> CapacityScale:
    graph, rates, capacities = system.graph, system.rates, system.capacities
    return interpreted_if_small(graph.edges, lambda: capacity_scale(graph, rates, capacities))
