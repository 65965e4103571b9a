"""Sources without supply: left out before a flow is solved, put back afterwards."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from isocline.flow.problem import LevelFlowProblem
from isocline.flow.result import FlowStatus, LevelFlow
from isocline.model.graph import CompatibilityGraph

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]


class Speaking(NamedTuple):
    """The part of a graph whose sources have a supply.

    Made by `speaking`, and read-only.
    """

    graph: CompatibilityGraph
    sources: IndexArray  # (s,) int64, their numbers in the whole graph
    edges: IndexArray  # (e,) int64, numbers of their edges in the whole graph


def speaking(graph: CompatibilityGraph, supply: FloatArray) -> Speaking | None:
    """The sources with a supply above 0; None where all have one."""
    if (supply > 0).all():
        return None
    sources = np.flatnonzero(supply > 0)
    edges = np.flatnonzero(supply[graph.source] > 0)
    degree = np.diff(graph.first)[sources]
    first = np.concatenate(([0], np.cumsum(degree))).astype(np.int64)
    return Speaking(CompatibilityGraph(first, graph.sink[edges], graph.sinks), sources, edges)


def reduced(
    problem: LevelFlowProblem, part: Speaking, near: LevelFlow | None
) -> tuple[LevelFlowProblem, LevelFlow | None]:
    """Problem of the part, and a start for its solution."""
    smaller = LevelFlowProblem(part.graph, problem.supply[part.sources], problem.prices)
    if near is None:
        return smaller, None
    return smaller, replace(near, flow=near.flow[part.edges], level=near.level[part.sources])


def restored(problem: LevelFlowProblem, part: Speaking, solved: LevelFlow) -> LevelFlow:
    """The solution of the whole: silent sources send nothing, and see the least of their prices."""
    if solved.status is FlowStatus.INFEASIBLE:
        return replace(solved, violated_sources=part.sources[solved.violated_sources])
    graph = problem.graph
    flow = np.zeros(graph.edges)
    flow[part.edges] = solved.flow
    level = np.minimum.reduceat(solved.price[graph.sink], graph.first[:-1])
    return replace(solved, flow=flow, level=level)
