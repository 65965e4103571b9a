"""Identity of a task, as four fingerprints: a journal gives results to equals only."""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, final

from isocline.dispatch.fingerprint import SIZE, fingerprint
from isocline.dispatch.user_code import Caught, guarded, words
from isocline.errors import UsageError

Version = Callable[[str], object]
"""What tells one state of a chunk's data from another, by the chunk's name."""

_FOUND = {
    "function": "another function, or one that uses other values, classes or functions",
    "loader": "another loader",
    "arguments": "other arguments, or another chunk",
}


class Identity(NamedTuple):
    """Fingerprints of 16 bytes each."""

    function: bytes
    loader: bytes
    arguments: bytes  # with the chunk's name
    data: bytes  # the chunk's; the same for all tasks whose data has no version

    def packed(self) -> bytes:
        """As it stands in a journal."""
        return b"".join(self)


def changed(was: bytes, now: bytes) -> str | None:
    """What has changed, in words, between two packed identities that differ; None: only the data.

    A task whose data has changed is to be run again, but whoever changes its code has to say so.
    """
    old, new = _unpacked(was), _unpacked(now)
    found = [words for part, words in _FOUND.items() if getattr(old, part) != getattr(new, part)]
    return " and ".join(found) or None


def with_data(packed: bytes, data: bytes) -> bytes:
    """A packed identity with other data."""
    return _unpacked(packed)._replace(data=data).packed()


@final
class Files:
    """The version of a chunk that is a file: size and time of change; of others there is none.

    The data of a task is that which its file has when the task has ended, so that one which writes
    to its own file is not run again.
    """

    def __init__(self, *directories: Path) -> None:
        """Chunks are paths relative to these; where several have one, all of them count."""
        self._directories = directories

    def __call__(self, chunk: str) -> object:
        found = {_stat(directory, chunk) for directory in self._directories}
        return sorted(found - {None})  # type: ignore[type-var]


@final
class Versions:
    """Fingerprints of chunks' data."""

    def __init__(self, version: Version) -> None:
        self._version = version
        self.looks_again = isinstance(version, Files)

    def of(self, chunk: str | None) -> bytes:
        """A chunk's; raises UsageError if the user's function raises."""
        if chunk is None:
            return fingerprint(None)
        found = guarded(lambda: fingerprint(self._version(chunk)))
        if isinstance(found, Caught):
            raise UsageError(
                f"version: of chunk {chunk!r} it raised {words(found.error)}"
            ) from found.error
        return found


def _stat(directory: Path, chunk: str) -> tuple[int, int] | None:
    """Bytes and ns; None: it is no file, or none that can be seen from here."""
    try:
        found = os.stat(directory / chunk)  # noqa: PTH116 - Path.stat is slower by half
    except (OSError, ValueError):
        return None
    return (found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None


def _unpacked(packed: bytes) -> Identity:
    parts = [packed[at : at + SIZE] for at in range(0, 4 * SIZE, SIZE)]
    return Identity(*parts)
