"""Deduplication of equal pickles, so that tasks with the same large value share its memory."""

from collections import OrderedDict
from typing import final

LARGE = 1 << 16  # bytes; for smaller ones, a lookup costs more than it gains
MOST = 1 << 26  # bytes kept; those of waiting tasks are in memory in any case


@final
class SharedBytes:
    """Most recently used large byte strings, by content."""

    def __init__(self) -> None:
        self._size = 0
        self._kept: OrderedDict[bytes, bytes] = OrderedDict()

    def one(self, data: bytes) -> bytes:
        """Return an earlier object with the same content, if one is kept, or else `data`."""
        if len(data) < LARGE:
            return data
        found = self._kept.setdefault(data, data)
        self._kept.move_to_end(data)
        if found is data:
            self._size += len(data)
            while self._size > MOST and len(self._kept) > 1:
                self._size -= len(self._kept.popitem(last=False)[0])
        return found
