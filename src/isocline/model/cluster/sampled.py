"""Tasks whose local servers are drawn anew for each task: more types than can be listed."""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self, final

import numpy as np

from isocline.arguments import require_fields
from isocline.errors import UsageError
from isocline.model.cluster.explicit import ExplicitTasks
from isocline.model.cluster.groups import ServerGroups, server_groups
from isocline.model.cluster.placement import HotSpot, IntArray, Placement, placement_on

if TYPE_CHECKING:
    from isocline.model.cluster.cluster import Cluster


@final
@dataclass(frozen=True)
class SampledTasks:
    """Each task reads a chunk of its own, placed at random (near-data paper, Section 6).

    `rate` is tasks/s, or tasks per slot on the slotted clock, of all types together.
    """

    replicas: int
    rate: float
    hotspot: HotSpot | None = None
    placement: str = "uniform"
    """A name in PLACEMENTS."""

    def __post_init__(self) -> None:
        require_fields(self, "tasks")
        if not (math.isfinite(self.rate) and self.rate > 0):
            raise UsageError(f"tasks: rate is {self.rate:g}; give a finite number above 0")

    def on(self, rack: IntArray) -> Placement:
        """How chunks are placed on servers whose racks are `rack`, (M,).

        Raises:
            UsageError: Servers or racks are too few for the replicas.
        """
        return placement_on(rack, self.replicas, self.placement, self.hotspot)

    def draw(self, cluster: "Cluster", rng: np.random.Generator, count: int) -> IntArray:
        """(count, replicas) int32: the local servers of `count` tasks."""
        return self.on(cluster.rack).draw(rng, count)

    def types(self, cluster: "Cluster", count: int, seed: int = 0) -> ExplicitTasks:
        """A sample of `count` types at equal rates, equal ones merged, with the same total."""
        rows = self.draw(cluster, np.random.default_rng((seed, count)), count)
        return ExplicitTasks.from_rows(cluster.size, rows, np.full(count, self.rate / count))

    def groups(self, cluster: "Cluster") -> ServerGroups | None:
        """Servers that are alike, for exact balanced loads; None where they are not worth it."""
        return server_groups(self.on(cluster.rack), cluster.size, self.rate)

    def sped_up(self, factor: float) -> Self:
        """The same tasks `factor` times as often."""
        return replace(self, rate=self.rate * factor)
