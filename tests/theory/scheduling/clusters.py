"""Random near-data systems, and the linear program of Eq. (1) written out type by type."""

import numpy as np
from scipy.optimize import linprog

from isocline.model.cluster import Rates
from isocline.model.graph import CompatibilityGraph


def random_types(
    rng: np.random.Generator, most_servers: int = 10, most_types: int = 12
) -> tuple[CompatibilityGraph, np.ndarray]:
    """Types of one to four servers, unevenly popular, so that most systems have a hot spot."""
    servers, types = int(rng.integers(2, most_servers + 1)), int(rng.integers(1, most_types + 1))
    weight = rng.exponential(1.0, servers) + 0.05
    rows = [
        rng.choice(
            servers,
            int(rng.integers(1, min(servers, 4) + 1)),
            replace=False,
            p=weight / weight.sum(),
        )
        for _ in range(types)
    ]
    return CompatibilityGraph.from_neighbours(servers, rows), rng.exponential(1.0, types)


def program_scale(
    graph: CompatibilityGraph, rates: np.ndarray, speed: Rates, rack: np.ndarray | None = None
) -> float:
    """Largest s for which s lambda_L = sum_m lambda_{L,m} with every server's time at most 1.

    A variable for each type and server, as in Eq. (1) with lambda_{L,m} = sum_n lambda_{L,n,m}, and
    nothing of what the theory says about the solution.
    """
    types, servers = graph.sources, graph.sinks
    rate = np.full((types, servers), speed.remote)
    for kind in range(types):
        local = graph.neighbours(kind)
        if rack is not None and speed.rack is not None:
            rate[kind, np.isin(rack, rack[local])] = speed.rack
        rate[kind, local] = speed.local
    time = np.zeros((servers, 1 + types * servers))
    served = np.zeros((types, 1 + types * servers))
    served[:, 0] = -rates
    for kind in range(types):
        columns = slice(1 + kind * servers, 1 + (kind + 1) * servers)
        served[kind, columns] = 1.0
        time[:, columns] = np.diag(1.0 / rate[kind])
    cost = np.zeros(1 + types * servers)
    cost[0] = -1.0
    found = linprog(cost, time, np.ones(servers), served, np.zeros(types), method="highs")
    assert found.status == 0
    assert found.x is not None
    return float(found.x[0])
