"""Zones: how much longer a request counts as taking at a backend that is far from its frontend.

A frontend or backend whose zone is not known counts as near.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from isocline.model.graph import CompatibilityGraph
from isocline.model.serving_settings import ZoneDistances
from isocline.model.zones import level_of
from isocline.policies.routing.contract import FloatArray, IntArray


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
        """(E,) given distance of each edge, s; no entries if all are 0 and stay so."""
        found = np.array(self.given)[self.levels_of(graph)]
        return found if self.distances.measured or found.any() else np.zeros(0)

    def levels_of(self, graph: CompatibilityGraph) -> IntArray:
        """(E,) int32, level of each edge."""
        edges = zip(graph.source.tolist(), graph.sink.tolist(), strict=True)
        levels = [level_of(self.frontends[f], self.backends[b]) for f, b in edges]
        return np.array(levels, dtype=np.int32)

    @property
    def given(self) -> tuple[float, float, float]:
        """Distance of each level as the file gives it, s."""
        return 0.0, self.distances.zone, self.distances.to_region

    @property
    def levels(self) -> list[int]:
        """Level of each backend in the router's own zone: that of its frontends, if they agree."""
        own = next((zone for zone in self.frontends if zone is not None), None)
        return [level_of(own, zone) for zone in self.backends]


def one_place(zones: Sequence[str | None]) -> bool:
    """Whether all zones that are known are the same one."""
    return len({zone for zone in zones if zone is not None}) <= 1
