"""Best flow of a fleet of given counts, which may be broken numbers: its jobs, and costs of jobs.

Alike machines share their inflow alike, so that those of one type are one sink whose curve is
n l(N / n). Costs are what `requirements` makes rows of; where nothing can be served they mark a set
of frontends that bring too much.
"""

from functools import lru_cache
from typing import Any, NamedTuple, final

import numpy as np
import numpy.typing as npt

from isocline.compilation.interpretable import interpreted_if_small
from isocline.errors import NumericalError
from isocline.flow import FlowStatus, LevelFlowProblem, Prices, capacity_scale, solve
from isocline.model.curves import Curve
from isocline.model.fleet import Backend, Frontend, RoutingSystem
from isocline.model.fleet_problem import FleetProblem
from isocline.model.graph import CompatibilityGraph
from isocline.model.traffic import PoissonArrivals
from isocline.theory.routing.work_flow import work_flow
from isocline.theory.routing.workloads import workloads

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]

# Fewer machines of a type than this are none: what rounding leaves of a linear program.
_NONE = 1e-9

# From this load on, what could just be served is taken for what cannot be: rounding decides.
_FULL = 1.0 - 1e-6


@final
class Demanded(NamedTuple):
    """A demand as the flow sees it."""

    supply: FloatArray  # (F,) mean jobs/s, of edges whose jobs are mean jobs
    work: FloatArray  # (E,) mean jobs of work in one of these, by each edge

    @classmethod
    def of(cls, problem: FleetProblem, number: int) -> "Demanded":
        """The demand of this number; work that is one by all edges of a frontend is its supply."""
        graph, demand = problem.graph, problem.demands[number]
        supply = np.array(demand.rates) * demand.work
        if problem.edge_work is None:
            return cls(supply, np.ones(graph.edges))
        first = problem.edge_work[graph.first[:-1]]
        return cls(supply * first, problem.edge_work / first[graph.source])


class BestFlow(NamedTuple):
    """What a fleet of given counts makes of a demand."""

    jobs: float  # in the long run; inf where it cannot be served
    costs: FloatArray  # (F,) >= 0: jobs in the system that one more job per second adds, or a mark


class _Part(NamedTuple):
    """Types with machines, and the frontends that bring something."""

    graph: CompatibilityGraph
    frontends: IndexArray
    types: IndexArray
    edges: IndexArray
    curves: tuple[Curve, ...]
    prices: Prices


