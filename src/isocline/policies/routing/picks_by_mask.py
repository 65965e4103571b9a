"""Least of up to 64 scored candidates, with the tied ones as bits of a number.

`picks.least` goes through the candidates once more to find the one that was drawn among the tied,
and branches on every comparison. Here the comparisons are arithmetic, and the tied are counted,
drawn from and found in one word: on 10 candidates each with prices of four kinds a whole event
takes two thirds of the time. It makes the same draws and takes the same candidate. No policy uses
it yet.
"""

from typing import Any

import numpy as np
from numba import int64, uint32, uint64

from isocline.compilation.compiled import inlinable, value_as
from isocline.policies.routing.contract import CHOOSE, View
from isocline.policies.routing.picks import cost, least
from isocline.randomness.draws import below

WORD = 64
_NONE, _ONE = uint64(0), uint64(1)


@inlinable
def ones(word: Any) -> int:
    """Number of bits that are set; LLVM knows this sum of halves and has an instruction for it."""
    word -= (word >> _ONE) & uint64(0x5555555555555555)
    word = (word & uint64(0x3333333333333333)) + ((word >> uint64(2)) & uint64(0x3333333333333333))
    word = (word + (word >> uint64(4))) & uint64(0x0F0F0F0F0F0F0F0F)
    return int64((word * uint64(0x0101010101010101)) >> uint64(56))  # type: ignore[no-any-return]


@value_as(CHOOSE)
def least_by_mask(candidates: Any, view: View, now: float, rng: Any) -> int:
    """As `picks.least`, which it calls if there are more than WORD candidates."""
    if candidates.size > WORD:
        return least(candidates, view, now, rng)
    lowest = np.inf
    tied = _NONE
    bit = _ONE
    for i in range(candidates.size):
        value = cost(view, candidates[i])
        less = value < lowest
        equal = value == lowest
        tied = bit if less else (tied | (bit if equal else _NONE))
        lowest = value if less else lowest
        bit <<= _ONE
    if view.option[0] != 0.0 and (tied & (tied - _ONE)) != _NONE:
        skip = below(rng, ones(tied))
        while skip > 0:
            tied &= tied - _ONE  # without its lowest bit
            skip -= 1
    elif lowest == np.inf:
        tied = _ONE  # as `least` does; where scores are not a number, it may not be tied itself
    first = ones((tied & (_NONE - tied)) - _ONE)
    return int64(candidates[uint32(first)])  # type: ignore[no-any-return]
