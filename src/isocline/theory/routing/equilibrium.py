"""The optimal steady state of a routing system: Eq. (1) of the GMSR paper and what it implies.

Minimise sum_b N_b over splits of every frontend's rate among its backends, with l_b(N_b) equal to
what b receives. By Lemma 3 a feasible point is optimal iff each frontend sees one price 1/l'_b(N_b)
on the backends it uses and none lower: a level flow. Lemma 2: the N_b are unique. Lemma 4: GMSR's
fluid comes to rest there. Lemma 1: no policy has fewer jobs in the system.
"""

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import final

import numpy as np
import numpy.typing as npt

from isocline.arguments import at_least, checked
from isocline.compilation.interpretable import interpreted_if_small
from isocline.errors import InfeasibleError, NumericalError, UsageError
from isocline.flow import (
    CapacityScale,
    FlowStatus,
    LevelFlow,
    LevelFlowProblem,
    Prices,
    capacity_scale,
    solve,
    tiers,
)
from isocline.flow.curve_shapes import curve_parts
from isocline.model.curves import ServersCurve
from isocline.model.fleet import Backend, Frontend, RoutingSystem
from isocline.theory.routing.active_frontends import with_arrivals
from isocline.theory.routing.magnitudes import extremes_named
from isocline.theory.routing.missing_edges import missing_edges
from isocline.theory.routing.overload import overload
from isocline.theory.routing.plan_records import (
    BackendPlan,
    Bottleneck,
    EdgeSaving,
    SpeedSaving,
    SplitRate,
    TierPlan,
)
from isocline.theory.routing.plan_records import Plan as Plan  # noqa: PLC0414  (its public home)
from isocline.theory.routing.prefix_plan import prefix_plan
from isocline.theory.routing.residency_plan import residency_plan
from isocline.theory.routing.workloads import workloads
from isocline.theory.routing.zone_plan import zone_flow, zone_plan

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]


@final
@dataclass(frozen=True, eq=False)
class FluidOptimum:
    """The optimum of Eq. (1), bare."""

    total_jobs: float
    workloads: FloatArray  # (B,) jobs
    split: FloatArray  # (E,) jobs/s on each edge of the system's graph

    def times(self, factor: float) -> "FluidOptimum":
        """The optimum of the system enlarged by `factor`: the same prices, all else times it."""
        return FluidOptimum(self.total_jobs * factor, self.workloads * factor, self.split * factor)


def fluid_optimum(system: RoutingSystem, rates: FloatArray | None = None) -> FluidOptimum:
    """The least number of jobs that any policy can hold in the system (Lemma 1).

    `servers` curves are accepted: their price is tilted by 1e-6 (see `flow/levels.py`), so that the
    total is above the optimum by at most about that share.

    Args:
        system: The system.
        rates: (F,) arrival rates to use in place of the system's own, jobs/s.

    Raises:
        InfeasibleError: The load exceeds what the backends can serve; names the sets.
        UsageError: A rate is not a finite number above 0, or numbers are too far apart to plan
            with.
    """
    with extremes_named(system):
        problem = _problem(system, rates)
        solved = interpreted_if_small(system.graph.edges, lambda: solve(problem))
    if solved.status is FlowStatus.INFEASIBLE:
        raise infeasible_load(system, problem.supply, solved)
    jobs = workloads(system.curves, solved.inflow, solved.price)
    return FluidOptimum(float(jobs.sum()), jobs, solved.flow)


def zoned_optimum(system: RoutingSystem) -> FluidOptimum:
    """The least number of jobs at backends and on their way that any policy can hold.

    Where the ways of zones cannot be planned with, as of very many frontends, `fluid_optimum`,
    which no policy goes below either.

    Raises:
        InfeasibleError, UsageError: As `fluid_optimum`.
    """
    active = with_arrivals(system)
    if not active.ways.size:
        return fluid_optimum(system)
    try:
        found = zone_flow(active)
    except (UsageError, NumericalError):
        return fluid_optimum(system)
    split = np.zeros(system.graph.edges)
    split[system.rates[system.graph.source] > 0.0] = found.flow
    return FluidOptimum(found.least_jobs, found.workloads, split)


@checked(edges_to_try=at_least(0))
def plan(system: RoutingSystem, *, edges_to_try: int = 10) -> Plan:
    """The best possible steady state, its certificate, and what would improve it.

    Args:
        system: The system; its curves must be strictly concave (Assumption 1).
        edges_to_try: How many missing edges to solve exactly; 0 for none.

    Raises:
        UsageError: A backend has a `servers` curve, or numbers are too far apart to plan with.
    """
    require_strictly_concave(system)
    with extremes_named(system):
        found = interpreted_if_small(system.graph.edges, lambda: _plan(system, edges_to_try))
    return replace(
        found,
        prefix_caches=prefix_plan(system, found.total_jobs),
        residency=residency_plan(system),
        zones=zone_plan(system) if found.status == "optimal" else None,
    )


def _plan(system: RoutingSystem, edges_to_try: int) -> Plan:
    problem = _problem(system, None)
    scale = capacity_scale(system.graph, problem.supply, system.capacities)
    solved = solve(problem)
    if solved.status is FlowStatus.INFEASIBLE:
        return _infeasible(system, scale, solved)
    return _optimal(system, problem, scale, solved, edges_to_try)


def require_strictly_concave(system: RoutingSystem) -> None:
    """Raise UsageError, with its name, if a backend has a `servers` curve."""
    for backend in system.backends:
        if not backend.curve.strictly_concave:
            raise UsageError(
                f"backend {backend.name}: a {backend.curve.type} curve is not strictly concave "
                "(Assumption 1), so that many splits are optimal; it is for simulation only. "
                "Give it a hyperbolic or knee curve to plan with"
            ).within("backends", backend.name, "curve")


