"""Equal pickles as one object, so that tasks which share a large one share its memory."""

from collections import OrderedDict
from typing import final

LARGE = 1 << 16  # bytes; below, looking for an equal one gains less than it costs
MOST = 1 << 26  # bytes kept; what tasks that wait refer to is in memory in any case


@final
class SharedBytes:
    """Large byte strings used last, by their content."""

    def __init__(self) -> None:
        self._size = 0
        self._kept: OrderedDict[bytes, bytes] = OrderedDict()

    def one(self, data: bytes) -> bytes:
        """Return the object that has stood for this content before, or this one."""
        if len(data) < LARGE:
            return data
        found = self._kept.setdefault(data, data)
        self._kept.move_to_end(data)
        if found is data:
            self._size += len(data)
            while self._size > MOST and len(self._kept) > 1:
                self._size -= len(self._kept.popitem(last=False)[0])
        return found
