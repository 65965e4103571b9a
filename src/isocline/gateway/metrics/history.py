"""Snapshots over time."""

from collections import deque
from typing import final

from isocline.gateway.metrics.optimality import Optimality, standing
from isocline.gateway.metrics.snapshot import Snapshot


@final
class History:
    """The last `seconds`, from snapshots that come more often than that."""

    def __init__(self, seconds: float = 60.0) -> None:
        self.seconds = seconds
        self._kept: deque[Snapshot] = deque()

    def add(self, snapshot: Snapshot) -> None:
        """One more, merged over all processes."""
        self._kept.append(snapshot)
        while len(self._kept) > 2 and self._kept[1].now <= snapshot.now - self.seconds:
            self._kept.popleft()

    def standing(self) -> Optimality:
        """The account from the oldest to the latest."""
        kept = list(self._kept)
        return standing(kept[0], kept[-1]) if len(kept) > 1 else Optimality()
