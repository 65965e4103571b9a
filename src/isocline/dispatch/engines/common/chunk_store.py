"""Store of a node's chunks: its own, and a cache of fetched ones, least recently used out first.

Chunks are sent and kept as bytes, so that a task which changes its chunk in place affects no other.
"""

import pickle
import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, NamedTuple, final

from isocline.dispatch.chunk_names import given_chunk

BLOCK = 1 << 20  # bytes of a chunk processed at a time

Loader = Callable[[Any], object]


class ChunkPart(NamedTuple):
    """Chunk in transfer between nodes."""

    size: int  # bytes
    blocks: Iterable[bytes]


class NotHereError(Exception):
    """The node does not hold the requested chunk."""


class Store(ABC):
    """Thread-safe chunk store; chunks are loaded only in the worker's main thread.

    Attributes:
        in_use: Chunk of the running task, which is not dropped.
    """

    def __init__(self, most: int) -> None:
        self.in_use: str | None = None
        self._most = most  # bytes kept; two chunks arriving at once may exceed this by one
        self._sizes: OrderedDict[str, int] = OrderedDict()
        self._changing = threading.Lock()  # guards sizes and the set of kept chunks

    @final
    def kept(self, chunk: str) -> bool:
        """Whether a chunk was fetched and is still kept."""
        with self._changing:
            if chunk not in self._sizes:
                return False
            self._sizes.move_to_end(chunk)
            return True

    @final
    def room(self, size: int) -> list[str]:
        """Make room for a chunk of `size` bytes; returns the dropped chunks."""
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
        """Whether a chunk of `size` bytes can be kept at all."""
        return size <= self._most

    @property
    @abstractmethod
    def fetches(self) -> bool:
        """Whether tasks get a value read from a chunk, and not just its name."""

    @abstractmethod
    def own(self, chunk: str, named: bool) -> bool:
        """Whether a chunk is the node's own; `named`: the scheduler lists the node as holder."""

    @abstractmethod
    def load(self, chunk: str) -> object:
        """Load the value of a kept chunk, or by the loader."""

    @abstractmethod
    def sent(self, chunk: str) -> AbstractContextManager[ChunkPart]:
        """Open a chunk to send to another node; raises NotHereError and the loader's exceptions."""

    @abstractmethod
    def receive(self, chunk: str, part: ChunkPart) -> Callable[[], object]:
        """Receive a chunk from another node, and keep it if it fits; returns a loader of its value.

        Raises:
            OSError: The disk is full.
        """

    @abstractmethod
    def _drop(self, chunk: str) -> None:
        """Remove the data of a dropped chunk."""


@final
class Memory(Store):
    """Store in memory: a loader reads a chunk by name; its value is pickled for other nodes.

    Own chunks are loaded for each task. Without a loader, tasks get the chunk's name.
    """

    def __init__(self, loader: Loader | None, most: int) -> None:
        super().__init__(most)
        self._loader = loader
        self._bytes: dict[str, bytes] = {}
        self._foreign: set[str] = set()  # chunks ever fetched, and so not the node's own

    @property
    def fetches(self) -> bool:
        return self._loader is not None

    def own(self, chunk: str, named: bool) -> bool:
        return named and chunk not in self._foreign

    def load(self, chunk: str) -> object:
        data = self._bytes.get(chunk)
        if data is not None:
            return pickle.loads(data)
        given = given_chunk(chunk)
        return self._loader(given) if self._loader else given

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
