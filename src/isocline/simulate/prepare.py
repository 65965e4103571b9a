"""From a system to what the kernels read: distinct curves, tables, places; and its optimum."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, final

import numpy as np
import numpy.typing as npt

from isocline.errors import UsageError
from isocline.model.curves import Curve, ServersCurve
from isocline.model.fleet import RoutingSystem
from isocline.model.traffic import ExponentialSizes, PoissonArrivals
from isocline.policies.contract import RoutingPolicy, Setting, View
from isocline.simulate.kernels import candidates, lookahead
from isocline.simulate.kernels.alias import alias
from isocline.simulate.kernels.chain import System
from isocline.theory.equilibrium import FluidOptimum, fluid_optimum

FloatArray = npt.NDArray[np.float64]
Discipline = Literal["ps", "fcfs"]

# Larger than any workload: all jobs of a backend share it.
ALL_AT_ONCE = np.iinfo(np.int32).max


@final
@dataclass(frozen=True, eq=False)
class Prepared:
    """A feasible system, made ready once for all policies and replications."""

    system: RoutingSystem
    curves: tuple[Curve, ...]  # (R,) distinct
    row: npt.NDArray[np.int32]  # (B,)
    places: npt.NDArray[np.int32]  # (B,) jobs served at once
    optimum: FluidOptimum

    @cached_property
    def setting(self) -> Setting:
        """What policies may know."""
        return Setting(self.system.graph, self.curves, self.row, self.optimum.split)

    @property
    def memoryless(self) -> bool:
        """Poisson arrivals at constant rates and exponential sizes: no clock per job is needed."""
        poisson = all(isinstance(f.arrivals, PoissonArrivals) for f in self.system.frontends)
        return poisson and isinstance(self.system.sizes, ExponentialSizes)

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
            candidates.room(graph.first),
            alias(rates),
            alias(peaks),
            np.uint64(share),  # type: ignore[arg-type]  # an int would be signed to numba
            speed,
            peak * excess,
            self.rates(workloads),
            self.places,
            lookahead.room(self.row.size),
        )

    def rates(self, workloads: int) -> FloatArray:
        """(R, K) the distinct curves at 0 .. workloads - 1, jobs/s."""
        n = np.arange(workloads, dtype=np.float64)
        return np.array([curve.rate(n) for curve in self.curves])

    def scores(self, policy: RoutingPolicy, workloads: int) -> FloatArray:
        """(R, K) the policy's table at 0 .. workloads - 1."""
        n = np.arange(workloads, dtype=np.float64)
        return np.ascontiguousarray(policy.table(self.setting, n), dtype=np.float64)

    def view(self, policy: RoutingPolicy, workloads: int) -> View:
        """What the policy sees, all backends empty."""
        return View(
            self.system.graph.sink.copy(),
            np.zeros(self.row.size, np.int32),
            self.row,
            self.scores(policy, workloads),
            np.ascontiguousarray(policy.parameter(self.setting), dtype=np.float64),
            policy.memory(self.setting),
            policy.option(),
        )


def prepare(system: RoutingSystem, discipline: Discipline = "ps") -> Prepared:
    """Make a system ready for simulation.

    Raises:
        InfeasibleError: The load cannot be served; names the violated set.
        UsageError: Discipline fcfs with a curve that is not a `servers` station.
    """
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
        fluid_optimum(system),
    )


def _places(name: str, curve: Curve, discipline: Discipline) -> int:
    if discipline == "ps":
        return ALL_AT_ONCE
    if not isinstance(curve, ServersCurve):
        raise UsageError(
            f"discipline fcfs: backend {name!r} has a {curve.type} curve, which serves all its "
            "jobs at once; use servers curves, or discipline ps"
        )
    return curve.count
