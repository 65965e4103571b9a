"""Preparation of a system for the kernels: distinct curves, tables, servers, optimum."""

from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal, final

import numpy as np
import numpy.typing as npt

from isocline.errors import InfeasibleError, UsageError
from isocline.flow import capacity_scale
from isocline.model.curves import Curve, ServersCurve
from isocline.model.fleet import RoutingSystem
from isocline.model.traffic import ExponentialSizes, PoissonArrivals, Trace
from isocline.policies.arrays import memory_of, option_of, parameter_of, table_of
from isocline.policies.routing.contract import RoutingPolicy, Setting, View
from isocline.simulate.common.kernels.alias_tables import Alias, alias
from isocline.simulate.common.kernels.counters import System
from isocline.simulate.common.latest import Latest
from isocline.simulate.routing.cache_knowledge import CacheKnowledge
from isocline.simulate.routing.delay import Delay
from isocline.simulate.routing.kernels import candidates, lookahead
from isocline.theory.routing.equilibrium import FluidOptimum, fluid_optimum, zoned_optimum

if TYPE_CHECKING:
    from isocline.simulate.routing.kernels.prefix_caching import Prompts
    from isocline.simulate.routing.kernels.processor_sharing import Arriving

FloatArray = npt.NDArray[np.float64]
Discipline = Literal["ps", "fcfs"]
Eviction = Literal["price", "lru"]

# Of the capacity: beyond it policies with fixed shares take those that are best here.
NEARLY = 0.99
# Larger than any workload: all jobs of a backend share it.
ALL_AT_ONCE = np.iinfo(np.int32).max


@final
@dataclass(frozen=True, eq=False)
class Prepared:
    """System prepared once for all policies and replications."""

    system: RoutingSystem
    curves: tuple[Curve, ...]  # (R,) distinct
    row: npt.NDArray[np.int32]  # (B,)
    places: npt.NDArray[np.int32]  # (B,) jobs served at once
    optimum: FluidOptimum  # or, of a load that cannot be served, that of the most that can be
    delay: Delay | None = None
    trace: Trace | None = None  # replayed in place of the system's own arrivals
    caches: CacheKnowledge | None = None  # of its prefix caches; None: they are not simulated
    eviction: Eviction | None = None  # of models at backends; None: they are not simulated
    # (F,) of a fleet that changes: a number that frontends of one name share. None: each its own.
    named: npt.NDArray[np.int32] | None = None
    # Jobs of the replication that is simulated now: the same for all policies, so drawn once.
    jobs: "Latest[Arriving]" = field(default_factory=Latest, init=False)

    @cached_property
    def setting(self) -> Setting:
        """Setting that policies may know."""
        lag = self.delay.lag if self.delay else 0.0
        split, ways = self.optimum.split, self.system.ways
        return Setting(self.system.graph, self.curves, self.row, split, lag, ways)

    @cached_property
    def prompts(self) -> "Prompts":
        """Tokens of the trace's requests; raises UsageError as `prompts_of`."""
        from isocline.simulate.routing.prompts import prompts_of  # noqa: PLC0415 - with its kernel

        assert self.trace is not None
        return prompts_of(self.system, self.trace)

    @cached_property
    def least_work(self) -> FloatArray:
        """(n,) least work that each of the trace's requests may have, in mean jobs."""
        from isocline.simulate.routing.prompts import least_work  # noqa: PLC0415 - as above

        return least_work(self.prompts)

    @cached_property
    def _sources(self) -> Alias:
        return alias(self.system.rates)

    @cached_property
    def _sinks(self) -> Alias:
        return alias(np.array([curve.supremum for curve in self.curves])[self.row])

    @property
    def least_jobs(self) -> float:
        """Mean jobs that no policy goes below: the optimum's (Lemma 1), and those on their way."""
        travel = self.delay.travel if self.delay else 0.0
        return self.optimum.total_jobs + travel * float(self.system.rates.sum())

    def one_row_each(self) -> "Prepared":
        """Copy with a row of tables for each backend, for like backends that become unlike."""
        row = np.arange(self.row.size, dtype=np.int32)
        return replace(self, curves=self.system.curves, row=row)

    def number(self, name: str) -> int:
        """Number of the backend with this name."""
        return [b.name for b in self.system.backends].index(name)

    def with_curve(self, backend: int, curve: Curve) -> "Prepared":
        """Copy with another curve in one row of `one_row_each`."""
        curves = list(self.curves)
        curves[backend] = curve
        return replace(self, curves=tuple(curves))

    @property
    def memoryless(self) -> bool:
        """Poisson arrivals at constant rates and exponential sizes: no clock per job is needed."""
        return not laws_of(self.system)

    def tables(self, workloads: int) -> System:
        """The kernels' constants, with curves tabulated at 0 .. workloads - 1."""
        graph = self.system.graph
        peak = np.array([curve.supremum for curve in self.curves])
        rates, peaks = self.system.rates, peak[self.row]
        # One draw's upper 24 bits tell arrivals from departures. That share is rounded down, and
        # the clock sped up and departures thinned a little more, so that no rate is rounded.
        share = max(int(rates.sum() / (rates.sum() + peaks.sum()) * 2**24), 1)
        speed = float(rates.sum()) * 2**24 / share
        excess = (speed - rates.sum()) / peaks.sum()
        return System(
            graph.first.copy(),
            candidates.scratch(graph.first),
            self._sources,
            self._sinks,
            np.uint64(share),  # type: ignore[arg-type]  # an int would be signed to numba
            speed,
            peak * excess,
            self.rates(workloads),
            self.places,
            lookahead.scratch(self.row.size),
        )

    def rates(self, workloads: int) -> FloatArray:
        """(R, K) the distinct curves at 0 .. workloads - 1, jobs/s."""
        n = np.arange(workloads, dtype=np.float64)
        return np.array([curve.rate(n) for curve in self.curves])

    def scores(self, policy: RoutingPolicy, workloads: int) -> FloatArray:
        """(R, K) the policy's table at 0 .. workloads - 1."""
        n = np.arange(workloads, dtype=np.float64)
        return table_of(policy, self.setting, n)

    def view(self, policy: RoutingPolicy, workloads: int) -> View:
        """Policy's view with all backends empty."""
        return View(
            self.system.graph.sink.copy(),
            np.zeros(self.row.size, np.int32),
            self.row,
            self.scores(policy, workloads),
            parameter_of(policy, self.setting),
            memory_of(policy, self.setting),
            option_of(policy),
            distance=self.setting.distance,
        )


