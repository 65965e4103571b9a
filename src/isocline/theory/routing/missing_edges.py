"""Missing edges: the connections that do not exist and would help most.

Adding the edge (f, b) lets f send x jobs/s to b. By duality, with the old optimum's prices, level
L of f, price p and inflow a of b, and N(.) the workload that an inflow costs, no x can save more
jobs than

    x (L - p)                                 for x <= a   (what b had goes elsewhere at price p)
    a (L - p) + (x - a) L - (N(x) - N(a))     beyond.

This screens all pairs in one vectorised pass; the best few are then solved exactly.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from isocline.flow import FlowStatus, LevelFlow, LevelFlowProblem, solve
from isocline.model.fleet import RoutingSystem
from isocline.theory.routing.workloads import workloads

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]

# The coarse bound (L - p) min(rate, capacity) keeps this many pairs for each exact solve.
_KEPT_PER_SOLVE = 20

# Rows of the coarse bound evaluated at a time: 64 rows of 5000 backends stay in the cache.
_ROWS = 64

# Frontends examined at most, those with the largest possible savings first: beyond 2000 x 5000
# pairs, or one second, the rest is left out.
_MOST_ROWS = 2000

# Savings below this share of all jobs are rounding of the two totals.
_VISIBLE = 1e-10


class MissingEdge(NamedTuple):
    """A pair that is not connected, and the jobs that a connection would save."""

    frontend: int
    backend: int
    jobs: float


def missing_edges(
    system: RoutingSystem,
    problem: LevelFlowProblem,
    solved: LevelFlow,
    total_jobs: float,
    solves: int = 10,
) -> list[MissingEdge]:
    """The most valuable missing edges, best first, each solved exactly.

    Args:
        system: The system.
        problem: Its level-flow problem.
        solved: The solution of that.
        total_jobs: The jobs in the system at that solution.
        solves: How many candidates to solve; savings of others are smaller than bounds that are
            smaller than these candidates' bounds.
    """
    frontend, backend = _screened(problem, solved, solves * _KEPT_PER_SOLVE)
    bound = _bounds(system, problem, solved, frontend, backend)
    found = []
    for i in np.argsort(-bound, kind="stable")[:solves]:
        edge = int(frontend[i]), int(backend[i])
        with_edge = LevelFlowProblem(problem.graph.with_edge(*edge), problem.supply, problem.prices)
        after = solve(with_edge, _near(solved, with_edge, *edge))
        if after.status is not FlowStatus.OPTIMAL:
            continue
        jobs = total_jobs - float(workloads(system.curves, after.inflow, after.price).sum())
        if jobs > _VISIBLE * total_jobs:
            found.append(MissingEdge(*edge, jobs))
    return sorted(found, key=lambda saving: -saving.jobs)


def _near(solved: LevelFlow, with_edge: LevelFlowProblem, frontend: int, backend: int) -> LevelFlow:
    """The solution without an edge, as a start of that with it: nothing flows there."""
    graph = with_edge.graph
    at = graph.first[frontend] + np.searchsorted(graph.neighbours(frontend), backend)
    return replace(solved, flow=np.insert(solved.flow, at, 0.0))


def _screened(
    problem: LevelFlowProblem, solved: LevelFlow, count: int
) -> tuple[IndexArray, IndexArray]:
    """The missing pairs with the largest coarse bounds, as arrays of frontends and backends."""
    graph, capacity = problem.graph, problem.prices.capacity
    most = problem.supply * (solved.level - solved.price.min())
    rows = np.argsort(-most, kind="stable")[:_MOST_ROWS]
    best = np.zeros(0)
    pairs = np.zeros(0, dtype=np.int64)
    for start in range(0, rows.size, _ROWS):
        block = rows[start : start + _ROWS]
        if best.size == count and most[block[0]] <= best.min():
            break
        gain = solved.level[block, None] - solved.price[None, :]
        gain *= np.minimum(problem.supply[block, None], capacity[None, :])
        for row, f in enumerate(block):
            gain[row, graph.neighbours(int(f))] = 0.0
        floor = best.min() if best.size == count else 0.0
        row_of, column = np.nonzero(gain > floor)
        best = np.concatenate((best, gain[row_of, column]))
        pairs = np.concatenate((pairs, block[row_of] * graph.sinks + column))
        if best.size > count:
            kept = np.argpartition(-best, count - 1)[:count]
            best, pairs = best[kept], pairs[kept]
    return pairs // graph.sinks, pairs % graph.sinks


def _bounds(
    system: RoutingSystem,
    problem: LevelFlowProblem,
    solved: LevelFlow,
    frontend: IndexArray,
    backend: IndexArray,
) -> FloatArray:
    """The bound above, in jobs, at the x that makes it largest."""
    bound = np.empty(frontend.size)
    for i, (f, b) in enumerate(zip(frontend, backend, strict=True)):
        curve, rate, inflow = system.curves[b], problem.supply[f], solved.inflow[b]
        level, price = solved.level[f], solved.price[b]
        levelled = float(curve.rate(curve.workload_at(1.0 / level)))
        more = max(min(rate, levelled) - inflow, 0.0)
        jobs = float(curve.workload(inflow + more) - curve.workload(inflow))
        bound[i] = (level - price) * min(rate, inflow) + more * level - jobs
    return bound
