"""Solution of a level flow: sweeps for a start, exact decomposition, and a certificate."""

import math

import numpy as np
import numpy.typing as npt

from isocline.errors import NumericalError
from isocline.flow.capacity import neighbourhood
from isocline.flow.certificate import certify
from isocline.flow.decompose import decompose
from isocline.flow.groups import group_levels
from isocline.flow.price_kinds import COMPOSED
from isocline.flow.problem import Edges, LevelFlowProblem
from isocline.flow.result import FlowStatus, LevelFlow
from isocline.flow.silent_sources import reduced, restored, speaking
from isocline.flow.sweeps import sweep, tangents

FloatArray = npt.NDArray[np.float64]

# Sweeps stop when no level moves by more than _STILL, or after _SWEEPS: further ones cost more than
# they save the exact method. Measured on random graphs of 50 000 and 10^6 edges and on rings.
_SWEEPS, _STILL = 30, 1e-3

# Levels that still move by more than this do not show yet which sinks share a level.
_SETTLED = 5e-3


def solve(problem: LevelFlowProblem, near: LevelFlow | None = None) -> LevelFlow:
    """Solve exactly, or prove infeasible.

    Infeasibility is decided to about 1e-13 of the supply; a load nearer to the boundary than that
    may be reported either way, but never without its proof.

    Args:
        problem: The problem.
        near: The solution of a problem on the same graph that is nearly the same. It saves time
            and changes nothing else: the edges it uses show which sinks share a level.

    Raises:
        NumericalError: The result misses its certificate (slope gap 1e-8; conservation 1e-12, or
            1e-11 where a sink has several parts, whose price is found by a search).
    """
    part = speaking(problem.graph, problem.supply)
    if part is not None:
        return restored(problem, part, solve(*reduced(problem, part, near)))
    if near is None:
        flow, level, moved = _start(problem)
        exact = decompose(problem, flow, level, connected_by_flow=moved <= _SETTLED)
    else:
        exact = decompose(problem, near.flow, _levels(problem, near), connected_by_flow=True)
    if exact.violated.size:
        return _infeasible(problem, exact.violated, exact.max_flows)
    graph = problem.graph
    price = problem.prices.price_of_level(exact.level[graph.sources :])
    certificate = certify(problem, exact.flow, price)
    composed = bool((problem.prices.kind == COMPOSED).any())
    if not certificate.holds(conservation=1e-11 if composed else 1e-12):
        raise NumericalError(f"level flow misses its certificate: {certificate}; please report it")
    return LevelFlow(
        FlowStatus.OPTIMAL,
        exact.flow,
        np.bincount(graph.sink, exact.flow, graph.sinks).astype(np.float64),
        price,
        np.minimum.reduceat(price[graph.sink], graph.first[:-1]),
        certificate,
        np.empty(0, np.int64),
        np.empty(0, np.int64),
        exact.max_flows,
    )


def _levels(problem: LevelFlowProblem, near: LevelFlow) -> FloatArray:
    """(S + T,) the levels of sources and sinks in a solution."""
    price = np.concatenate((near.level, near.price))
    return -price if problem.prices.is_linear else price**-0.5


def _start(problem: LevelFlowProblem) -> tuple[FloatArray, float, float]:
    """A flow near the solution, the level if all shared one, and how much sweeps still move."""
    graph, supply = problem.graph, problem.supply.copy()  # writeable, as in decompose.py
    nodes = graph.sources + graph.sinks
    empty = problem.prices.row[:, 1]
    level = np.full(nodes, 0.5 * empty[0] if 0.0 < empty[0] < np.inf else 1.0)
    one_group, target = np.zeros(nodes, dtype=np.int32), np.zeros(graph.sinks)
    if group_levels(problem.prices, supply, one_group, 1, level, target) >= 0:
        degree = np.diff(graph.first)
        return np.repeat(supply / degree, degree), float(level[0]), np.inf
    common = float(level[0])
    lines = tangents(problem.prices, common)
    flow, source_level = np.zeros(graph.edges), np.full(graph.sources, common)
    moved = sweep(Edges.unsigned(graph), supply, lines, flow, source_level, _SWEEPS, _STILL)
    return flow, common, moved


def _infeasible(
    problem: LevelFlowProblem, sources: npt.NDArray[np.int64], max_flows: int
) -> LevelFlow:
    sinks = neighbourhood(problem.graph, sources)
    brought = math.fsum(problem.supply[sources])
    capacity = math.fsum(problem.prices.capacity[sinks])
    if not brought >= capacity:
        raise NumericalError(
            f"level flow: sources {sources.tolist()[:10]} bring {brought!r}, less than the "
            f"{capacity!r} of their sinks, which proves nothing; please report it"
        )
    none = np.empty(0)
    return LevelFlow(FlowStatus.INFEASIBLE, none, none, none, none, None, sources, sinks, max_flows)
