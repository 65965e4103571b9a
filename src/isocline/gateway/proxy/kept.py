"""What is kept of a request's body: until a backend takes it, and in case another one has to."""

from typing import final


@final
class Kept:
    """The whole body so far, or, once it was too long to keep, none of it."""

    __slots__ = ("_parts", "size", "whole")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.size = 0  # bytes
        self.whole = True

    def add(self, data: bytes) -> None:
        """The next part."""
        if self.whole and data:
            self._parts.append(data)
            self.size += len(data)

    def drop(self) -> None:
        """A backend has it, and it is too long to be kept any longer."""
        self._parts = []
        self.size = 0
        self.whole = False

    def read(self) -> bytes:
        """All of it."""
        if len(self._parts) > 1:
            self._parts = [b"".join(self._parts)]
        return self._parts[0] if self._parts else b""
