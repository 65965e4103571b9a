"""File descriptors of ours in a process that also runs user code, which may close or reuse them.

`os.closerange(3, 256)` closes them all, and a file opened next gets the number of one of them: what
we write there must not get into that file.
"""

import os
from typing import final


class DescriptorError(OSError):
    """A descriptor of ours was closed by user code, or is that of another file by now."""


@final
class OwnDescriptor:
    """A descriptor, and the file that it was of when it was ours."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._file = _file(number)

    @property
    def ours(self) -> bool:
        """Whether it is still what it was."""
        try:
            return _file(self.number) == self._file
        except OSError:
            return False

    def require(self) -> int:
        """Return its number; raises DescriptorError if it is no longer ours."""
        if not self.ours:
            raise DescriptorError(f"descriptor {self.number} was closed by user code")
        return self.number


def _file(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino
