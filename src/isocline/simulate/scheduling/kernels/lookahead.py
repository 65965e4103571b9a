"""Prefetch of the server columns that the next events will touch, all at once.

As `simulate.routing.kernels.lookahead` does for routing: the events of a uniformised chain do not
depend on its state, so a copy of the generator runs ahead, and the processor waits for many cache
misses at the same time. A third of the time of an event at a million servers.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import int64, uint32, uint64

from isocline.compilation.compiled import inlined
from isocline.policies.scheduling.state.columns import LENGTH
from isocline.randomness.draws import step
from isocline.simulate.common.kernels.alias_tables import BITS
from isocline.simulate.common.kernels.counters import REST
from isocline.simulate.scheduling.kernels.holder_sampler import UNIFORM, Sampler, draw_servers

AHEAD = 64
# Smaller clusters fit into the cache, where looking ahead would only cost.
LEAST_SERVERS = 1 << 15


def scratch(sampler: Sampler) -> npt.NDArray[np.int32]:
    """Scratch of `fetch`, (AHEAD, replicas) int32; without rows where `fetch` is of no use."""
    useful = sampler.kind == UNIFORM and sampler.servers >= LEAST_SERVERS
    return np.zeros((AHEAD if useful else 0, max(sampler.replicas, 1)), np.int32)


@inlined
def touch(columns: Any, upcoming: Any) -> int:
    """Read the columns of all servers in `upcoming`.

    `columns` is `ClusterView.columns`; `upcoming`, (AHEAD, replicas) int32, servers, is read, too.
    """
    total = int64(0)
    for i in range(AHEAD):
        for j in range(upcoming.shape[1]):
            total += columns[uint32(upcoming[i, j]), LENGTH]
    return total  # type: ignore[no-any-return]


@inlined
def fetch(columns: Any, sampler: Sampler, arriving: int, upcoming: Any, s0: Any, s1: Any) -> int:
    """Read the columns that the next AHEAD ticks touch; the sum prevents dead-code elimination.

    Args:
        columns: `ClusterView.columns`; read-only.
        sampler: Of kind UNIFORM; read-only.
        arriving: Probability that a tick is an arrival, in units of 2^-24.
        upcoming: (AHEAD, replicas) int32, servers; written.
        s0: With `s1` the state of the stream of events, uint64 each; the caller's own stays as it
            is.
        s1: See `s0`.
    """
    for i in range(AHEAD):
        s0, s1, event = step(s0, s1)
        if event >> uint64(BITS) < uint64(arriving):
            s0, s1 = draw_servers(sampler, s0, s1, upcoming[i])
        else:
            server = ((event & REST) * uint64(sampler.servers)) >> uint64(BITS)
            for j in range(upcoming.shape[1]):
                upcoming[i, j] = server
    return touch(columns, upcoming)


@inlined
def fetch_arrivals(columns: Any, sampler: Sampler, upcoming: Any, s0: Any, s1: Any) -> int:
    """`fetch` where the next AHEAD events are arrivals; the arrays are the same."""
    for i in range(AHEAD):
        s0, s1 = draw_servers(sampler, s0, s1, upcoming[i])
    return touch(columns, upcoming)
