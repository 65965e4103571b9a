"""The part of a system to which jobs come."""

from dataclasses import replace

import numpy as np

from isocline.model.fleet import RoutingSystem
from isocline.model.graph import CompatibilityGraph


def with_arrivals(system: RoutingSystem) -> RoutingSystem:
    """The system without frontends at which nothing arrives."""
    active = np.flatnonzero(system.rates > 0.0).tolist()
    neighbours = [system.graph.neighbours(f) for f in active]
    graph = CompatibilityGraph.from_neighbours(len(system.backends), neighbours)
    return replace(system, frontends=tuple(system.frontends[f] for f in active), graph=graph)
