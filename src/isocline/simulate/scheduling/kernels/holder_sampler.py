"""Sampler of the next task's type, inside the kernels.

Three ways: a type from a list, by the alias method; `replicas` different servers of all, or of the
hot or the other ones, uniformly (near-data paper, Section 6); or the next row of a buffer that was
filled outside, by any placement. The first and the last draw the same from the stream of events
whatever the policy does, and so do the middle ones.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import int64, uint32, uint64

from isocline.compilation.compiled import inlined
from isocline.randomness.draws import step
from isocline.simulate.common.kernels.alias_tables import BITS, Alias, column_of

IntArray = npt.NDArray[np.int32]
IndexArray = npt.NDArray[np.int64]

LISTED, UNIFORM, BUFFERED = 0, 1, 2
MOST_DRAWN = 16  # replicas; each costs a pass over those before it


class Sampler(NamedTuple):
    """Where tasks find their local servers; one for each run.

    Constants, but for `rows`, which the engine fills anew when all are used, and `next_row`.
    """

    # LISTED, UNIFORM or BUFFERED.
    kind: int
    # LISTED: over the L types, in proportion to their rates.
    types: Alias
    # (L + 1,) int64. LISTED: type l is local to holders[first[l] : first[l + 1]], the holders being
    # `Tasks.holders`.
    first: IndexArray
    # Local servers of each task; 0 if types are listed.
    replicas: int
    # UNIFORM: servers 0 .. hot - 1 are the hot ones.
    hot: int
    # M.
    servers: int
    # UNIFORM: probability of the hot ones in units of 2^-63, a uint64; all are hot if it is 2^63.
    share: int
    # (n, replicas) int32. BUFFERED: local servers of the next tasks, in random order.
    rows: IntArray
    # (1,) int64. BUFFERED: the first row that is not used; n if all are. Written by the kernel, and
    # set back by the engine.
    next_row: IndexArray


_LOW = uint64((1 << 32) - 1)


@inlined
def scaled(thirty_two_bits: Any, n: Any) -> Any:
    """32 random bits as a number below n < 2^32."""
    return (thirty_two_bits * uint64(n)) >> uint64(32)


@inlined
def draw_servers(sampler: Sampler, s0: Any, s1: Any, out: Any) -> tuple[Any, Any]:
    """Fill `out` with different servers in random order, uniformly; the stream's next state.

    Args:
        sampler: Read-only.
        s0: With `s1` the state of the stream, uint64 each.
        s1: See `s0`.
        out: (replicas,) int32, written: numbers of servers.
    """
    base, n = uint64(0), uint64(sampler.hot)
    if sampler.hot < sampler.servers:
        s0, s1, coin = step(s0, s1)
        if coin >> uint64(1) >= uint64(sampler.share):
            base, n = uint64(sampler.hot), uint64(sampler.servers - sampler.hot)
    if out.size == 3:
        s0, s1, two = step(s0, s1)
        s0, s1, one = step(s0, s1)
        a = scaled(two >> uint64(32), n)
        b = scaled(two & _LOW, n - uint64(1))
        c = scaled(one >> uint64(32), n - uint64(2))
        b += uint64(b >= a)  # step over those already taken, the lower first
        c += uint64(c >= min(a, b))
        c += uint64(c >= max(a, b))
        out[0], out[1], out[2] = base + a, base + b, base + c
        return s0, s1
    for i in range(out.size):
        s0, s1, bits = step(s0, s1)
        out[i] = int64(base + _next(bits, n, out, i, base))
    return s0, s1


@inlined
def _next(bits: Any, n: Any, out: Any, taken: int, base: Any) -> Any:
    """A number below n that, with `base`, is not among the first `taken` of `out`.

    `out`, (replicas,) int32, is read only.
    """
    rank = int64(scaled(bits >> uint64(32), n - uint64(taken)))
    found = rank
    while True:  # `found` grows until it has stepped over all the taken ones up to it
        below = 0
        for j in range(taken):
            below += out[j] - int64(base) <= found
        if rank + below == found:
            return uint64(found)
        found = rank + below


@inlined
def type_of(sampler: Sampler, s0: Any, s1: Any) -> tuple[Any, Any, Any]:
    """The stream's next state and the type of the next task of a list.

    `s0` and `s1` are the state of the stream, uint64 each.
    """
    s0, s1, bits = step(s0, s1)
    return s0, s1, uint32(column_of(sampler.types, bits >> uint64(64 - BITS)))
