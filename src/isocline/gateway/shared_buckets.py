"""Buckets of API keys' limits in memory that all workers share, so that a limit is the router's.

The kernel gives each connection to one of the workers: were limits divided among them, a client
with one connection would get a part of its limit. A request of a limited key takes a lock of the
file twice, 2 us; the times in the buckets are of the machine's monotonic clock, which is the same
for all its processes.
"""

from collections.abc import Sequence
from typing import Any, Self, final

from isocline.gateway.shared_table import SharedTable

# Names of keys that there may be while the router runs: 100 kB.
_SLOTS = 4_096


@final
class SharedBuckets:
    """Buckets by name of a key, two each.

    Attributes:
        handle: The file's descriptor, which a child process inherits.
    """

    def __init__(self, table: SharedTable) -> None:
        self.handle = table.handle
        self._table = table
        self._rows: list[Any] = [table.row(kind, "d") for kind in range(2)]

    @classmethod
    def create(cls) -> Self:
        """Make buckets, all full."""
        return cls(SharedTable.create(2, _SLOTS))

    @classmethod
    def attach(cls, handle: int) -> Self:
        """Attach to the buckets of another process."""
        return cls(SharedTable(handle))

    def slots_of(self, names: Sequence[str]) -> list[int]:
        """Return the slot of each name; raises UsageError if there have been too many."""
        return self._table.slots_of(names, "names of keys")

    def lock(self, slot: int) -> None:
        """Wait until no other process uses the buckets of a slot, and keep them out."""
        self._table.lock(slot)

    def unlock(self, slot: int) -> None:
        """Let others in again."""
        self._table.unlock(slot)

    def full_at(self, kind: int, slot: int) -> float:
        """Time at which a bucket is full again, s; 0 at first."""
        time: float = self._rows[kind][slot]
        return time

    def fill_at(self, kind: int, slot: int, time: float) -> None:
        """Set that time."""
        self._rows[kind][slot] = time

    def close(self) -> None:
        """Let go of the memory; the handle stays open."""
        self._table.close()
