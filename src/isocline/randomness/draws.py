"""Random draws inside compiled code: xoroshiro128++, one small array of state per stream.

Blackman and Vigna, ACM TOMS 47(4), 2021. numba's own generator costs about five times as much per
draw. A stream is `uint64[2]`; streams are keyed by numbers, so any one can be made again alone.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import int64, uint64

from isocline.compilation.compiled import inlinable

Stream = npt.NDArray[np.uint64]

_TO_UNIT = 2.0**-53  # a double has 53 bits of mantissa


def stream(*key: int) -> Stream:
    """The stream of a key such as (seed, replication, purpose); different keys are independent.

    numpy's SeedSequence hashes the key; the chance that two streams of 2^40 draws overlap in a
    period of 2^128 is below 2^-80.
    """
    state = np.random.SeedSequence(key).generate_state(2, np.uint64)
    if not state.any():  # the one state that xoroshiro never leaves
        state[0] = 1
    return state.astype(np.uint64)


@inlinable
def step(s0: Any, s1: Any) -> tuple[Any, Any, Any]:
    """The next state and its 64 bits; for loops that keep the state in registers."""
    total = s0 + s1
    result = ((total << uint64(17)) | (total >> uint64(47))) + s0
    s1 ^= s0
    return (
        ((s0 << uint64(49)) | (s0 >> uint64(15))) ^ s1 ^ (s1 << uint64(21)),
        (s1 << uint64(28)) | (s1 >> uint64(36)),
        result,
    )


@inlinable
def bits(rng: Any) -> Any:
    """64 uniform bits."""
    rng[0], rng[1], result = step(rng[0], rng[1])
    return result


@inlinable
def unit(random_bits: Any) -> float:
    """64 bits as a number uniform on [0, 1)."""
    return float(random_bits >> uint64(11)) * _TO_UNIT


@inlinable
def uniform(rng: Any) -> float:
    """Uniform on [0, 1)."""
    return unit(bits(rng))


@inlinable
def below(rng: Any, n: int) -> int:
    """Uniform on 0 .. n - 1, for n < 2^32; biased by less than n / 2^32, as no modulo is taken."""
    # int64, not int: numba's int() keeps uint64, and uint64 + int64 is a float
    return int64(((bits(rng) >> uint64(32)) * uint64(n)) >> uint64(32))  # type: ignore[no-any-return]