def prepare(
    system: RoutingSystem,
    discipline: Discipline = "ps",
    scale: float = 1.0,
    ends: bool = False,
) -> Prepared:
    """Prepare `system.enlarged(scale)` for simulation.

    Args:
        system: The system.
        discipline: How backends serve.
        scale: c of the GMSR paper, Section 5.
        ends: Jobs come for a limited time, so that the load may be one that cannot be served.

    Raises:
        InfeasibleError: The load cannot be served; names the violated set.
        UsageError: Discipline fcfs with a curve that is not a `servers` station, or a system that
            cannot be scaled.
    """
    optimum = nearly_optimal(system) if ends else zoned_optimum(system)
    if scale != 1.0:
        system, optimum = system.enlarged(scale), optimum.times(scale)
    return prepared_with(system, optimum, discipline)


def prepared_with(
    system: RoutingSystem, optimum: FluidOptimum, discipline: Discipline = "ps"
) -> Prepared:
    """A system whose optimum is known; raises UsageError as `prepare` does for the discipline."""
    index: dict[Curve, int] = {}
    row = [index.setdefault(curve, len(index)) for curve in system.curves]
    places = [
        _places(b.name, c, discipline) for b, c in zip(system.backends, system.curves, strict=True)
    ]
    return Prepared(
        system,
        tuple(index),
        np.array(row, dtype=np.int32),
        np.array(places, dtype=np.int32),
        optimum,
    )


def laws_of(system: RoutingSystem) -> str:
    """Arrivals or sizes that need a clock for each job, in words; empty if all are memoryless."""
    for frontend in system.frontends:
        if not isinstance(frontend.arrivals, PoissonArrivals):
            return f"arrivals at frontend {frontend.name!r} that are not Poisson at a constant rate"
    if not isinstance(system.sizes, ExponentialSizes):
        return f"{system.sizes.type} sizes, which are not exponential"
    return ""


def nearly_optimal(system: RoutingSystem) -> FluidOptimum:
    """The fluid optimum; of a load that cannot be served, in proportion, that of what can."""
    with suppress(InfeasibleError):
        return zoned_optimum(system)
    most = NEARLY * capacity_scale(system.graph, system.rates, system.capacities).scale
    best = fluid_optimum(system, most * system.rates)
    return replace(best, split=best.split / most)


def _places(name: str, curve: Curve, discipline: Discipline) -> int:
    if discipline == "ps":
        return ALL_AT_ONCE
    if not isinstance(curve, ServersCurve):
        raise UsageError(
            f"discipline fcfs: backend {name!r} has a {curve.type} curve, which serves all its "
            "jobs at once; use servers curves, or discipline ps"
        )
    return curve.count
