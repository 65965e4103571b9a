"""Idle time of a server between two tasks although one waits for it."""

from typing import final

MEMORY = 50.0  # observations


@final
class Gap:
    """The mean of what passes, over the service itself, from a start to the news of its end, s.

    While it is not yet measured, it counts as none: with weight of MEMORY / 5 observations.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._count = MEMORY / 5.0

    def observe(self, seconds: float) -> None:
        """One task's, that was started on an idle server."""
        self._count = min(self._count + 1.0, MEMORY)
        self.seconds += (max(seconds, 0.0) - self.seconds) / self._count
