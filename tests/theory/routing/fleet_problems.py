"""Small fleet problems, and the cheapest fleet by trying all."""

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np

from isocline.errors import GraphError, InfeasibleError
from isocline.flow import capacity_scale
from isocline.model.curves import (
    Curve,
    ExponentialCurve,
    HyperbolicCurve,
    KneeCurve,
    PoolCurve,
    TableCurve,
)
from isocline.model.fleet_problem import Demand, FleetProblem, MachineType
from isocline.model.graph import CompatibilityGraph
from isocline.theory.routing.cheapest_fleet.target import Target
from isocline.theory.routing.equilibrium import fluid_optimum


def a_curve(rng: np.random.Generator) -> Curve:
    """One of any kind, of 2 to 20 jobs/s, with 0.2 to 1 s for a job alone."""
    peak, alone = float(rng.uniform(2.0, 20.0)), float(rng.uniform(0.2, 1.0))
    half = peak * alone
    kind = rng.integers(5)
    if kind == 0:
        return HyperbolicCurve(peak, half)
    if kind == 1:
        return ExponentialCurve(peak, half)
    if kind == 2:
        return TableCurve(((half, 0.6 * peak), (3.0 * half, 0.9 * peak), (9.0 * half, peak)))
    if kind == 3:
        parts = HyperbolicCurve(0.7 * peak, half), ExponentialCurve(0.3 * peak, half)
        return PoolCurve(parts)
    return KneeCurve(peak, half, float(rng.uniform(1.0, 3.0)))


def a_problem(rng: np.random.Generator, types: int, frontends: int, demands: int) -> FleetProblem:
    """A random one; a few machines of each type are enough for latencies of a few seconds."""
    rows = [
        np.flatnonzero(rng.random(types) < 0.6).tolist() or [int(rng.integers(types))]
        for _ in range(frontends)
    ]
    return FleetProblem(
        tuple(
            MachineType(
                f"t{k}",
                curve := a_curve(rng),
                round(float(curve.supremum**0.8 * rng.uniform(0.5, 1.5)), 2),
                at_least=int(rng.integers(5) == 0),
                at_most=6,
            )
            for k in range(types)
        ),
        tuple(f"f{f}" for f in range(frontends)),
        CompatibilityGraph.from_neighbours(types, rows),
        tuple(
            Demand(f"d{d}", tuple(rng.uniform(0.5, 12.0, frontends).tolist()))
            for d in range(demands)
        ),
    )


def figure(problem: FleetProblem, counts: Sequence[int], demand: Demand, target: Target) -> float:
    """Mean latency or load of a fleet, from the plan of its own machines one by one."""
    try:
        system = problem.system(counts, demand)
        if target.quantity == "load":
            scale = capacity_scale(system.graph, system.rates, system.capacities)
            return 1.0 / scale.scale
        return fluid_optimum(system).total_jobs / demand.rate
    except (InfeasibleError, GraphError):
        return math.inf


def holds(problem: FleetProblem, counts: Sequence[int], target: Target, spare: int) -> bool:
    """Whether a fleet holds a target, whichever machines are lost."""
    return all(
        figure(problem, left, demand, target) <= target.limit * (1.0 + 1e-6)
        for left in leftovers(counts, spare)
        for demand in problem.demands
    )


def leftovers(counts: Sequence[int], spare: int) -> Iterator[tuple[int, ...]]:
    """What may be left without so many machines."""
    if spare == 0 or not any(counts):
        yield tuple(counts)
        return
    for k in range(len(counts)):
        if counts[k]:
            yield from leftovers([n - (i == k) for i, n in enumerate(counts)], spare - 1)


def fleets(problem: FleetProblem) -> list[tuple[int, ...]]:
    """All fleets within bounds, the cheapest first."""
    ranges = [range(each.at_least, (each.at_most or 0) + 1) for each in problem.types]
    return sorted(itertools.product(*ranges), key=problem.cost)
