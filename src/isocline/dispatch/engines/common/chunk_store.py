"""Store of a node's chunks: its own, and fetched ones, least recently used out first.

Chunks are sent and kept as bytes, so a task that changes its chunk in place affects no other task.
"""

import pickle
import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, NamedTuple, final

BLOCK = 1 << 20  # bytes of a chunk in hand at once

Loader = Callable[[Any], object]


class ChunkPart(NamedTuple):
    """A chunk on its way to another node."""

    size: int  # bytes
    blocks: Iterable[bytes]


class NotHereError(Exception):
    """A node does not hold the chunk that it was asked for."""


class Store(ABC):
    """Chunk store for any thread; chunks are loaded in the worker's main thread only.

    Attributes:
        in_use: The chunk of the task that runs, which is not dropped.
    """

    def __init__(self, most: int) -> None:
        self.in_use: str | None = None
        self._most = most  # bytes kept; two chunks that come at once may exceed it by one of them
        self._sizes: OrderedDict[str, int] = OrderedDict()
        self._changing = threading.Lock()  # the sizes, and what is kept

    @final
    def kept(self, chunk: str) -> bool:
        """Whether a chunk was fetched and is still here."""
        with self._changing:
            if chunk not in self._sizes:
                return False
            self._sizes.move_to_end(chunk)
            return True

    @final
    def room(self, size: int) -> list[str]:
        """Make room for a chunk of so many bytes; returns the chunks that were dropped."""
        gone: list[str] = []
        with self._changing:
            left = self._most - size - sum(self._sizes.values())
            for chunk in [chunk for chunk in self._sizes if chunk != self.in_use]:
                if left >= 0:
                    break
                left += self._sizes.pop(chunk)
                self._drop(chunk)
                gone.append(chunk)
        return gone

    @final
    def fits(self, size: int) -> bool:
        """Whether a chunk of so many bytes is kept at all."""
        return size <= self._most

    @property
    @abstractmethod
    def fetches(self) -> bool:
        """Whether chunks have to be read at all."""

    @abstractmethod
    def own(self, chunk: str, named: bool) -> bool:
        """Whether a chunk is the node's own; `named`: the scheduler names the node as holder."""

    @abstractmethod
    def load(self, chunk: str) -> object:
        """Load the value of a chunk that is kept, or that the loader finds."""

    @abstractmethod
    def sent(self, chunk: str) -> AbstractContextManager[ChunkPart]:
        """Open a chunk for another node; raises NotHereError, and the loader's exceptions."""

    @abstractmethod
    def receive(self, chunk: str, part: ChunkPart) -> Callable[[], object]:
        """Receive a chunk from another node, and keep it if it fits; returns a loader of its value.

        Raises:
            OSError: There is no room for it on the disk.
        """

    @abstractmethod
    def _drop(self, chunk: str) -> None:
        """Remove a chunk that is no longer kept."""


@final
class Memory(Store):
    """Chunks in memory: a loader gets the chunk's name; its value is pickled for other nodes.

    Own chunks come from the loader each time. Without a loader tasks get the chunk's name.
    """

    def __init__(self, loader: Loader | None, most: int) -> None:
        super().__init__(most)
        self._loader = loader
        self._bytes: dict[str, bytes] = {}
        self._foreign: set[str] = set()  # fetched at some time, and so not the node's own

    @property
    def fetches(self) -> bool:
        return self._loader is not None

    def own(self, chunk: str, named: bool) -> bool:
        return named and chunk not in self._foreign

    def load(self, chunk: str) -> object:
        data = self._bytes.get(chunk)
        if data is not None:
            return pickle.loads(data)
        return self._loader(chunk) if self._loader else chunk

    def sent(self, chunk: str) -> AbstractContextManager[ChunkPart]:
        data = self._bytes.get(chunk)
        if data is None:
            if chunk in self._foreign:
                raise NotHereError
            data = pickle.dumps(self.load(chunk), pickle.HIGHEST_PROTOCOL)
        return nullcontext(ChunkPart(len(data), _blocks(data)))

    def receive(self, chunk: str, part: ChunkPart) -> Callable[[], object]:
        data = b"".join(part.blocks)
        if self.fits(len(data)):
            with self._changing:
                self._foreign.add(chunk)
                self._bytes[chunk] = data
                self._sizes[chunk] = len(data)
        return partial(pickle.loads, data)

    def _drop(self, chunk: str) -> None:
        self._bytes.pop(chunk, None)


def _blocks(data: bytes) -> Iterator[bytes]:
    return (data[at : at + BLOCK] for at in range(0, len(data), BLOCK))
