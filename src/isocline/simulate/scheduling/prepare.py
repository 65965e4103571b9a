"""Arrays of a cluster that replications share: made once, read only."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, final

import numpy as np
import numpy.typing as npt

from isocline.errors import UsageError
from isocline.model.cluster import Cluster, ExplicitTasks, Placement
from isocline.policies.scheduling.contract import ClusterSetting
from isocline.simulate.common.kernels.alias_tables import Alias, alias
from isocline.simulate.scheduling.kernels.holder_sampler import (
    BUFFERED,
    LISTED,
    MOST_DRAWN,
    UNIFORM,
    Sampler,
)

IntArray = npt.NDArray[np.int32]
FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]

BUFFER = 1 << 14  # rows of local servers drawn at once, where they are drawn outside the kernels
_ALL_HOT: Any = np.uint64(1 << 63)  # an int would be signed to numba, and too large
_NO_TYPES: Alias = alias(np.ones(1))
_NO_ROWS = np.zeros((0, 0), np.int32)


@final
@dataclass(frozen=True, eq=False)
class JobList:
    """J jobs to replay, in order of submission; task i of job j asks for chunk first[j] + i."""

    time: FloatArray  # (J,) s
    first: IndexArray  # (J,)
    count: IndexArray  # (J,) tasks, >= 1
    holders: IntArray  # (chunks, replicas) the servers that hold each chunk


@final
@dataclass(frozen=True, eq=False)
class PreparedCluster:
    """Cluster prepared for simulation, with the settings of a run."""

    cluster: Cluster
    beneficiaries: IntArray  # servers over which |Q_perp| is also taken; all where none are named
    jobs: JobList | None = None  # in place of the cluster's tasks

    @cached_property
    def setting(self) -> ClusterSetting:
        """Setting that a policy may know."""
        cluster = self.cluster
        racks = len(cluster.racks) if cluster.rates.rack is not None else 1
        rate = np.array(cluster.rates.levels, dtype=np.float64)
        return ClusterSetting(np.array(cluster.rack), racks, rate, shuffled=self.replicas > 0)

    @property
    def replicas(self) -> int:
        """Local servers of each task where they are drawn, 0 where types are listed."""
        if self.jobs is not None or isinstance(self.cluster.tasks, ExplicitTasks):
            return 0
        return self.cluster.tasks.replicas

    @cached_property
    def holders(self) -> IntArray:
        """The local servers of all types, one after the other; empty where they are drawn."""
        if self.jobs is not None:
            return np.ascontiguousarray(self.jobs.holders, dtype=np.int32).reshape(-1)
        if isinstance(self.cluster.tasks, ExplicitTasks):
            return np.array(self.cluster.tasks.graph.sink)
        return np.zeros(0, np.int32)

    @cached_property
    def _placement(self) -> Placement:
        assert not isinstance(self.cluster.tasks, ExplicitTasks)
        return self.cluster.tasks.on(self.cluster.rack)

    def draw(self, rng: np.random.Generator, count: int) -> IntArray:
        """(count, replicas) local servers of new tasks, in random order."""
        return rng.permuted(self._placement.draw(rng, count), axis=1)

    def sampler(self) -> Sampler:
        """A sampler for one run."""
        tasks, size = self.cluster.tasks, self.cluster.size
        none = Sampler(
            LISTED, _NO_TYPES, np.zeros(1, np.int64), self.replicas, size, size,
            _ALL_HOT, _NO_ROWS, np.zeros(1, np.int64),
        )  # fmt: skip
        if isinstance(tasks, ExplicitTasks):
            return none._replace(types=alias(tasks.rates), first=np.array(tasks.graph.first))
        if tasks.placement == "uniform" and tasks.replicas <= MOST_DRAWN:
            spot = tasks.hotspot
            if spot is None:
                return none._replace(kind=UNIFORM)
            share: Any = np.uint64(round(spot.share * 2.0**63))
            return none._replace(kind=UNIFORM, hot=spot.hot(size), share=share)
        # As if the last row had been used: the first is drawn when it is needed.
        rows = np.zeros((BUFFER, tasks.replicas), np.int32)
        return none._replace(kind=BUFFERED, rows=rows, next_row=np.array([BUFFER]))

    def at(self, cluster: Cluster) -> "PreparedCluster":
        """Same settings for another cluster of the same servers."""
        return replace(self, cluster=cluster)


def prepare_cluster(
    cluster: Cluster,
    *,
    beneficiaries: npt.ArrayLike | None = None,
    jobs: JobList | None = None,
) -> PreparedCluster:
    """Prepare a cluster for simulation.

    Args:
        cluster: The system.
        beneficiaries: Numbers of the overloaded servers of the ideal load decomposition, over
            which |Q_perp| is measured beside that over all servers.
        jobs: A list to replay in place of the cluster's tasks (continuous clock only).

    Raises:
        UsageError: A server number is out of range.
    """
    chosen = np.arange(cluster.size) if beneficiaries is None else np.asarray(beneficiaries)
    if chosen.size == 0:
        chosen = np.arange(cluster.size)
    if chosen.min() < 0 or chosen.max() >= cluster.size:
        raise UsageError(f"beneficiaries: give server numbers from 0 to {cluster.size - 1}")
    return PreparedCluster(cluster, chosen.astype(np.int32), jobs)
