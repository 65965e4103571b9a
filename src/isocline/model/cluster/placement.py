"""Placement of a chunk's replicas.

A placement draws the servers of many chunks at once. It knows the servers it may use, as numbers
into the cluster's `rack` array, and never puts two replicas of a chunk on one server.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
import numpy.typing as npt

from isocline.arguments import require_fields
from isocline.errors import UsageError

IntArray = npt.NDArray[np.int32]
IndexArray = npt.NDArray[np.int64]

PLACEMENTS = ("uniform", "hdfs")


@final
@dataclass(frozen=True)
class HotSpot:
    """A part of the tasks asks for data on a part of the servers (near-data paper, Section 6).

    With probability `share` the replicas lie among the first `servers` * M servers, else among the
    rest. The paper's sigma is `share`, its N/M is `servers`.
    """

    servers: float
    share: float

    def __post_init__(self) -> None:
        require_fields(self, "hot spot")
        if not 0 < self.servers < 1:
            raise UsageError(
                f"hot spot on {self.servers:g} of the servers; give a share between 0 and 1, as 0.5"
            )
        if not 0 < self.share <= 1:
            raise UsageError(
                f"hot spot with {self.share:g} of the tasks; give a share above 0, at most 1, "
                "as 0.8"
            )

    def hot(self, servers: int) -> int:
        """How many of M servers are hot: the first ones."""
        return round(self.servers * servers)


@final
@dataclass(frozen=True, eq=False)
class UniformPlacement:
    """Every set of `replicas` servers is as likely as any other."""

    servers: IntArray  # (n,) the servers that may be used
    replicas: int

    def __post_init__(self) -> None:
        _require_replicas(self.replicas, self.servers.size)

    def draw(self, rng: np.random.Generator, count: int) -> IntArray:
        """(count, replicas) int32: servers of independent chunks, first replica first."""
        at = np.empty((count, 0), np.int64)
        for _ in range(self.replicas):
            at = _with_another(rng, self.servers.size, at)
        return self.servers[at].astype(np.int32, copy=False)


@final
@dataclass(frozen=True, eq=False)
class HdfsPlacement:
    """HDFS's rule: a random server, a server of another rack, another server of that second rack.

    The first is where a writer spread evenly over the servers would put its own copy. Replicas
    after the third go to any other server.
    """

    servers: IntArray  # (n,) the servers that may be used
    rack: IntArray  # (n,) the rack of each of them
    replicas: int

    def __post_init__(self) -> None:
        _require_replicas(self.replicas, self.servers.size)
        if self.replicas > 1 and self._sizes.size < 2:
            raise UsageError(
                "hdfs placement: the second replica goes to another rack, and there is only one; "
                "give the servers racks, or use the uniform placement"
            )
        if self.replicas > 2 and self._sizes.min() < 2:
            lone = self.servers[self._order[self._starts[int(np.argmin(self._sizes))]]]
            raise UsageError(
                "hdfs placement: the third replica goes to another server of the second's rack, "
                f"and server {lone} is alone in its rack; give each rack two servers or more"
            )

    @cached_property
    def _order(self) -> IndexArray:
        """Positions in `servers`, rack by rack."""
        return np.argsort(self.rack, kind="stable")

    @cached_property
    def _sizes(self) -> IndexArray:
        """Servers in each rack that has any."""
        return np.unique(self.rack, return_counts=True)[1].astype(np.int64)

    @cached_property
    def _starts(self) -> IndexArray:
        """Where each rack begins in `_order`."""
        return np.cumsum(self._sizes) - self._sizes

    @cached_property
    def _rack_at(self) -> IndexArray:
        """The rack, counted in `_sizes`, at each position of `_order`."""
        return np.repeat(np.arange(self._sizes.size), self._sizes)

    def draw(self, rng: np.random.Generator, count: int) -> IntArray:
        """(count, replicas) int32: servers of independent chunks, first replica first."""
        n = self.servers.size
        first = rng.integers(0, n, count)
        at = first[:, None]
        if self.replicas > 1:
            second = self._in_another_rack(rng, first)
            at = np.column_stack((at, second))
        if self.replicas > 2:
            at = np.column_stack((at, self._beside(rng, second)))
        for _ in range(3, self.replicas):
            at = _with_another(rng, n, at)
        return self.servers[self._order[at]].astype(np.int32, copy=False)

    def _in_another_rack(self, rng: np.random.Generator, first: IndexArray) -> IndexArray:
        rack = self._rack_at[first]
        at = rng.integers(0, self.servers.size - self._sizes[rack])
        return np.where(at < self._starts[rack], at, at + self._sizes[rack])

    def _beside(self, rng: np.random.Generator, second: IndexArray) -> IndexArray:
        rack = self._rack_at[second]
        at = self._starts[rack] + rng.integers(0, self._sizes[rack] - 1)
        return at + (at >= second)


@final
@dataclass(frozen=True, eq=False)
class HotSpotPlacement:
    """With probability `share` as `hot` places, else as `cold` does."""

    hot: "Part"
    cold: "Part | None"  # None where share is 1
    share: float

    @property
    def replicas(self) -> int:
        """How many servers hold each chunk."""
        return self.hot.replicas

    def draw(self, rng: np.random.Generator, count: int) -> IntArray:
        """(count, replicas) int32: servers of independent chunks, first replica first."""
        if self.cold is None:
            return self.hot.draw(rng, count)
        is_hot = rng.random(count) < self.share
        rows = np.empty((count, self.replicas), np.int32)
        heated = int(is_hot.sum())
        rows[is_hot] = self.hot.draw(rng, heated)
        rows[~is_hot] = self.cold.draw(rng, count - heated)
        return rows


Part = UniformPlacement | HdfsPlacement
"""A placement on one set of servers."""
Placement = Part | HotSpotPlacement
"""A distribution over sets of servers."""


def placement_on(
    rack: IntArray, replicas: int, kind: str = "uniform", hotspot: HotSpot | None = None
) -> Placement:
    """The placement of a `kind` in PLACEMENTS on servers whose racks are `rack`, (M,).

    Raises:
        UsageError: The kind is unknown, or the servers or racks are too few for the replicas.
    """
    if kind not in PLACEMENTS:
        raise UsageError(f"unknown placement {kind!r}; known: {', '.join(PLACEMENTS)}")
    everywhere = np.arange(rack.size, dtype=np.int32)
    if hotspot is None:
        return _on_part(everywhere, rack, replicas, kind)
    hot, cold = np.split(everywhere, [hotspot.hot(rack.size)])
    try:
        return HotSpotPlacement(
            _on_part(hot, rack, replicas, kind),
            _on_part(cold, rack, replicas, kind) if hotspot.share < 1 else None,
            hotspot.share,
        )
    except UsageError as error:
        parts = f"the {hot.size} hot and the {cold.size} other servers are separate"
        raise UsageError(f"{error} ({parts})") from None


def _on_part(servers: IntArray, rack: IntArray, replicas: int, kind: str) -> Part:
    if kind == "hdfs":
        return HdfsPlacement(servers, rack[servers], replicas)
    return UniformPlacement(servers, replicas)


def _with_another(rng: np.random.Generator, n: int, at: IndexArray) -> IndexArray:
    """Each row of distinct numbers below n, with one more, uniform among those it lacks."""
    count, have = at.shape
    another = rng.integers(0, n - have, count)
    for taken in np.sort(at, axis=1).T:  # in increasing order: skip those already taken
        another += another >= taken
    return np.column_stack((at, another))


def _require_replicas(replicas: int, servers: int) -> None:
    if replicas < 1:
        raise UsageError(f"replicas is {replicas}; give a whole number of at least 1")
    if replicas > servers:
        raise UsageError(
            f"{replicas} replicas need as many servers, and there are {servers}; "
            "give fewer replicas or more servers"
        )
