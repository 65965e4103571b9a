"""Snapshots over time."""

from collections import deque
from typing import final

from isocline.gateway.seen.snapshot import Snapshot
from isocline.gateway.seen.standing import Standing, standing


@final
class Window:
    """The last `seconds`, from snapshots that come more often than that."""

    def __init__(self, seconds: float = 60.0) -> None:
        self.seconds = seconds
        self._kept: deque[Snapshot] = deque()

    def add(self, snapshot: Snapshot) -> None:
        """One more, merged over all processes."""
        self._kept.append(snapshot)
        while len(self._kept) > 2 and self._kept[1].now <= snapshot.now - self.seconds:
            self._kept.popleft()

    def standing(self) -> Standing:
        """The account from the oldest to the latest."""
        kept = list(self._kept)
        return standing(kept[0], kept[-1]) if len(kept) > 1 else Standing()
