"""Buffer of a request's body, kept until a backend takes it, or for a retry."""

from typing import final


@final
class Total:
    """Bytes of all bodies that a process keeps."""

    __slots__ = ("size",)

    def __init__(self) -> None:
        self.size = 0


@final
class BodyBuffer:
    """The whole body so far or, once it was too long to keep, none of it."""

    __slots__ = ("_parts", "_total", "_unread", "size", "whole")

    def __init__(self, total: Total) -> None:
        """Initialise; its bytes are counted in `total` while they are kept."""
        self._parts: list[bytes] = []
        self._total = total
        self._unread = 0  # number of the first part that `unread` has not given
        self.size = 0  # bytes
        self.whole = True

    def add(self, data: bytes) -> None:
        """Add the next part."""
        if self.whole and data:
            self._parts.append(data)
            self.size += len(data)
            self._total.size += len(data)

    def drop(self) -> None:
        """Drop the body: a backend has it and it is too long to be kept, or the request is over."""
        self._total.size -= self.size
        self._parts = []
        self._unread = 0
        self.size = 0
        self.whole = False

    @property
    def parts(self) -> list[bytes]:
        """All parts, as they came."""
        return self._parts

    def replace(self, data: bytes) -> None:
        """Replace the whole body."""
        self._total.size += len(data) - self.size
        self._parts = [data]
        self._unread = 1
        self.size = len(data)

    def read(self) -> bytes:
        """The whole body."""
        if len(self._parts) > 1:
            self._parts = [b"".join(self._parts)]
            self._unread = min(self._unread, 1)
        return self._parts[0] if self._parts else b""

    def unread(self) -> bytes:
        """Parts that came since the last call; not to be called after `read`."""
        parts = self._parts
        if not self._unread and len(parts) == 1:
            self._unread = 1
            return parts[0]
        data = b"".join(parts[self._unread :])
        self._unread = len(parts)
        return data

    @property
    def in_all(self) -> int:
        """Bytes that all requests keep."""
        return self._total.size
