"""Cheapest fleets that take no simulation."""

from dataclasses import replace
from functools import cache

import numpy as np

from isocline.model.curves import HyperbolicCurve
from isocline.model.fleet_problem import Demand, FleetProblem, MachineType
from isocline.model.graph import CompatibilityGraph
from isocline.simulate.common.estimate import Estimate
from isocline.simulate.routing.cheapest_fleet import cheapest_fleet
from isocline.simulate.routing.fleet_results import CheapestFleet, FrontierPoint


@cache
def fluid(target: str = "mean<=2s") -> CheapestFleet:
    """Two types, one of which all may use, and two demands."""
    problem = FleetProblem(
        (
            MachineType("big", HyperbolicCurve(10.0, 5.0), 4.0),
            MachineType("small", HyperbolicCurve(3.0, 3.0), 1.0),
        ),
        ("a", "b"),
        CompatibilityGraph.from_neighbours(2, [[0, 1], [0]]),
        (Demand("day", (9.0, 4.0)), Demand("night", (2.0, 6.0))),
        name="rent",
    )
    return cheapest_fleet(problem, target, policy=None, spare=1, spare_target="load<=1", points=5)


def simulated() -> CheapestFleet:
    """The same, as if it had been simulated."""
    one = fluid()
    conditions = tuple(
        row if row.lost else row._replace(simulated=Estimate(1.912, 1.9, 1.924))
        for row in one.conditions
    )
    return replace(
        one, conditions=conditions, policy="gmsr_secant", fluid_cost=one.cost - 1.0, cost=one.cost
    )


def many(count: int = 12) -> CheapestFleet:
    """So many types, in other shares at each limit."""
    one = fluid()
    types = tuple(
        MachineType(f"a machine with the name {k}", HyperbolicCurve(5.0, 2.0), 1.0 + 0.2 * k)
        for k in range(count)
    )
    graph = CompatibilityGraph.from_neighbours(count, [range(count)] * 2)
    problem = replace(one.problem, types=types, graph=graph)
    rng = np.random.default_rng(1)
    frontier = []
    for limit in np.geomspace(1.0, 6.0, 9).tolist():
        counts = tuple(rng.integers(0, round(9.0 / limit), count).tolist())
        cost = problem.cost(counts)
        frontier.append(FrontierPoint(limit, cost, 0.93 * cost, counts))
    return replace(one, problem=problem, frontier=tuple(frontier), cost=60.0)
