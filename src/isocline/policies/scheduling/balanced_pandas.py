"""Balanced-PANDAS: to the server with the least weighted workload, of all servers.

Q. Xie, A. Yekkehkhany, Y. Lu, INFOCOM 2016: three queues at each server, for tasks that are local,
in its rack and remote to it. Its workload is W_m = Q^l / alpha + Q^k / beta + Q^r / gamma, tasks in
service counted in full (they have no memory); a task goes to the least of W_m / alpha over its
local servers, W_m / beta over its racks, W_m / gamma over the others, nearer ones first in a tie.
A server runs its local tasks first, then its rack's, then remote ones; it never helps another.
Draws: up to one per level.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
import numpy.typing as npt
from numba import int64, uint32

from isocline.compilation.compiled import inlined, inlined_as
from isocline.policies.scheduling.contract import (
    CALL,
    CHANGED,
    LOCAL,
    NOBODY,
    NOTHING,
    PICK,
    RACK,
    REMOTE,
    ROUTE,
    ClusterSetting,
    ClusterView,
    FloatArray,
    IntArray,
    Rules,
    SchedulingPolicy,
    never,
)
from isocline.policies.scheduling.state.columns import IDLE, LENGTH, SERVING, WAITING
from isocline.policies.scheduling.state.least_workload import (
    initial_winners,
    least_below,
    node_of_rack,
    random_least,
    set_workload,
    workload_of,
    zero_workloads,
)
from isocline.randomness.draws import below

# Queue b M + m is server m's of block b: local, then the rack's if there are racks, then remote.


@inlined
def remote_block(view: ClusterView) -> int:
    """The number of the last block."""
    return 2 if view.racks > 1 else 1


@inlined
def least_local(local: Any, view: ClusterView, rng: Any) -> tuple[int, float]:
    """A random one of the local servers with the least workload, and that."""
    best = int64(local[0])
    lowest = np.inf
    tied = 0
    for i in range(local.size):
        workload = workload_of(view, local[i])
        tied = 1 if workload < lowest else tied + int(workload == lowest)
        if workload < lowest:
            lowest = workload
            best = int64(local[i])
    if tied < 2:
        return best, lowest
    skip = below(rng, tied)
    for i in range(local.size):
        if workload_of(view, local[i]) == lowest:
            if skip == 0:
                return int64(local[i]), lowest
            skip -= 1
    return best, lowest  # never: one of the tied was found above


@inlined_as(ROUTE)
def least_weighted(local: Any, view: ClusterView, now: float, rng: Any) -> int:  # noqa: ARG001
    """The queue of the least weighted workload."""
    best, lowest = least_local(local, view, rng)
    weight = lowest / view.rate[LOCAL]
    # A rack's or the cluster's least may be a local server: then that is better as local.
    block, node = 0, 0
    if view.racks > 1:
        for i in range(local.size):
            top = node_of_rack(view, int64(view.rack[uint32(local[i])]))
            of_rack = least_below(view, top) / view.rate[RACK]
            if of_rack < weight:
                weight, block, node = of_rack, 1, top
    if least_below(view, 1) / view.rate[REMOTE] < weight:
        block, node = remote_block(view), 1
    if block > 0:
        best = random_least(view, node, rng)
    return block * view.rack.size + best


@inlined_as(CALL)
def server_of_queue(local: Any, queue: int, view: ClusterView, now: float, rng: Any) -> int:  # noqa: ARG001
    """The queue's server, if it is idle."""
    server = queue % view.rack.size
    return server if view.columns[uint32(server), SERVING] == IDLE else NOBODY


@inlined_as(PICK)
def nearest_block(server: int, view: ClusterView, now: float, rng: Any) -> int:  # noqa: ARG001
    """Its first queue in which a task waits."""
    for block in range(remote_block(view) + 1):
        queue = block * view.rack.size + server
        if view.columns[uint32(queue), WAITING] > 0:
            return queue
    return NOTHING


@inlined_as(CHANGED)
def keep_workload(queue: int, view: ClusterView) -> None:
    """W_m anew from its parts, so that no rounding piles up."""
    servers = view.rack.size
    server = queue % servers
    last = remote_block(view)
    workload = view.columns[uint32(server), LENGTH] / view.rate[LOCAL]
    workload += view.columns[uint32(last * servers + server), LENGTH] / view.rate[REMOTE]
    if last > 1:
        workload += view.columns[uint32(servers + server), LENGTH] / view.rate[RACK]
    set_workload(view, server, workload)


@final
@dataclass(frozen=True)
class BalancedPandas(SchedulingPolicy):
    """No options."""

    name: ClassVar[str] = "balanced_pandas"
    relieves: ClassVar[bool] = True

    def rules(self, setting: ClusterSetting) -> Rules:  # noqa: ARG002
        return Rules(least_weighted, server_of_queue, nearest_block, never, keep_workload)

    def queues(self, setting: ClusterSetting) -> int:
        return self._levels(setting).size * setting.size

    def queue_levels(self, setting: ClusterSetting) -> npt.NDArray[np.int8]:
        return np.repeat(self._levels(setting), setting.size)

    @staticmethod
    def _levels(setting: ClusterSetting) -> npt.NDArray[np.int8]:
        levels = (LOCAL, RACK, REMOTE) if setting.racks > 1 else (LOCAL, REMOTE)
        return np.array(levels, np.int8)

    def memory(self, setting: ClusterSetting) -> FloatArray:
        return zero_workloads(setting)

    def winner(self, setting: ClusterSetting) -> IntArray:
        return initial_winners(setting)

    @property
    def reading(self) -> str:
        return "workloads: tasks in service counted in full"
