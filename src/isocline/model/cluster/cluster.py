"""The near-data model: servers that hold data, and tasks that run best where theirs is.

Near-data paper, Section 2, with racks: the contents of a system file of `kind: near-data`. The
local servers of `SampledTasks` are drawn for each task, as there are more types than can be listed.
"""

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self, final

import numpy as np

from isocline.arguments import at_least, checked, require_fields
from isocline.errors import GraphError, UsageError
from isocline.model.cluster.explicit import ExplicitTasks
from isocline.model.cluster.groups import ServerGroups, server_groups
from isocline.model.cluster.placement import HotSpot, IntArray, Placement, placement_on
from isocline.model.cluster.rates import Rates
from isocline.model.cluster.service import ServiceLaw
from isocline.model.cluster.slot_arrivals import SlotArrivals
from isocline.model.traffic import ExponentialSizes
from isocline.plural import counted
from isocline.record import brief, in_notebook


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


@final
@dataclass(frozen=True, eq=False)
class Cluster:
    """M servers, the racks they stand in, how fast they work, and what they are asked to do."""

    __repr__ = brief

    servers: tuple[str, ...]  # M names
    rack: IntArray  # (M,) number of each server's rack
    racks: tuple[str, ...]  # names; one rack where none is given
    rates: Rates
    tasks: ExplicitTasks | SampledTasks
    service: ServiceLaw = field(default_factory=ExponentialSizes)
    name: str = "cluster"
    arrivals: SlotArrivals = field(default_factory=SlotArrivals)  # of the slotted clock

    def __post_init__(self) -> None:
        rack = np.array(self.rack, dtype=np.int32)
        rack.setflags(write=False)
        object.__setattr__(self, "rack", rack)
        if not self.servers:
            raise UsageError("cluster: there is no server; give at least one")
        if rack.shape != (self.size,):
            raise UsageError(
                f"cluster: {counted(rack.size, 'rack number')} for {counted(self.size, 'server')}"
            )
        wrong = np.flatnonzero((rack < 0) | (rack >= len(self.racks)))
        if wrong.size:
            raise UsageError(
                f"cluster: server {self.servers[wrong[0]]!r} stands in rack {rack[wrong[0]]}; "
                f"there are {len(self.racks)}, from 0"
            )
        if self.rates.rack is not None and len(self.racks) < 2:
            raise UsageError(
                f"rack rate is {self.rates.rack:g}, and all servers stand in one rack; "
                "give the servers racks, or remove the rack rate"
            )
        if isinstance(self.tasks, SampledTasks):
            self.tasks.on(rack)  # checks that the replicas find room
        elif self.tasks.graph.sinks != self.size:
            raise GraphError(
                f"tasks are for {counted(self.tasks.graph.sinks, 'server')}; the cluster has "
                f"{self.size:,}"
            )

    def _repr_html_(self) -> str:
        return in_notebook("cluster_html", self)

    @classmethod
    @checked(servers=at_least(1), racks=at_least(1))
    def numbered(
        cls,
        servers: int,
        rates: Rates,
        tasks: ExplicitTasks | SampledTasks,
        *,
        racks: int = 1,
        service: ServiceLaw | None = None,
        name: str = "cluster",
        arrivals: SlotArrivals | None = None,
    ) -> Self:
        """Servers named 0, 1, ..., in racks 0, 1, ... of neighbours, as equal in size as can be."""
        names = tuple(map(str, range(servers)))
        law = ExponentialSizes() if service is None else service
        rack = racks_of(servers, racks)
        own = SlotArrivals() if arrivals is None else arrivals
        return cls(names, rack, tuple(map(str, range(racks))), rates, tasks, law, name, own)

    @property
    def size(self) -> int:
        """M."""
        return len(self.servers)

    @cached_property
    def labels(self) -> tuple[str | int, ...]:
        """Names of the servers in results: their numbers where they have no others."""
        names = self.servers
        unnamed = all(name == str(number) for number, name in enumerate(names))
        return tuple(range(self.size)) if unnamed else names

    @property
    def arrival_rate(self) -> float:
        """Tasks/s of all types together; tasks per slot on the slotted clock."""
        return self.tasks.rate

    @property
    def load(self) -> float:
        """Arrival rate over what all servers could serve if every task were local."""
        return self.arrival_rate / (self.size * self.rates.local)

    def sped_up(self, factor: float) -> Self:
        """All tasks `factor` times as often, the servers as they are.

        Raises:
            UsageError: The factor is not a finite number above 0.
        """
        if not 0 < factor < math.inf:
            raise UsageError(f"speed-up {factor:g}: give a finite number above 0")
        return replace(self, tasks=self.tasks.sped_up(factor))

    def at_rate(self, total: float) -> Self:
        """The same mixture of types at `total` tasks/s; raises as `sped_up` does."""
        return self.sped_up(total / self.arrival_rate)

    def explicit_tasks(self, count: int, seed: int = 0) -> ExplicitTasks:
        """The types as they are listed, or a sample of `count` where they are drawn."""
        if isinstance(self.tasks, ExplicitTasks):
            return self.tasks
        return self.tasks.types(self, count, seed)


def racks_of(servers: int, racks: int) -> IntArray:
    """(M,) int32: rack of each server, neighbours together, sizes that differ by at most one.

    Raises:
        UsageError: There is no rack, or a rack would be empty.
    """
    if not 1 <= racks <= servers:
        raise UsageError(
            f"{counted(racks, 'rack')} for {counted(servers, 'server')}; give from 1 to "
            f"{counted(servers, 'rack')}"
        )
    return (np.arange(servers, dtype=np.int64) * racks // servers).astype(np.int32)
