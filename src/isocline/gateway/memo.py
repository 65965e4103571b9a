"""Memo of values that are needed repeatedly: a dict lookup takes a tenth of making one."""

from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Memo(dict[K, V]):
    """Dict that is cleared when full; its `__missing__` makes, and may keep, a value.

    So peers that never repeat themselves cost time, but no memory.
    """

    def __init__(self, most: int) -> None:
        """Initialise for at most `most` values."""
        self._most = most

    def keep(self, key: K, value: V) -> V:
        """Keep a value; returns it."""
        if len(self) >= self._most:
            self.clear()
        self[key] = value
        return value
