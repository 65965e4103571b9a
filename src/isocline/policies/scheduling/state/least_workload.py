"""The server with the least workload in O(log M), in the cluster and in each rack.

A tournament on a binary tree whose leaves are the servers, rack by rack, each rack padded to a
power of two, so that one node has the winner of rack r. `memory` has the workloads of the leaves;
`winner` has the tree, then the leaf of each server, then the server of each leaf.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import int64, uint32, uint64

from isocline.compilation.compiled import inlined
from isocline.policies.scheduling.state.view import ClusterSetting, ClusterView
from isocline.randomness.draws import bits

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]


def _padded(setting: ClusterSetting) -> tuple[int, int]:
    """Return the leaves of each rack and the racks, both padded."""
    rack = setting.rack if setting.racks > 1 else np.zeros(setting.size, np.int32)
    largest = int(np.bincount(rack).max())
    return 1 << max(1, (largest - 1).bit_length()), 1 << (setting.racks - 1).bit_length()


def zero_workloads(setting: ClusterSetting) -> FloatArray:
    """Make `memory`, (L,) float64: 0 for each server, inf for leaves without one.

    L is a power of two. The unit is the policy's: that of the workloads it gives `set_workload`.
    """
    per_rack, racks = _padded(setting)
    workload = np.full(per_rack * racks, np.inf)
    workload[_leaves(setting)] = 0.0
    return workload


def initial_winners(setting: ClusterSetting) -> IntArray:
    """Make `winner`, (2 L + M,) int32, for workloads of 0.

    In [1, L) the leaf with the least workload below each node (0 is not used); in [L, L + M) the
    leaf of each server, constant; then the server of each leaf, constant, 0 where there is none.
    """
    workload = zero_workloads(setting)
    leaf = _leaves(setting)
    leaves = workload.size
    winner = np.zeros(leaves, np.int32)
    for node in range(leaves - 1, 0, -1):
        one, two = (c - leaves if c >= leaves else winner[c] for c in (2 * node, 2 * node + 1))
        winner[node] = two if workload[two] < workload[one] else one
    server = np.zeros(leaves, np.int32)
    server[leaf] = np.arange(setting.size)
    return np.concatenate((winner, leaf, server))


def _leaves(setting: ClusterSetting) -> IntArray:
    """(M,) leaf of each server, in random order within its rack, so that no tie goes by number."""
    per_rack, _ = _padded(setting)
    rack = setting.rack if setting.racks > 1 else np.zeros(setting.size, np.int32)
    order = np.random.default_rng(setting.size).permutation(setting.size)
    order = order[np.argsort(rack[order], kind="stable")]
    count = np.bincount(rack)
    leaf = np.empty(setting.size, np.int32)
    within = np.arange(setting.size) - np.repeat(np.cumsum(count) - count, count)
    leaf[order] = rack[order] * per_rack + within
    return leaf


@inlined
def set_workload(view: ClusterView, server: Any, workload: float) -> None:
    """Change one workload and replay its matches up to the root.

    Writes `view.memory` of the server's leaf and `view.winner` of the nodes above it.
    """
    leaves = view.memory.size
    leaf = view.winner[uint32(leaves + server)]
    view.memory[uint32(leaf)] = workload
    best = leaf
    other = leaf ^ 1
    node = (leaf + leaves) >> 1
    while True:
        if view.memory[uint32(other)] < view.memory[uint32(best)]:
            best = other
        view.winner[uint32(node)] = best
        if node == 1:
            return
        other = view.winner[uint32(node ^ 1)]
        node >>= 1


@inlined
def workload_of(view: ClusterView, server: Any) -> float:
    """Return the workload of a server.

    Reads `view.memory`, and the leaf of the server in `view.winner`.
    """
    return view.memory[uint32(view.winner[uint32(view.memory.size + server)])]  # type: ignore[no-any-return]


@inlined
def node_of_rack(view: ClusterView, rack: int) -> int:
    """Return the node of a rack."""
    racks = 1
    while racks < view.racks:
        racks *= 2
    return racks + rack


@inlined
def least_below(view: ClusterView, node: int) -> float:
    """Return the least workload below a node; the root is 1.

    Reads `view.memory` and `view.winner`.
    """
    return view.memory[uint32(view.winner[uint32(node)])]  # type: ignore[no-any-return]


@inlined
def random_least(view: ClusterView, node: int, rng: Any) -> int:
    """Return a server with the least workload below a node. Draws: one; a bit where branches tie.

    Reads `view.memory` and `view.winner`; `rng`, (2,) uint64, is advanced by one draw, whose bits
    decide all ties.
    """
    leaves = view.memory.size
    coins = bits(rng)
    least = least_below(view, node)
    while node < leaves:
        left, right = 2 * node, 2 * node + 1
        one, two = left - leaves, right - leaves
        if left < leaves:
            one = int64(view.winner[uint32(left)])
            two = int64(view.winner[uint32(right)])
        goes_right = view.memory[uint32(two)] == least
        if goes_right and view.memory[uint32(one)] == least:
            goes_right = coins & uint64(1) == uint64(1)
            coins >>= uint64(1)
        node = right if goes_right else left
    return int64(view.winner[uint32(leaves + view.rack.size + node - leaves)])  # type: ignore[no-any-return]
