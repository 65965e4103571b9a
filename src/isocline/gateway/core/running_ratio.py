"""Running ratio of two sums."""

from typing import final

# Means are those of about so many requests.
_KEEP = 1.0 - 1.0 / 1000.0


@final
class RunningRatio:
    """Ratio of two sums over the last thousand requests or so, the older ones counting less."""

    __slots__ = ("_above", "_below")

    def __init__(self, above: float, below: float) -> None:
        self._above, self._below = above, below

    def add(self, above: float, below: float) -> None:
        """Add one request."""
        self._above = _KEEP * self._above + above
        self._below = _KEEP * self._below + below

    @property
    def value(self) -> float:
        """The ratio."""
        return self._above / self._below
