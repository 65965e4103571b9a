"""Random level-flow problems, and the checks that all solved ones must pass."""

import math
from collections.abc import Sequence

import numpy as np

from isocline.flow import FlowStatus, LevelFlow, LevelFlowProblem, Prices, capacity_scale, solve
from isocline.model.curves import (
    Curve,
    ExponentialCurve,
    HyperbolicCurve,
    KneeCurve,
    ServersCurve,
    TableCurve,
)
from isocline.model.graph import CompatibilityGraph

CONSERVATION, SLOPE_GAP = 1e-12, 1e-8
PLAIN = ("hyperbolic", "exponential", "knee", "table")


def curve(rng: np.random.Generator, kind: str, scale: float = 1.0) -> Curve:
    peak, half = float(scale * 10 ** rng.uniform(-1, 1)), float(10 ** rng.uniform(-1, 1.5))
    match kind:
        case "hyperbolic":
            return HyperbolicCurve(peak, half)
        case "exponential":
            return ExponentialCurve(peak, half)
        case "knee":
            return KneeCurve(peak, half, float(rng.uniform(0.4, 6.0)))
        case "servers":
            return ServersCurve(peak / 3, 3)
    loads, rates = np.sort(rng.uniform(0.1, 10, 6)), np.sort(rng.uniform(0.05, 1, 6)) * peak
    return TableCurve(tuple(zip(loads.tolist(), rates.tolist(), strict=True)))


def random_graph(
    rng: np.random.Generator, sources: int, sinks: int, share: float
) -> CompatibilityGraph:
    """Each pair is joined with probability `share`; a source left alone gets one sink."""
    rows = [np.flatnonzero(rng.random(sinks) < share) for _ in range(sources)]
    rows = [row if row.size else rng.integers(sinks, size=1) for row in rows]
    return CompatibilityGraph.from_neighbours(sinks, rows)


def ring(n: int) -> CompatibilityGraph:
    return CompatibilityGraph.from_neighbours(n, [{i, (i + 1) % n} for i in range(n)])


def path(n: int) -> CompatibilityGraph:
    return CompatibilityGraph.from_neighbours(n + 1, [(i, i + 1) for i in range(n)])


def at_load(
    graph: CompatibilityGraph, supply: np.ndarray, curves: Sequence[Curve], load: float
) -> LevelFlowProblem:
    """Supplies scaled so that the tightest set of sources brings `load` of its capacity."""
    capacity = np.array([each.supremum for each in curves])
    scale = capacity_scale(graph, supply, capacity).scale
    return LevelFlowProblem(graph, supply * (scale * load), Prices.of_curves(curves))


def solved(problem: LevelFlowProblem) -> LevelFlow:
    """Solve and check the certificate; the solver raises, but tests do not take its word."""
    result = solve(problem)
    assert result.status is FlowStatus.OPTIMAL
    assert result.certificate
    assert result.certificate.conservation <= CONSERVATION
    assert result.certificate.slope_gap <= SLOPE_GAP
    return result


def proves_infeasible(problem: LevelFlowProblem, result: LevelFlow) -> bool:
    """Whether the violated sources bring at least what all their neighbours can take."""
    sources = {int(f) for f in result.violated_sources}
    around = {int(b) for f in sources for b in problem.graph.neighbours(f)}
    brought = math.fsum(problem.supply[f] for f in sources)
    return bool(sources) and brought >= math.fsum(problem.prices.capacity[b] for b in around)