def infeasible_load(
    system: RoutingSystem, supply: FloatArray, solved: LevelFlow
) -> InfeasibleError:
    """Error that names the sets which prove a flow infeasible."""
    frontends, backends = solved.violated_sources, solved.violated_sinks
    return InfeasibleError(
        _frontends(system, frontends),
        _backends(system, backends),
        math.fsum(supply[frontends]),
        math.fsum(system.capacities[backends]),
    )


def _problem(system: RoutingSystem, rates: FloatArray | None) -> LevelFlowProblem:
    supply = system.rates if rates is None else rates
    try:
        prices = Prices.of_curves(system.curves)
    except UsageError:
        _require_prices(system)  # says the same by the name of the backend
        raise
    return LevelFlowProblem(system.graph, supply, prices)


def _require_prices(system: RoutingSystem) -> None:
    """Raise UsageError, with its name, if a backend's curve has no price 1/l'(N).

    `servers` curves have one that is tilted, unless they are members of a pool.
    """
    for backend in system.backends:
        for part in curve_parts(backend.curve):
            alone = part is backend.curve and isinstance(part, ServersCurve)
            if not (part.strictly_concave or alone):
                raise UsageError(
                    f"backend {backend.name!r}: a {part.type} curve says that it is not strictly "
                    "concave, so that one more job has no one price 1/l'(N) there; give a strictly "
                    "concave curve (docs/own.md)"
                )


def _infeasible(system: RoutingSystem, scale: CapacityScale, solved: LevelFlow) -> Plan:
    # The bottleneck is the tightest proof; within rounding of the boundary only the flow's is one.
    tight = scale.scale <= 1.0
    sources = scale.sources if tight else solved.violated_sources
    sinks = scale.sinks if tight else solved.violated_sinks
    proof = Bottleneck(_frontends(system, sources), _backends(system, sinks))
    return Plan(
        status="infeasible",
        total_jobs=None,
        mean_latency=None,
        backends=(),
        split=(),
        tiers=(),
        capacity_scale=min(scale.scale, 1.0),
        bottleneck=proof,
        certificate=None,
        shadow_prices=(),
        missing_edges=(),
        system=system,
        overload=overload(system),
    )


def _optimal(
    system: RoutingSystem,
    problem: LevelFlowProblem,
    scale: CapacityScale,
    solved: LevelFlow,
    edges_to_try: int,
) -> Plan:
    jobs = workloads(system.curves, solved.inflow, solved.price)
    total, brought = float(jobs.sum()), float(problem.supply.sum())
    names = [backend.name for backend in system.backends]
    # Envelope theorem: at the optimum, dN_b/d(speed) at fixed inflow is all that changes, and from
    # (1 + e) l(N) = a it is -l/l' = -a p at e = 0.
    saved = 0.01 * solved.inflow * solved.price / brought
    missing = missing_edges(system, problem, solved, total, edges_to_try) if edges_to_try else []
    return Plan(
        status="optimal",
        total_jobs=total,
        mean_latency=total / brought,
        backends=_backend_plans(system, jobs, solved),
        split=_split(system, solved),
        tiers=tuple(
            TierPlan(
                _frontends(system, tier.sources), _backends(system, tier.sinks), 1.0 / tier.price
            )
            for tier in tiers(system.graph, solved.price)
        ),
        capacity_scale=scale.scale,
        bottleneck=Bottleneck(_frontends(system, scale.sources), _backends(system, scale.sinks)),
        certificate=solved.certificate,
        shadow_prices=tuple(map(SpeedSaving, names, saved.tolist())),
        missing_edges=tuple(
            EdgeSaving(
                system.frontends[edge.frontend].name, names[edge.backend], edge.jobs / brought
            )
            for edge in missing
        ),
        system=system,
    )


def _backend_plans(
    system: RoutingSystem, jobs: FloatArray, solved: LevelFlow
) -> tuple[BackendPlan, ...]:
    return tuple(
        map(
            BackendPlan,
            (backend.name for backend in system.backends),
            jobs.tolist(),
            solved.inflow.tolist(),
            (1.0 / solved.price).tolist(),
            (solved.inflow / system.capacities).tolist(),
        )
    )


def _split(system: RoutingSystem, solved: LevelFlow) -> tuple[SplitRate, ...]:
    used = np.flatnonzero(solved.flow > 0.0)
    columns = zip(
        _frontends(system, system.graph.source[used]),
        _backends(system, system.graph.sink[used]),
        solved.flow[used].tolist(),
        strict=True,
    )
    # As `SplitRate._make` does, without a call of Python for each of up to 10^6 edges.
    return tuple(map(partial(tuple.__new__, SplitRate), columns))


def _frontends(
    system: RoutingSystem, numbers: npt.NDArray[np.integer] | tuple[int, ...]
) -> tuple[str, ...]:
    return tuple(_named(system.frontends, numbers))


def _backends(
    system: RoutingSystem, numbers: npt.NDArray[np.integer] | tuple[int, ...]
) -> tuple[str, ...]:
    return tuple(_named(system.backends, numbers))


def _named(
    these: tuple[Frontend, ...] | tuple[Backend, ...],
    numbers: npt.NDArray[np.integer] | tuple[int, ...],
) -> list[str]:
    names = [one.name for one in these]
    return [names[i] for i in np.asarray(numbers, np.int64).tolist()]
