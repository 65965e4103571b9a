"""Store of a node's chunks: its own, and fetched ones, least recently used out first.

What goes from node to node, and is kept, is bytes. So a task that changes its chunk in place spoils
it for nobody.
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
    """A node is asked for a chunk that it does not hold."""


class Store(ABC):
    """Any thread may use it; chunks are loaded in the worker's main thread only.

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
        """Whether it was fetched and is still here."""
        with self._changing:
            if chunk not in self._sizes:
                return False
            self._sizes.move_to_end(chunk)
            return True

    @final
    def room(self, size: int) -> list[str]:
        """Drop what must go so that a chunk of so many bytes can be kept; what was dropped."""
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
        """Whether it is the node's own; `named`: the scheduler says that the node holds it."""

    @abstractmethod
    def load(self, chunk: str) -> object:
        """The value of a chunk that is kept, or that the loader finds."""

    @abstractmethod
    def sent(self, chunk: str) -> AbstractContextManager[ChunkPart]:
        """A chunk for another node; raises NotHereError, and what the loader raises."""

    @abstractmethod
    def receive(self, chunk: str, parcel: ChunkPart) -> Callable[[], object]:
        """Take a chunk from another node, and keep it if it fits; what loads its value.

        Raises:
            OSError: There is no room for it on the disk.
        """

    @abstractmethod
    def _drop(self, chunk: str) -> None:
        """It is kept no longer."""


@final
class Memory(Store):
    """A loader is given the chunk's name; what it returns is pickled for other nodes.

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

    def receive(self, chunk: str, parcel: ChunkPart) -> Callable[[], object]:
        data = b"".join(parcel.blocks)
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
