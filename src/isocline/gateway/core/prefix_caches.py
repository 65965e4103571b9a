"""Prefix caches of backends, as a router predicts them from what it sends.

A prompt is a sequence of blocks. The number of a block stands for the whole prompt up to its end,
so that prompts which begin alike have their first numbers in common, and a block is of use only
where all before it are cached, too. A backend keeps the blocks that it was sent last; of one
prompt, it drops the end first, as vLLM does, since other prompts may still begin alike.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import final


@final
class PrefixCaches:
    """Blocks that each of B backends is likely to have, the least recently used dropped first.

    Attributes:
        uses: Number of uses so far, of any backend. Each has the number that it then is.
    """

    def __init__(self, capacities: Sequence[int]) -> None:
        """Initialise, all empty; `capacities` are numbers of blocks."""
        self._capacities = list(capacities)
        self.uses = 0
        # By block, the number of its last use.
        self._held: list[OrderedDict[int, int]] = [OrderedDict() for _ in capacities]
        self._holders: dict[int, int] = {}  # by block, a bit for each backend that holds it

    def hits(self, blocks: Sequence[int], backends: Sequence[int]) -> list[int]:
        """Return the number of leading blocks that are cached at each of `backends`, distinct."""
        left = 0
        for backend in backends:
            left |= 1 << backend
        found: dict[int, int] = {}
        for count, block in enumerate(blocks):
            still = self._holders.get(block, 0) & left
            gone = left ^ still
            while gone:
                lowest = gone & -gone
                found[lowest.bit_length() - 1] = count
                gone ^= lowest
            left = still
            if not left:
                break
        return [found.get(backend, len(blocks)) for backend in backends]

    def hold(self, backend: int, blocks: Sequence[int]) -> None:
        """A backend has read a prompt, and keeps its blocks."""
        self.hold_all(backend, reversed(blocks[: self._capacities[backend]]))

    def held(self, backend: int) -> Iterable[int]:
        """Blocks at a backend, the one that was used last at the end."""
        return self._held[backend]

    def hold_all(self, backend: int, blocks: Iterable[int]) -> None:
        """A backend uses these blocks, one after the other."""
        held, bit, most = self._held[backend], 1 << backend, self._capacities[backend]
        self.uses += 1
        use = self.uses
        for block in blocks:
            if block in held:
                held.move_to_end(block)
            else:
                self._holders[block] = self._holders.get(block, 0) | bit
            held[block] = use
        while len(held) > most:
            self._release(held.popitem(last=False)[0], bit)

    def drop(self, backend: int) -> None:
        """A backend has lost all that it had, as by a restart."""
        for block in self._held[backend]:
            self._release(block, 1 << backend)
        self._held[backend].clear()

    def drop_unused(self, backend: int, since: int) -> None:
        """A backend has lost all that was used last before the use of this number."""
        held = self._held[backend]
        while held:
            block = next(iter(held))
            if held[block] >= since:
                break
            self.release(backend, block)

    def release(self, backend: int, block: int) -> None:
        """A backend has lost a block, if it had it."""
        if self._held[backend].pop(block, None) is not None:
            self._release(block, 1 << backend)

    def size(self, backend: int) -> int:
        """Number of blocks at a backend."""
        return len(self._held[backend])

    def _release(self, block: int, bit: int) -> None:
        left = self._holders[block] & ~bit
        if left:
            self._holders[block] = left
        else:
            del self._holders[block]
