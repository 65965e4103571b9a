"""History of snapshots."""

from collections import deque
from typing import final

from isocline.gateway.metrics.optimality import Optimality, optimality_between
from isocline.gateway.metrics.snapshot import Snapshot


@final
class History:
    """Snapshots of the last `seconds`, added more often than that."""

    def __init__(self, seconds: float = 60.0) -> None:
        self.seconds = seconds
        self._kept: deque[Snapshot] = deque()

    def add(self, snapshot: Snapshot) -> None:
        """Add a snapshot, merged over all processes."""
        self._kept.append(snapshot)
        while len(self._kept) > 2 and self._kept[1].now <= snapshot.now - self.seconds:
            self._kept.popleft()

    def optimality(self) -> Optimality:
        """Account from the oldest to the latest snapshot."""
        kept = list(self._kept)
        return optimality_between(kept[0], kept[-1]) if len(kept) > 1 else Optimality()
