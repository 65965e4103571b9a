"""Counts of each worker's requests in flight, in memory that all workers share.

    counts = SharedCounts.create(workers=3)                 # the supervisor, before it starts them
    counts = SharedCounts.attach(handle, worker=0)          # a worker; `handle` is inherited
    counts.join(core, urls)                                 # at the start, and at each reload
    actions = counts.step(core, now)                        # every few ms

The kernel gives each connection to one of the workers, so that each sees a share of the requests;
alone it would know little of its backends' workloads. Each worker has a row of its own, with one
slot for each backend, and no other process writes it while the worker lives: no locks. A store of 8
aligned bytes is seen whole or not at all. A worker's row always has its present jobs in flight; a
step reads the others' rows.

Slots belong to URLs, so that workers agree on them while a reload has reached only some of them.
They are assigned under a lock of the file, which the kernel takes from a worker that dies, and are
never assigned to another URL.
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

import numpy as np

from isocline.errors import UsageError
from isocline.gateway.core.actions import Action
from isocline.gateway.core.core import Core

# 128 kB for each worker, of which only what is used is ever there: with 64 backends, as many as
# 250 complete changes of the fleet.
SLOTS = 16_384
_HEAD, _WORD = 2, 8  # words before the keys: workers and slots; bytes of a word


@final
class SharedCounts:
    """Table in shared memory, of int64: its size, keys of slots, then rows of workers.

    Attributes:
        handle: The file's descriptor. A child process gets it by `fork`, by `pass_fds` of
            `subprocess`, or by `multiprocessing.reduction.DupFd`.
        worker: The number of the process whose row it writes; None: of none.
    """

    def __init__(self, handle: int, worker: int | None) -> None:
        self.handle = handle
        self._map = mmap.mmap(handle, os.fstat(handle).st_size)
        self._words = memoryview(self._map).cast("q")
        self.workers, slots = self._words[:_HEAD]
        self._keys = self._words[_HEAD : _HEAD + slots]
        first = _HEAD + slots
        self._starts = [first + slots * one for one in range(self.workers)]
        self._rows = [self._words[start : start + slots] for start in self._starts]
        self.worker = worker
        self._joined: Core | None = None
        self._peers = np.zeros((0, 0), np.int64)

    @classmethod
    def create(cls, workers: int, slots: int = SLOTS) -> Self:
        """Make a table for so many workers and URLs; raises UsageError for fewer than one."""
        if workers < 1 or slots < 1:
            raise UsageError(f"shared counts: {workers} workers, {slots} slots; give 1 or more")
        handle = _anonymous()
        os.ftruncate(handle, _WORD * (_HEAD + slots * (workers + 1)))
        with mmap.mmap(handle, 0) as table, memoryview(table) as octets, octets.cast("q") as words:
            words[0], words[1] = workers, slots
        return cls(handle, None)

    @classmethod
    def attach(cls, handle: int, worker: int) -> Self:
        """Attach to the table as a worker whose number is free; it has nothing in flight."""
        counts = cls(handle, worker)
        if not 0 <= worker < counts.workers:
            counts.close()
            raise UsageError(f"shared counts: worker {worker}; give 0 to {counts.workers - 1}")
        counts.clear(worker)
        return counts

    def clear(self, worker: int) -> None:
        """Clear the row of a dead worker, whose connections are gone."""
        row = self._rows[worker]
        row[:] = memoryview(bytes(row.nbytes)).cast("q")

    def join(self, core: Core, urls: Sequence[str]) -> None:
        """Publish this core's jobs in flight from now on; `urls` of its backends, in order.

        An earlier core stops publishing; its jobs still in flight are counted by its successor
        (`Core.carried`).

        Raises:
            UsageError: There have been too many URLs since the table was made.
        """
        assert self.worker is not None
        places = self._places(urls)
        if self._joined is not None:
            self._leave(self._joined)
        self.clear(self.worker)
        core.workloads.share(self._rows[self.worker], places)
        starts = [start for one, start in enumerate(self._starts) if one != self.worker]
        self._peers = np.add.outer(np.array(starts, np.int64), np.array(places, np.int64))
        self._joined = core

    def step(self, core: Core, now: float) -> list[Action]:
        """Pass the other workers' jobs in flight to the core.

        It takes 3 us, and 0.6 us for each count that has changed (`benchmarks.gateway_workers`). A
        step every 5 ms leaves three workers 1 % above one, every 150 ms 7 %, which is as if
        requests came 30 times as fast.

        A core that has not joined, as in the midst of a reload, gets nothing.
        """
        if core is not self._joined:
            return []
        there = np.frombuffer(self._words, np.int64).take(self._peers).sum(axis=0).tolist()
        actions: list[Action] = []
        for backend, jobs in enumerate(there):
            if jobs != core.workloads.peers[backend]:
                actions += core.shared(backend, now, jobs)
        return actions

    def close(self) -> None:
        """Stop sharing. The handle stays open: it may be another's, too."""
        if self.worker is not None and self._joined is not None:
            self._leave(self._joined)
            self._joined = None
            self.clear(self.worker)
        for view in (*self._rows, self._keys, self._words):
            view.release()
        self._map.close()

    def _leave(self, core: Core) -> None:
        count = len(core.workloads.own)
        core.workloads.share([0] * count, range(count))

    def _places(self, urls: Sequence[str]) -> list[int]:
        """Return the slot of each URL; one that is given twice has two."""
        wanted = _keys(urls)
        with self._locked():
            places: dict[int, int] = {}
            for place, key in enumerate(self._keys):
                if not key:
                    break
                places[key] = place
            for key in wanted:
                if key not in places:
                    places[key] = self._added(key, len(places))
        return [places[key] for key in wanted]

    def _added(self, key: int, place: int) -> int:
        if place == len(self._keys):
            raise UsageError(
                f"the router has had {place} different backend urls since it was started, which "
                "is all it can tell apart between its workers; restart it"
            )
        self._keys[place] = key
        return place

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.lockf(self.handle, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self.handle, fcntl.LOCK_UN)


def _keys(urls: Sequence[str]) -> list[int]:
    """63 bits of each URL's digest, never 0: of 10^4 URLs two are alike once in 10^11 fleets."""
    seen: Counter[str] = Counter()
    keys = []
    for url in urls:
        seen[url] += 1
        name = f"{seen[url]} {url}".encode()
        keys.append(int.from_bytes(hashlib.blake2b(name, digest_size=8).digest()) >> 1 or 1)
    return keys


def _anonymous() -> int:
    """Open a file without a name, in memory where the system has that."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("isocline-counts")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
