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

Slots belong to URLs, see `shared_table`.
"""

from collections.abc import Sequence
from typing import Self, final

import numpy as np

from isocline.errors import UsageError
from isocline.gateway.core.actions import Action
from isocline.gateway.core.core import Core
from isocline.gateway.shared_table import SharedTable

# 128 kB for each worker, of which only what is used is ever there: with 64 backends, as many as
# 250 complete changes of the fleet.
SLOTS = 16_384


@final
class SharedCounts:
    """Counts of all workers, a row of int64 each.

    Attributes:
        handle: The file's descriptor, which a child process inherits.
        worker: The number of the process whose row it writes; None: of none.
    """

    def __init__(self, table: SharedTable, worker: int | None) -> None:
        self.handle = table.handle
        self._table = table
        self.workers = len(table.starts)
        self._rows = [table.row(one) for one in range(self.workers)]
        self.worker = worker
        self._joined: Core | None = None
        self._peers = np.zeros((0, 0), np.int64)

    @classmethod
    def create(cls, workers: int, slots: int = SLOTS) -> Self:
        """Make a table for so many workers and URLs; raises UsageError for fewer than one."""
        if workers < 1 or slots < 1:
            raise UsageError(f"shared counts: {workers} workers, {slots} slots; give 1 or more")
        return cls(SharedTable.create(workers, slots), None)

    @classmethod
    def attach(cls, handle: int, worker: int) -> Self:
        """Attach to the table as a worker whose number is free; it has nothing in flight."""
        counts = cls(SharedTable(handle), worker)
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
        (`Core.carried_over`).

        Raises:
            UsageError: There have been too many URLs since the table was made.
        """
        assert self.worker is not None
        slots = self._table.slots_of(urls, "backend urls")
        if self._joined is not None:
            self._stop_sharing(self._joined)
        self.clear(self.worker)
        core.workloads.share(self._rows[self.worker], slots)
        starts = [start for one, start in enumerate(self._table.starts) if one != self.worker]
        self._peers = np.add.outer(np.array(starts, np.int64), np.array(slots, np.int64))
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
        there = np.frombuffer(self._table.words, np.int64).take(self._peers).sum(axis=0).tolist()
        actions: list[Action] = []
        for backend, jobs in enumerate(there):
            if jobs != core.workloads.peers[backend]:
                actions += core.shared(backend, now, jobs)
        return actions

    def close(self) -> None:
        """Stop sharing. The handle stays open: it may be another's, too."""
        if self.worker is not None and self._joined is not None:
            self._stop_sharing(self._joined)
            self._joined = None
            self.clear(self.worker)
        self._table.close()

    def _stop_sharing(self, core: Core) -> None:
        count = len(core.workloads.own)
        core.workloads.share([0] * count, range(count))
