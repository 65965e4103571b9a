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
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
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
    """What is known of one backend.

    Attributes:
        blocks: By hash: number of a block, None if its tokens are not known, and the first use
            that may not have ended when it was stored.
        under_way: Uses that have not ended, the oldest first.
        last: Number of the last message; None before the first.
        complete: Whether all blocks that it has are in `blocks`.
    """

    blocks: dict[Hash, tuple[int | None, int]] = field(default_factory=dict)
    under_way: dict[int, None] = field(default_factory=dict)
    last: int | None = None
    complete: bool = False


@final
class CacheIndex:
    """Blocks at B backends, by their events."""

    def __init__(self, predicted: PrefixCaches, size: int, backends: int) -> None:
        """Initialise, nothing known.

        Args:
            predicted: Blocks by what the router sends, from which those are dropped that are gone.
            size: Tokens in a block; of servers with others, events say only what is gone.
            backends: Number of backends.
        """
        self.size = size
        self._predicted = predicted
        self._there = PrefixCaches([maxsize] * backends)
        self._servers = [_Server() for _ in range(backends)]

    # Events of a server

    def received(self, backend: int, number: int, events: Iterable[CacheEvent]) -> None:
        """Take in a message of a backend; `number` counts its messages from 0 on."""
        server = self._servers[backend]
        if number == 0 or (server.last is not None and number <= server.last):
            self._begun(backend, complete=number == 0)  # the server has started again
        elif server.last is None or number > server.last + 1:
            self._forget(backend)  # messages are missing: some of the blocks may have been removed
        server.last = number
        for event in events:
            if isinstance(event, Stored):
                self._stored(backend, event)
            elif isinstance(event, Removed):
                self._removed(backend, event)
            else:
                self._begun(backend, complete=True)

    def lost(self, backend: int) -> None:
        """A backend has lost all that it had."""
        self._forget(backend)
        self._predicted.drop(backend)

    def is_complete(self, backend: int) -> bool:
        """Whether it is known of each block of tokens that a backend does, or does not have it."""
        return self._servers[backend].complete

    def _forget(self, backend: int) -> None:
        """Whatever was known to be there may be there or not."""
        self._servers[backend].blocks.clear()
        self._servers[backend].complete = False
        self._there.drop(backend)

    def _begun(self, backend: int, *, complete: bool) -> None:
        """All is gone but the blocks of requests that are under way, whose events are to come."""
        self._forget(backend)
        self._servers[backend].complete = complete
        self._predicted.drop_unused(backend, self._oldest(backend))

    def _oldest(self, backend: int) -> int:
        """First use that may not have ended."""
        return next(iter(self._servers[backend].under_way), self._predicted.uses + 1)

    def _stored(self, backend: int, event: Stored) -> None:
        server, since = self._servers[backend], self._oldest(backend)
        number: int | None = 0
        if event.parent is not None:
            number = server.blocks.get(event.parent, (None, 0))[0]
        numbers: Sequence[int | None] = [None] * len(event.blocks)
        if number is not None and event.size == self.size:
            known = token_blocks(event.tokens, self.size, number)
            if len(known) == len(numbers):
                self._there.hold_all(backend, known)
                numbers = known
        for block, one in zip(event.blocks, numbers, strict=True):
            server.blocks[block] = (one, since)

    def _removed(self, backend: int, event: Removed) -> None:
        server, since = self._servers[backend], 0
        for block in event.blocks:
            number, first = server.blocks.pop(block, (None, 0))
            since = max(since, first)
            if number is not None:
                self._there.release(backend, number)
        self._predicted.drop_unused(backend, since)

    # Requests

    def sent(self, backend: int) -> int:
        """Note that the last use of `PrefixCaches` is under way; returns its number."""
        use = self._predicted.uses
        self._servers[backend].under_way[use] = None
        return use

    def left(self, backend: int, use: int) -> None:
        """Note that a use has ended."""
        self._servers[backend].under_way.pop(use, None)

    def hits(self, blocks: Sequence[int], backends: Sequence[int]) -> list[int]:
        """Return the number of leading blocks, by `token_blocks`, that each of `backends` has."""
        return self._there.hits(blocks, backends)

    # A reload

    def take_over(self, before: "CacheIndex", backends: Mapping[int, int]) -> None:
        """Take over what is known of backends: number here to number there."""
        if before.size != self.size:
            return
        for backend, number in backends.items():
            server, known = self._servers[backend], before._servers[number]
            # Uses are counted anew, so that the removal of these says nothing of others.
            server.blocks = {block: (one, 0) for block, (one, _) in known.blocks.items()}
            server.last, server.complete = known.last, known.complete
            self._there.hold_all(backend, before._there.held(number))
