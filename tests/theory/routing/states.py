"""Random states of random systems, with ties, and routings that GMSR may choose there."""

import itertools
from collections.abc import Iterator

import numpy as np

from isocline.model.fleet import RoutingSystem
from isocline.model.graph import CompatibilityGraph
from isocline.theory import fluid_optimum

TIED = 1e-9  # marginal rates nearer than this share are one; those drawn apart differ by more


def marginals(system: RoutingSystem, workloads: np.ndarray) -> np.ndarray:
    return np.array([float(c.marginal(n)) for c, n in zip(system.curves, workloads, strict=True)])


def served(system: RoutingSystem, workloads: np.ndarray) -> np.ndarray:
    return np.array([float(c.rate(n)) for c, n in zip(system.curves, workloads, strict=True)])


def random_state(rng: np.random.Generator, system: RoutingSystem, low: float = 0.2) -> np.ndarray:
    """Workloads with marginal rates from one to three common values, so that they tie; some empty.

    The values lie between `low` times the lowest marginal rate at the optimum and one that a
    backend, drawn at random, has when empty.
    """
    least = low * marginals(system, fluid_optimum(system).workloads).min()
    most = rng.choice(marginals(system, np.zeros(len(system.backends))))
    common = np.exp(rng.uniform(np.log(least), np.log(most), rng.integers(1, 4)))
    picked = rng.choice(common, len(system.backends))
    found = [float(c.workload_at(m)) for c, m in zip(system.curves, picked, strict=True)]
    return np.where(rng.random(len(found)) < 0.15, 0.0, found)


def best_edges(graph: CompatibilityGraph, marginal: np.ndarray) -> list[int]:
    """Definition 2, from its words: the edges to a backend of greatest marginal rate."""
    found = []
    for f in range(graph.sources):
        most = max(marginal[b] for b in graph.neighbours(f))
        edges = range(graph.first[f], graph.first[f + 1])
        found += [e for e in edges if marginal[graph.sink[e]] >= (1.0 - TIED) * most]
    return found


def random_routing(rng: np.random.Generator, system: RoutingSystem, at: np.ndarray) -> np.ndarray:
    """(E,) lambda_f x_fb with x_f anywhere in X_f(N), Eq. (2): at its corners, too."""
    graph, flow = system.graph, np.zeros(system.graph.edges)
    best = np.array(best_edges(graph, marginals(system, at)))
    for f, rate in enumerate(system.rates):
        mine = best[graph.source[best] == f]
        share = rng.dirichlet(np.full(mine.size, rng.choice([0.05, 1.0, 20.0])))
        flow[mine] = rate * share
    return flow


def inflow(system: RoutingSystem, flow: np.ndarray) -> np.ndarray:
    return np.bincount(system.graph.sink, flow, system.graph.sinks)


def subsets(members: range | tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """All nonempty subsets."""
    for size in range(1, len(members) + 1):
        yield from itertools.combinations(members, size)
