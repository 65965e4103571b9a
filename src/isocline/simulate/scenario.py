"""The system as it is simulated: at the load asked for, with a trace's traffic if there is one."""

from dataclasses import dataclass, replace
from typing import final

from isocline.errors import UsageError
from isocline.flow import CapacityScale, capacity_scale
from isocline.interpretable import interpreted_if_small
from isocline.model.fleet import Frontend, RoutingSystem
from isocline.model.traffic import PiecewiseArrivals, PoissonArrivals, Trace
from isocline.simulate.slowdown import Slowdown


@final
@dataclass(frozen=True, eq=False)
class Scenario:
    """A system at one load."""

    system: RoutingSystem
    trace: Trace | None
    load: float  # 1 / capacity_scale: at 1 some frontends bring all that their backends can serve
    bottleneck: tuple[str, ...]  # backends that are the first to have too much as the load grows
    slowdowns: tuple[Slowdown, ...] = ()

    @property
    def steady(self) -> bool:
        """Whether arrival rates and speeds stay, so that there is a steady state to wait for."""
        constant = all(isinstance(f.arrivals, PoissonArrivals) for f in self.system.frontends)
        return self.trace is None and constant and not self.slowdowns

    @property
    def ends(self) -> bool:
        """Whether a run is of the jobs that come until its horizon, and lasts until all have left.

        Else it is a part of one that goes on for ever.
        """
        tides = any(isinstance(f.arrivals, PiecewiseArrivals) for f in self.system.frontends)
        return self.trace is not None or tides

    @property
    def overloaded(self) -> bool:
        """Whether more comes than can be served, which only a trace may."""
        return self.load >= 1.0

    @property
    def source(self) -> str:
        """What the arrivals are, and what becomes slower, in words."""
        if self.trace is not None:
            return "; ".join((f"trace {self.trace.name}", *(s.in_words for s in self.slowdowns)))
        kinds = {type(f.arrivals).__name__.removesuffix("Arrivals") for f in self.system.frontends}
        known = f"{', '.join(sorted(kinds))} arrivals, {self.system.sizes.type} sizes"
        return "; ".join((known, *(one.in_words for one in self.slowdowns)))


def scenario(
    system: RoutingSystem,
    trace: Trace | None = None,
    time_scale: float = 1.0,
    load: float | None = None,
) -> Scenario:
    """Replace the arrivals by a trace's, speed them up by `time_scale`, then to `load`.

    Raises:
        UsageError: A factor or a load is not above 0, or a trace holds no work.
    """
    for name, value in (("time scale", time_scale), ("load", load)):
        if value is not None and not 0 < value < float("inf"):
            raise UsageError(f"{name} {value:g}: give a finite number above 0")
    if trace is not None:
        system = _with_trace(system, trace)
    most = _most(system)
    speed = time_scale if load is None else load * most.scale
    if speed != 1.0:
        system = system.sped_up(speed)
        trace = None if trace is None else trace.sped_up(speed)
    first = tuple(system.backends[b].name for b in most.sinks)
    return Scenario(system, trace, speed / most.scale, first)


def _most(system: RoutingSystem) -> CapacityScale:
    graph, rates, capacities = system.graph, system.rates, system.capacities
    return interpreted_if_small(graph.edges, lambda: capacity_scale(graph, rates, capacities))


def _with_trace(system: RoutingSystem, trace: Trace) -> RoutingSystem:
    """The frontends share the trace's requests in proportion to their rates in the file.

    Where curves are in work units, a job's mean work becomes the trace's. Where they are in
    jobs/s, sizes are normalised to mean 1, so that the trace brings its variety and its bursts.
    """
    if not trace.length > 0:
        raise UsageError(
            f"trace {trace.name}: all its requests come at one time, so that it has no rate; "
            "space them"
        )
    mean = float(system.work.of(trace).mean())
    if not mean > 0:
        raise UsageError(
            f"trace {trace.name}: its requests hold no work at prefill {system.work.prefill:g} "
            f"and decode {system.work.decode:g}; give other weights under `work`"
        )
    if system.work.unit == "jobs":
        prefill, decode = system.work.prefill / mean, system.work.decode / mean
        work = replace(system.work, prefill=prefill, decode=decode)
    else:
        work = replace(system.work, mean=mean)
    share = system.rates / system.rates.sum()
    frontends = tuple(
        Frontend(f.name, PoissonArrivals(float(part) * trace.rate))
        for f, part in zip(system.frontends, share, strict=True)
    )
    return replace(system, frontends=frontends, work=work)
