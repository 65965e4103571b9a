"""Jobs that read blocks: when each was submitted, and which chunks its tasks want to be near."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self, final

import numpy as np
import numpy.typing as npt

from isocline.errors import UsageError
from isocline.model.cluster.cluster import Cluster
from isocline.model.cluster.placement import IntArray, placement_on
from isocline.record import brief

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]

_AT_ONCE = 2**18  # chunks drawn at once: some 20 MB of intermediate numbers


@final
@dataclass(frozen=True, eq=False)
class BlockTrace:
    """n jobs in order of submission; a block is one task, and a job ends when its last task does.

    Job j reads the chunks first_chunk[j], ..., first_chunk[j] + blocks[j] - 1: ranges instead of
    one row per task, of which there are hundreds as many. Jobs that read one path read the same
    chunks, from the path's first on.
    """

    __repr__ = brief

    name: str
    times: FloatArray  # (n,) s, non-decreasing, from 0
    blocks: IndexArray  # (n,) tasks of each job, >= 1
    path: IntArray  # (n,) number of the input path
    first_chunk: IndexArray  # (n,) number of the first chunk read
    chunks: int  # different chunks, numbered from 0
    length: float  # s covered; at least the last time

    @classmethod
    def from_jobs(
        cls, name: str, times: FloatArray, blocks: IndexArray, path: IntArray, length: float
    ) -> Self:
        """Number the chunks: a path has as many as its largest job reads. All arrays are (n,)."""
        _, number = np.unique(path, return_inverse=True)
        largest = np.zeros(int(number.max()) + 1, np.int64)
        np.maximum.at(largest, number, blocks)
        first_chunk = (np.cumsum(largest) - largest)[number]
        chunks = int(largest.sum())
        return cls(name, times, blocks, number.astype(np.int32), first_chunk, chunks, length)

    @property
    def jobs(self) -> int:
        """How many there are: n."""
        return self.times.size

    @cached_property
    def tasks(self) -> int:
        """Blocks of all jobs together."""
        return int(self.blocks.sum())

    @property
    def rate(self) -> float:
        """Tasks/s."""
        return self.tasks / self.length

    @cached_property
    def accesses(self) -> IndexArray:
        """(chunks,) how many tasks read each chunk, >= 1."""
        changes = np.zeros(self.chunks + 1, np.int64)
        np.add.at(changes, self.first_chunk, 1)
        np.add.at(changes, self.first_chunk + self.blocks, -1)
        return np.cumsum(changes[:-1])

    def window(self, start: float, length: float) -> Self:
        """The jobs submitted in [start, start + length) s; its time starts at `start`.

        Raises:
            UsageError: No job was submitted then, or the length is not above 0.
        """
        if not length > 0:
            raise UsageError(f"window of {length:g} s: give a length above 0")
        low, high = np.searchsorted(self.times, [start, start + length])
        if low == high:
            raise UsageError(
                f"{self.name}: no job was submitted from {start:g} s to {start + length:g} s; "
                f"the trace covers 0 ... {self.length:g} s"
            )
        part = slice(low, high)
        times = self.times[part] - start
        return self.from_jobs(self.name, times, self.blocks[part], self.path[part], length)

    def busiest(self, length: float) -> Self:
        """The window of `length` s with the most tasks; the earliest of several.

        Raises:
            UsageError: The length is not above 0.
        """
        # Some busiest window begins with a job: moving one up to its first job loses none.
        ends = np.searchsorted(self.times, self.times + length)
        before = np.concatenate(([0], np.cumsum(self.blocks)))
        starts = np.searchsorted(self.times, self.times)
        within = before[ends] - before[starts]
        return self.window(float(self.times[int(np.argmax(within))]), length)

    def sped_up(self, factor: float) -> Self:
        """The same jobs, `factor` times as close together."""
        if not 0 < factor < float("inf"):
            raise UsageError(f"speed-up {factor:g}: give a finite number above 0")
        return replace(self, times=self.times / factor, length=self.length / factor)

    def place(
        self, cluster: Cluster, replicas: int = 3, seed: int = 0, kind: str | None = None
    ) -> IntArray:
        """(chunks, replicas) int32: the servers that hold each chunk.

        `kind` is a name in `isocline.model.cluster.PLACEMENTS`; by default hdfs where there are
        racks, else uniform. The same seed gives the same places.

        Raises:
            UsageError: The kind is unknown, or servers or racks are too few for the replicas.
        """
        kind = kind or ("hdfs" if len(cluster.racks) > 1 else "uniform")
        placement = placement_on(cluster.rack, replicas, kind)
        rng = np.random.default_rng((seed, replicas))
        places = np.empty((self.chunks, replicas), np.int32)
        for part in np.array_split(places, self.chunks // _AT_ONCE + 1):
            part[:] = placement.draw(rng, len(part))
        return places
