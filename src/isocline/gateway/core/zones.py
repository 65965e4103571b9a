"""Zones: how much longer a request counts as taking at a backend that is far from its frontend.

Levels are those of near-data scheduling: the zone of the frontend, another zone of its region, and
another region. A zone is written as `eu-1a`, or with its region before a slash, as `eu/1a`; zones
without a region are all of one. A frontend or backend whose zone is not known counts as near.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from isocline.model.graph import CompatibilityGraph
from isocline.model.serving_settings import ZoneDistances
from isocline.policies.routing.contract import FloatArray

SAME_ZONE, SAME_REGION, OTHER_REGION = 0, 1, 2


@final
@dataclass(frozen=True)
class Zones:
    """Zones of all frontends and backends, and the distances between zones.

    Attributes:
        frontends: Zone of each frontend; None: not known.
        backends: Zone of each backend; likewise.
        distances: What a request to another zone counts as taking longer.
    """

    frontends: tuple[str | None, ...]
    backends: tuple[str | None, ...]
    distances: ZoneDistances

    def by_edge(self, graph: CompatibilityGraph) -> FloatArray:
        """(E,) distance of each edge, s; no entries if all are 0."""
        edges = zip(graph.source.tolist(), graph.sink.tolist(), strict=True)
        found = np.array([self.between(frontend, backend) for frontend, backend in edges])
        return found if found.any() else np.zeros(0)

    def between(self, frontend: int, backend: int) -> float:
        """Distance of a frontend from a backend, s."""
        by_level = (0.0, self.distances.zone, self.distances.to_region)
        return by_level[level_of(self.frontends[frontend], self.backends[backend])]


def level_of(one: str | None, other: str | None) -> int:
    """Level of two zones; the same one if either is not known."""
    if one is None or other is None or one == other:
        return SAME_ZONE
    return SAME_REGION if _region(one) == _region(other) else OTHER_REGION


def known(zones: Sequence[str | None]) -> bool:
    """Whether any of these zones is known."""
    return any(zone is not None for zone in zones)


def _region(zone: str) -> str:
    region, slash, _ = zone.rpartition("/")
    return region if slash else ""
