"""Table in memory that the workers of one router share: rows of 8-byte words, with named slots.

The supervisor makes it before it starts workers, and a worker attaches to the handle that it
inherits. A store of 8 aligned bytes is seen whole or not at all. Slots belong to names, so that
workers agree on them while a reload has reached only some of them. They are assigned under a lock
of the file, which the kernel takes from a worker that dies, and are never assigned to another name.
"""

import fcntl
import hashlib
import mmap
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Self, final

from isocline.errors import UsageError

_HEAD, WORD = 2, 8  # words before the keys: rows and slots; bytes of a word


@final
class SharedTable:
    """Its size, keys of slots, then rows, all of them int64 or float64.

    Attributes:
        handle: The file's descriptor. A child process gets it by `fork`, by `pass_fds` of
            `subprocess`, or by `multiprocessing.reduction.DupFd`.
        words: All of it as int64.
        starts: Number of the first word of each row.
        slots: Number of slots of each row.
    """

    def __init__(self, handle: int) -> None:
        self.handle = handle
        self._map = mmap.mmap(handle, os.fstat(handle).st_size)
        self.words = memoryview(self._map).cast("q")
        rows, self.slots = self.words[:_HEAD]
        self._keys = self.words[_HEAD : _HEAD + self.slots]
        first = _HEAD + self.slots
        self.starts = [first + self.slots * row for row in range(rows)]
        self._views: list[memoryview] = []

    @classmethod
    def create(cls, rows: int, slots: int) -> Self:
        """Make a table of zeros, of at least one row and one slot."""
        handle = _anonymous()
        os.ftruncate(handle, WORD * (_HEAD + slots * (rows + 1)))
        with mmap.mmap(handle, 0) as table, memoryview(table) as octets, octets.cast("q") as words:
            words[0], words[1] = rows, slots
        return cls(handle)

    def row(self, row: int, kind: str = "q") -> memoryview:
        """One row, of int64 (`q`) or float64 (`d`)."""
        view = memoryview(self._map).cast(kind)[self.starts[row] : self.starts[row] + self.slots]  # type: ignore[call-overload]
        self._views.append(view)
        return view  # type: ignore[no-any-return]

    def slots_of(self, names: Sequence[str], what: str) -> list[int]:
        """Return the slot of each name; one that is given twice has two.

        Raises:
            UsageError: There have been too many names since the table was made; it calls them
                `what`.
        """
        wanted = _keys(names)
        with self._locked():
            slots: dict[int, int] = {}
            for slot, key in enumerate(self._keys):
                if not key:
                    break
                slots[key] = slot
            for key in wanted:
                if key not in slots:
                    slots[key] = self._add(key, len(slots), what)
        return [slots[key] for key in wanted]

    def lock(self, slot: int) -> None:
        """Wait until no other process has the lock of a slot, and take it."""
        fcntl.lockf(self.handle, fcntl.LOCK_EX, 1, slot)

    def unlock(self, slot: int) -> None:
        """Give the lock of a slot back."""
        fcntl.lockf(self.handle, fcntl.LOCK_UN, 1, slot)

    def close(self) -> None:
        """Let go of the memory. The handle stays open: it may be another's, too."""
        for view in (*self._views, self._keys, self.words):
            view.release()
        self._map.close()

    def _add(self, key: int, slot: int, what: str) -> int:
        if slot == self.slots:
            raise UsageError(
                f"the router has had {slot} different {what} since it was started, which is all "
                "it can tell apart between its workers; restart it"
            )
        self._keys[slot] = key
        return slot

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.lockf(self.handle, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self.handle, fcntl.LOCK_UN)


def _keys(names: Sequence[str]) -> list[int]:
    """63 bits of each name's digest, never 0: of 10^4 two are alike once in 10^11 tables."""
    seen: Counter[str] = Counter()
    keys = []
    for name in names:
        seen[name] += 1
        numbered = f"{seen[name]} {name}".encode()
        keys.append(int.from_bytes(hashlib.blake2b(numbered, digest_size=8).digest()) >> 1 or 1)
    return keys


def _anonymous() -> int:
    """Open a file without a name, in memory where the system has that."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("isocline-shared")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
