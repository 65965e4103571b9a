"""Prefix caches of backends, by the events that their servers publish.

A server that publishes its KV cache events (vLLM, SGLang, TensorRT-LLM and others, in one format)
says of each block of tokens that it stores or removes it, by a hash of the server's own making of
the tokens in the block and all before. The router cannot compute that hash: it sees text, and has
neither the tokenizer nor the chat template that make tokens of it. (Routers that match prompts to
events run both, for each request.) Two things are known without them.

*What is gone.* A server drops the blocks that have been unused for longest. So a block that it
drops tells of all others: whatever no request has used since that one was stored is gone, too. The
uses of a router are those of `PrefixCaches`, which are numbered; a stored block is noted with the
number of the first use that may not have ended by then. Blocks of other routers tell as much. A
prompt that other routers have used since is taken to be gone until it is sent there again.

*What is there*, if the prompt comes as tokens: an event has the tokens of its blocks, and both are
cut and numbered alike. From a server's start on, or after it has dropped everything, that is exact.

A backend of several data-parallel ranks has as many caches, and chooses the rank of a request
itself. So a prompt of tokens has as many blocks there as in the mean of its ranks; and of text
their events say nothing, as what one rank has dropped another may have used since.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, islice, pairwise
from sys import maxsize
from typing import final

from isocline.gateway.core.prefix_caches import PrefixCaches

Hash = int | bytes
"""Hash of a block, as its server has it."""


@final
@dataclass(frozen=True, slots=True)
class Stored:
    """Event: consecutive blocks of one prompt are cached."""

    blocks: tuple[Hash, ...]
    parent: Hash | None = None  # the block before them
    tokens: tuple[int, ...] = ()  # all of theirs; empty if they alone do not tell them apart
    size: int = 0  # tokens in a block


@final
@dataclass(frozen=True, slots=True)
class Removed:
    """Event: blocks are dropped."""

    blocks: tuple[Hash, ...]


@final
@dataclass(frozen=True, slots=True)
class Cleared:
    """Event: all blocks are dropped."""


CacheEvent = Stored | Removed | Cleared


def token_blocks(tokens: Sequence[int], size: int, number: int = 0) -> list[int]:
    """Numbers of the whole blocks of a prompt, each of all tokens up to its end.

    Args:
        tokens: The prompt, or its part after a block.
        size: Tokens in a block.
        number: Number of that block; 0: they are the beginning.
    """
    found: list[int] = []
    for at in range(0, len(tokens) - size + 1, size):
        number = hash((number, *tokens[at : at + size]))
        found.append(number)
    return found


@final
@dataclass(slots=True)
class _Server:
    """What is known of one rank of a backend.

    Attributes:
        blocks: By hash: number of a block, None if its tokens are not known, and the first use
            that may not have ended when it was stored.
        last: Number of the last message; None before the first.
        complete: Whether all blocks that it has are in `blocks`.
    """

    blocks: dict[Hash, tuple[int | None, int]] = field(default_factory=dict)
    last: int | None = None
    complete: bool = False


@final
class CacheIndex:
    """Blocks at B backends of one or more ranks, by their events."""

    def __init__(self, predicted: PrefixCaches, size: int, ranks: Sequence[int]) -> None:
        """Initialise, nothing known.

        Args:
            predicted: Blocks by what the router sends, from which those are dropped that are gone.
            size: Tokens in a block; of servers with others, events say only what is gone.
            ranks: (B,) number of ranks of each backend.
        """
        self.size = size
        self._predicted = predicted
        ends = list(accumulate(ranks, initial=0))
        self._ranks = [range(first, end) for first, end in pairwise(ends)]
        self._there = PrefixCaches([maxsize] * ends[-1])
        self._servers = [_Server() for _ in range(ends[-1])]
        # By backend, uses that have not ended, the oldest first.
        self._under_way: list[dict[int, None]] = [{} for _ in ranks]

    # Events of a server

    def received(self, backend: int, rank: int, number: int, events: Iterable[CacheEvent]) -> None:
        """Take in a message of a rank of a backend; `number` counts its messages from 0 on."""
        at = self._ranks[backend][rank]
        server = self._servers[at]
        if number == 0 or (server.last is not None and number <= server.last):
            self._begun(backend, at, complete=number == 0)  # the server has started again
        elif server.last is None or number > server.last + 1:
            self._forget(at)  # messages are missing: some of the blocks may have been removed
        server.last = number
        for event in events:
            if isinstance(event, Stored):
                self._stored(backend, at, event)
            elif isinstance(event, Removed):
                self._removed(backend, at, event)
            else:
                self._begun(backend, at, complete=True)

    def message_expected(self, backend: int, rank: int) -> int:
        """Number of the next message of a rank, if its server goes on."""
        last = self._servers[self._ranks[backend][rank]].last
        return 0 if last is None else last + 1

    def lost(self, backend: int) -> None:
        """A backend has lost all that it had."""
        for at in self._ranks[backend]:
            self._forget(at)
        self._predicted.drop(backend)

    def is_complete(self, backend: int) -> bool:
        """Whether it is known of each block of tokens that a backend does, or does not have it."""
        return all(self._servers[at].complete for at in self._ranks[backend])

    def _forget(self, at: int) -> None:
        """Whatever was known to be at a rank may be there or not."""
        self._servers[at].blocks.clear()
        self._servers[at].complete = False
        self._there.drop(at)

    def _begun(self, backend: int, at: int, *, complete: bool) -> None:
        """All is gone but the blocks of requests that are under way, whose events are to come."""
        self._forget(at)
        self._servers[at].complete = complete
        self._drop_unused(backend, self._oldest(backend))

    def _drop_unused(self, backend: int, since: int) -> None:
        """Drop what the only rank of a backend has not used since."""
        if len(self._ranks[backend]) == 1:
            self._predicted.drop_unused(backend, since)

    def _oldest(self, backend: int) -> int:
        """First use that may not have ended."""
        return next(iter(self._under_way[backend]), self._predicted.uses + 1)

    def _stored(self, backend: int, at: int, event: Stored) -> None:
        server, since = self._servers[at], self._oldest(backend)
        number: int | None = 0
        if event.parent is not None:
            number = server.blocks.get(event.parent, (None, 0))[0]
        numbers: Sequence[int | None] = [None] * len(event.blocks)
        if number is not None and event.size == self.size:
            known = token_blocks(event.tokens, self.size, number)
            if len(known) == len(numbers):
                self._there.hold_all(at, known)
                numbers = known
        for block, one in zip(event.blocks, numbers, strict=True):
            server.blocks[block] = (one, since)

    def _removed(self, backend: int, at: int, event: Removed) -> None:
        server, since = self._servers[at], 0
        for block in event.blocks:
            number, first = server.blocks.pop(block, (None, 0))
            since = max(since, first)
            if number is not None:
                self._there.release(at, number)
        self._drop_unused(backend, since)

    # Requests

    def sent(self, backend: int) -> int:
        """Note that the last use of `PrefixCaches` is under way; returns its number."""
        use = self._predicted.uses
        self._under_way[backend][use] = None
        return use

    def left(self, backend: int, use: int) -> None:
        """Note that a use has ended."""
        self._under_way[backend].pop(use, None)

    def hits(self, blocks: Sequence[int], backends: Sequence[int]) -> list[float]:
        """Return how many of the leading blocks, by `token_blocks`, each of `backends` has.

        Of a backend of several ranks it is their mean.
        """
        found = iter(self._there.hits(blocks, [at for b in backends for at in self._ranks[b]]))
        counts = [len(self._ranks[b]) for b in backends]
        return [sum(islice(found, count)) / count for count in counts]

    # A reload

    def take_over(self, before: "CacheIndex", backends: Mapping[int, int]) -> None:
        """Take over what is known of backends: number here to number there."""
        if before.size != self.size:
            return
        for backend, number in backends.items():
            if len(self._ranks[backend]) != len(before._ranks[number]):
                continue
            for at, old in zip(self._ranks[backend], before._ranks[number], strict=True):
                server, known = self._servers[at], before._servers[old]
                # Uses are counted anew, so that the removal of these says nothing of others.
                server.blocks = {block: (one, 0) for block, (one, _) in known.blocks.items()}
                server.last, server.complete = known.last, known.complete
                self._there.hold_all(at, before._there.held(old))
