"""Stamps of files, to detect changes since a file was read.

A stamp is taken before its file is read, so that a change in between is detected, if late.
Times and sizes alone miss a change of the same length within the resolution of the clock (4 ms on
Linux, up to 2 s on other file systems): regular files, which are small here, are hashed as well.
"""

import hashlib
import stat
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import final

Stamp = tuple[int, int, int, bytes]
"""(mtime in ns, size, inode, digest of the content)."""

Stamps = Mapping[Path, Stamp | None]
"""Stamps by path; None: the file cannot be read now, as while it is being replaced."""

_LOST = 5  # looks in a row at which a file could not be read: it is not just being replaced
_LARGEST = 2**24  # bytes; a system file of 1000 backends has 100 kB


def stamp(path: Path) -> Stamp | None:
    """Return the present stamp of a file."""
    try:
        found = path.stat()
        content = b""
        # Reading a pipe would consume its contents.
        if stat.S_ISREG(found.st_mode) and found.st_size <= _LARGEST:
            content = path.read_bytes()
    except OSError:
        return None
    digest = hashlib.blake2b(content, digest_size=16).digest()
    return found.st_mtime_ns, found.st_size, found.st_ino, digest


@final
class KnownFiles:
    """Files that were read, with their stamps."""

    def __init__(self, stamps: Stamps) -> None:
        """Initialise from the stamps taken before the files were read."""
        self._stamps = dict(stamps)
        self._missed: Counter[Path] = Counter()  # looks in a row at which each could not be read

    def read(self, stamps: Stamps) -> None:
        """Replace the stamps, after the files were read again."""
        self._stamps = dict(stamps)
        self._missed.clear()

    def changed(self) -> bool:
        """Whether a file has changed since it was read, or since the last call."""
        now = stamps_of(self._stamps)
        new = {path: it for path, it in now.items() if it not in (None, self._stamps[path])}
        self._stamps |= new
        self._missed = Counter({path: self._missed[path] + 1 for path in now if now[path] is None})
        return bool(new)

    def lost(self) -> list[Path]:
        """Files that could not be read at the last few calls of `changed`, each named once."""
        return [path for path, looks in self._missed.items() if looks == _LOST]


def stamps_of(paths: Iterable[Path]) -> dict[Path, Stamp | None]:
    """Return the stamps of several files."""
    return {path: stamp(path) for path in paths}
