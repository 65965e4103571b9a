"""Optimality gap of a window of traffic: mean latency over that of the optimum, and its parts.

With measured rates lambda_f, inflows a_b and workloads N_b, and curves l_b, the mean latency is by
Little's law an exact sum of parts:

    latency = optimum + misrouted + fluctuation + held + outside

    optimum      L* of Eq. (1) at the measured rates
    misrouted    sum_b l_b^-1(a_b) / lambda - L*: the mean split is not the optimal one
    fluctuation  sum_b (N_b - l_b^-1(a_b)) / lambda: workloads move about what mean inflows need;
                 also where a curve is not that of its backend
    held         waiting at frontends
    outside      time neither at a backend, as counted, nor held: the remainder

`fluctuation` includes a part that no router can avoid, as arrivals are random: the bound is a
fluid's. Two more numbers overlap the sum, both to first order: the uncertainty of the optimum, from
that of the curves, and an upper bound on the loss by stale counts.
"""

import math
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import numpy.typing as npt

from isocline.errors import UsageError
from isocline.model.fleet import RoutingSystem
from isocline.model.graph import CompatibilityGraph
from isocline.theory.routing.equilibrium import fluid_optimum

FloatArray = npt.NDArray[np.float64]


@final
@dataclass(frozen=True, eq=False)
class Measured:
    """Means over one window of time; F frontends, B backends."""

    rates: FloatArray  # (F,) requests/s that came
    inflows: FloatArray  # (B,) requests/s that were finished there
    workloads: FloatArray  # (B,) mean jobs there
    latency: float  # s, from arrival at a frontend to the end of the response
    held: float = 0.0  # s, mean wait at frontends, over all requests
    curve_errors: FloatArray | None = None  # (B,) relative standard errors; None: known
    count_errors: FloatArray | None = None  # (B,) mean |N as known - N as reported|; None: unknown


@final
@dataclass(frozen=True)
class OptimalityGap:
    """Gap of one window. Latencies are in s; the parts add up to `latency` exactly."""

    latency: float
    optimum: float
    misrouted: float
    fluctuation: float
    held: float
    outside: float
    optimum_error: float  # one standard error of `optimum`, from that of the curves
    stale_counts: float | None  # at most so much of misrouted and fluctuation; None: not known

    @property
    def ratio(self) -> float:
        """`isocline_optimality_gap`: 1 is optimal."""
        return self.latency / self.optimum


def optimality_gap(
    system: RoutingSystem, measured: Measured, *, doubtful: bool = False
) -> OptimalityGap:
    """Compute the gap of one window by the curves of `system`, whose rates are not used.

    Args:
        system: Its curves and edges.
        measured: Means over the window.
        doubtful: Curves may be wrong. By concavity no inflow needs more jobs than a backend had on
            average, and near a peak that is a little too low it would seem to need any number: it
            is taken to need those that there were.

    Raises:
        UsageError: No request came, or an array has another length.
        InfeasibleError: The measured rates exceed what the curves can serve.
    """
    _require_shapes(system, measured)
    busy = measured.rates > 0
    total = float(measured.rates.sum())
    best = fluid_optimum(_of_frontends(system, busy), measured.rates[busy])
    optimum = best.total_jobs / total
    inflow = np.minimum(measured.inflows, 0.999 * system.capacities)  # more is rounding, or a trend
    needed = np.array([float(c.workload(a)) for c, a in zip(system.curves, inflow, strict=True)])
    if doubtful:
        needed = np.minimum(needed, measured.workloads)
    served = max(float(measured.inflows.sum()), 1e-300)
    at_split = float(needed.sum()) / served
    at_backends = float(measured.workloads.sum()) / served
    return OptimalityGap(
        measured.latency,
        optimum,
        at_split - optimum,
        at_backends - at_split,
        measured.held,
        measured.latency - at_backends - measured.held,
        _optimum_error(system, best.workloads, total, measured.curve_errors),
        _stale(system, measured, served),
    )


def _optimum_error(
    system: RoutingSystem, workloads: FloatArray, total: float, errors: FloatArray | None
) -> float:
    """Error of the optimum: by the envelope theorem a backend e slower costs e a_b / l'_b jobs."""
    if errors is None:
        return 0.0
    jobs = [
        error * float(curve.rate(n)) / float(curve.marginal(n))
        for curve, n, error in zip(system.curves, workloads, errors, strict=True)
        if n > 0 and float(curve.marginal(n)) > 0
    ]
    return math.hypot(*jobs) / total if jobs else 0.0


def _stale(system: RoutingSystem, measured: Measured, served: float) -> float | None:
    """Loss by stale counts: a job sent on a count off by e pays at most the change of the price."""
    if measured.count_errors is None:
        return None
    lost = 0.0
    for curve, n, error, inflow in zip(
        system.curves, measured.workloads, measured.count_errors, measured.inflows, strict=True
    ):
        here, there = float(curve.marginal(n)), float(curve.marginal(n + error))
        if there > 0:
            lost += float(inflow) * (1.0 / there - 1.0 / here)
    return lost / served


def _require_shapes(system: RoutingSystem, measured: Measured) -> None:
    sizes = {"rates": len(system.frontends)}
    for name in ("inflows", "workloads", "curve_errors", "count_errors"):
        sizes[name] = len(system.backends)
    for name, size in sizes.items():
        given = getattr(measured, name)
        if given is not None and given.shape != (size,):
            raise UsageError(f"gap: {name} has shape {given.shape}; give {size} numbers")
    if not (measured.rates > 0).any():
        raise UsageError("gap: no request came; measure for longer")


def _of_frontends(system: RoutingSystem, kept: npt.NDArray[np.bool_]) -> RoutingSystem:
    """Return the system without the frontends that had no arrivals."""
    numbers = np.flatnonzero(kept).tolist()
    neighbours = [system.graph.neighbours(f) for f in numbers]
    graph = CompatibilityGraph.from_neighbours(len(system.backends), neighbours)
    return replace(system, frontends=tuple(system.frontends[f] for f in numbers), graph=graph)
