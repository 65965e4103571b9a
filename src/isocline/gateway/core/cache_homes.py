"""Homes of prompts: where routers that do not see each other's requests agree to have them cached.

A router, or a worker, knows the prompts that it sent itself. If a conversation comes by several, it
is cached where none of the others knows. So all agree: prompts that begin alike have one home, by
weighted rendezvous hashing (Thaler and Ravishankar, 1998, with the weights of Schindelhauer and
Schomaker, 2005) over the backends that are open. What begins alike is told by the first block that
few prompts have, behind the instructions that an application puts before all of its prompts.

Each router knows the share s that was cached of a prompt in the mean of those that it sent home. A
prompt that goes home saves s of itself, and, as the next one like it finds it there, s of what that
saves, and so on: s / (1 - s) in all. So much counts as cached at home, and price decides as ever.
Where responses do not say how much was cached, half counts.
"""

import math
from collections.abc import Sequence
from typing import final

from isocline.gateway.core.running_ratio import RunningRatio

NO_HOME = -1

# A block is common if more than this share of the last prompts have it. Fewer conversations than
# that at a time are hardly worth a home, and an application with less has one home for all.
_COMMON = 0.05
_FEW = 8.0  # prompts, from which a share can be told
# Until responses tell: half of a prompt counts as cached at home then.
_FIRST_SHARE = 1.0 / 3.0
_REMEMBERED = 4096.0  # prompts; then all counts are halved
_MASK = (1 << 64) - 1


@final
class CacheHomes:
    """Homes among B backends, as seen by one router."""

    def __init__(self, weights: Sequence[float]) -> None:
        """Initialise; `weights` are (B,) shares of the prompts at home at each, relative."""
        self._weights = list(weights)
        self._counts: dict[int, float] = {}  # by key, prompts that have it
        self._prompts = 0.0
        self._at_home = RunningRatio(_FIRST_SHARE, 1.0)

    def home(self, keys: Sequence[int], backends: Sequence[int]) -> int:
        """Return the home of a prompt among `backends`; NO_HOME if it has none.

        Args:
            keys: Numbers of the beginnings of the prompt, the shortest first; the same for all
                routers.
            backends: Those that are open.
        """
        found, soonest = NO_HOME, math.inf
        if not keys:
            return found
        key = self._telling(keys)
        for backend in backends:
            weight = self._weights[backend]
            if weight > 0.0:
                # The least of exponential times: each wins in proportion to its rate.
                when = -math.log(uniform(key, backend)) / weight
                if when < soonest:
                    found, soonest = backend, when
        return found

    @property
    def share(self) -> float:
        """Share of a prompt that counts as cached at home, with what its successors save."""
        share = self._at_home.value
        return share / max(1.0 - share, share)

    def sent(self, keys: Sequence[int]) -> None:
        """Count a prompt."""
        self._prompts += 1.0
        counts = self._counts
        for key in keys:
            counts[key] = counts.get(key, 0.0) + 1.0
        if self._prompts >= _REMEMBERED:
            self._prompts /= 2.0
            self._counts = {key: count / 2.0 for key, count in counts.items() if count >= 2.0}

    def answered(self, share: float) -> None:
        """Learn how much of a prompt that was sent home was cached there."""
        self._at_home.add(share, 1.0)

    def take_over(self, before: "CacheHomes") -> None:
        """Take over what another one has learned, whose backends may be others."""
        self._counts, self._prompts = before._counts, before._prompts
        self._at_home = before._at_home

    def _telling(self, keys: Sequence[int]) -> int:
        """The first key that few prompts have, or the last one."""
        most = max(_COMMON * self._prompts, _FEW)
        return next((key for key in keys if self._counts.get(key, 0.0) <= most), keys[-1])


def uniform(key: int, backend: int) -> float:
    """A number between 0 and 1 that looks random, the same in every process.

    The finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), twice.
    """
    return (_mixed(key ^ _mixed(backend)) + 0.5) / (_MASK + 1.0)


def _mixed(number: int) -> int:
    number = (number + 0x9E3779B97F4A7C15) & _MASK
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & _MASK
    return number ^ (number >> 31)