@final
class Flows:
    """Best flows of one problem's fleets."""

    def __init__(self, problem: FleetProblem) -> None:
        self._problem = problem
        self._part = lru_cache(maxsize=4096)(self._made_part)

    def least_jobs(self, demand: Demanded, counts: FloatArray) -> BestFlow:
        """The fewest jobs that any policy can hold, and the costs at that optimum."""
        found = self._reachable(demand, counts)
        if isinstance(found, BestFlow):
            return found
        part, n = found
        if not _alike(demand):
            return self._with_gains(demand, part, n)
        supply = demand.supply[part.frontends]
        costs = np.zeros(demand.supply.size)
        problem = LevelFlowProblem(part.graph, supply, part.prices.enlarged(n))
        try:
            solved = interpreted_if_small(part.graph.edges, lambda: solve(problem))
        except NumericalError:
            # A search goes to the boundary of the capacity, where rounding decides.
            whole = self.load(demand, counts)
            if whole.jobs < _FULL:
                raise
            return BestFlow(np.inf, whole.costs)
        if solved.status is FlowStatus.INFEASIBLE:
            costs[part.frontends[solved.violated_sources]] = 1.0
            return BestFlow(np.inf, costs)
        with np.errstate(all="ignore"):  # at the boundary prices overflow
            held = n * workloads(part.curves, solved.inflow / n, solved.price)
        jobs = float(held.sum())
        if not np.isfinite(jobs):
            return BestFlow(np.inf, self.load(demand, counts).costs)
        costs[part.frontends] = solved.level
        return BestFlow(jobs, costs)

    def _with_gains(self, demand: Demanded, part: _Part, n: FloatArray) -> BestFlow:
        """`least_jobs` where the work of a job depends on the edge."""
        supply = demand.supply[part.frontends]
        costs = np.zeros(demand.supply.size)
        marks = self._overload(demand, part, n)
        if marks is not None:
            costs[part.frontends] = marks
            return BestFlow(np.inf, costs)
        flow = work_flow(self._system(part, n, supply), demand.work[part.edges])
        costs[part.frontends] = flow.level
        return BestFlow(flow.total_jobs, costs)

    def load(self, demand: Demanded, counts: FloatArray) -> BestFlow:
        """Arrivals over the most that could be served, as `jobs`, and marks of the bottleneck."""
        found = self._reachable(demand, counts)
        if isinstance(found, BestFlow):
            return found
        part, n = found
        costs = np.zeros(demand.supply.size)
        supply, capacity = demand.supply[part.frontends], n * part.prices.capacity
        if _alike(demand):
            scale = interpreted_if_small(
                part.graph.edges, lambda: capacity_scale(part.graph, supply, capacity)
            )
            costs[part.frontends[scale.sources]] = 1.0
            return BestFlow(1.0 / scale.scale, costs)
        load, marks = _work_load(part.graph, supply, capacity, demand.work[part.edges])
        costs[part.frontends] = marks
        return BestFlow(load, costs)

    def _reachable(
        self, demand: Demanded, counts: FloatArray
    ) -> tuple[_Part, FloatArray] | BestFlow:
        """The part with machines and arrivals, and its counts; or frontends without machines."""
        has, brings = counts > _NONE, demand.supply > 0.0
        graph = self._problem.graph
        reached = np.bincount(graph.source, has[graph.sink], graph.sources) > 0
        if (stranded := brings & ~reached).any():
            return BestFlow(np.inf, stranded.astype(np.float64))
        part = self._part(has.tobytes(), brings.tobytes())
        return part, counts[part.types]

    def _made_part(self, has: bytes, brings: bytes) -> _Part:
        graph = self._problem.graph
        types = np.flatnonzero(np.frombuffer(has, np.bool_))
        frontends = np.flatnonzero(np.frombuffer(brings, np.bool_))
        place = np.full(graph.sinks, -1)
        place[types] = np.arange(types.size)
        row = np.full(graph.sources, -1)
        row[frontends] = np.arange(frontends.size)
        edges = np.flatnonzero((place[graph.sink] >= 0) & (row[graph.source] >= 0))
        pairs = np.column_stack((row[graph.source[edges]], place[graph.sink[edges]]))
        smaller = CompatibilityGraph.from_edges(frontends.size, types.size, pairs)
        curves = tuple(self._problem.curves[k] for k in types)
        return _Part(smaller, frontends, types, edges, curves, Prices.of_curves(curves))

    def _overload(self, demand: Demanded, part: _Part, n: FloatArray) -> FloatArray | None:
        """(f,) marks of frontends that bring too much work; None where it can be served."""
        load, marks = _work_load(
            part.graph,
            demand.supply[part.frontends],
            n * part.prices.capacity,
            demand.work[part.edges],
        )
        return marks if load >= _FULL else None

    def _system(self, part: _Part, n: FloatArray, supply: FloatArray) -> RoutingSystem:
        """One backend for each type."""
        backends = tuple(
            Backend(self._problem.types[k].name, curve.enlarged(float(count)))
            for k, curve, count in zip(part.types, part.curves, n, strict=True)
        )
        frontends = tuple(
            Frontend(self._problem.frontends[f], PoissonArrivals(float(rate)))
            for f, rate in zip(part.frontends, supply, strict=True)
        )
        return RoutingSystem(frontends, backends, part.graph)


def _alike(demand: Demanded) -> bool:
    return bool((demand.work == 1.0).all())


def _work_load(
    graph: CompatibilityGraph, supply: FloatArray, capacity: FloatArray, work: FloatArray
) -> tuple[float, FloatArray]:
    """The least greatest load of a type, and (F,) costs that prove it.

    By duality it is sum_f costs_f supply_f, where sum_k capacity_k max_f (costs_f / work_fk) = 1.
    """
    from scipy.optimize import linprog  # noqa: PLC0415 - slow to import, and seldom asked
    from scipy.sparse import csr_array  # noqa: PLC0415

    edges = np.arange(graph.edges)
    # Unknown: shares of each frontend's rate, and the greatest load.
    values = np.concatenate(
        (work * (supply[graph.source] / capacity[graph.sink]), -np.ones(graph.sinks))
    )
    rows = np.concatenate((graph.sink, np.arange(graph.sinks)))
    columns = np.concatenate((edges, np.full(graph.sinks, graph.edges)))
    loads: Any = csr_array((values, (rows, columns)), shape=(graph.sinks, graph.edges + 1))
    sums: Any = csr_array(
        (np.ones(graph.edges), (graph.source, edges)), shape=(graph.sources, graph.edges + 1)
    )
    goal = np.append(np.zeros(graph.edges), 1.0)
    found = linprog(
        goal, loads, np.zeros(graph.sinks), sums, np.ones(graph.sources), method="highs"
    )
    if found.x is None:
        raise NumericalError(f"load of a fleet: {found.message}; please report it")
    costs = np.maximum(found.eqlin.marginals, 0.0) / supply
    return float(found.x[-1]), costs
