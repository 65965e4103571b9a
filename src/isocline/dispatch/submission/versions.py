"""Versions of the data of tasks: of their chunks, and of the files that arguments name."""

import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath
from typing import Any, final

from isocline.dispatch.chunk_names import Chunk, given_chunk
from isocline.dispatch.submission.fingerprint import fingerprint
from isocline.dispatch.user_code_guard import Caught, guarded, words
from isocline.errors import UsageError

Version = Callable[[Any], object]
"""Function from a chunk to the version of its data."""
Data = Callable[[], bytes]
"""Function that computes the present fingerprint of a task's data."""


@final
class Files:
    """Version function for chunks that are files: size and modification time; None for others.

    The version of a task's file is taken when the task has ended, so that a task that writes to its
    own file is not run again.
    """

    def __init__(self, *directories: Path) -> None:
        """Initialise; chunks are paths below the directories, and all existing files count."""
        self._directories = directories

    def __call__(self, chunk: Chunk) -> object:
        """Return the version of a chunk; that of a tuple is the versions of the paths in it."""
        if isinstance(chunk, tuple):
            return [self(part) for part in chunk if isinstance(part, PurePath)]
        found = {_stat(directory, chunk) for directory in self._directories}
        return sorted(found - {None})  # type: ignore[type-var]


@final
class Versions:
    """Fingerprints of the data of tasks: of chunks and of files in arguments."""

    def __init__(self, version: Version) -> None:
        self._version = version
        self._looks_again = isinstance(version, Files)

    def of(self, chunk: str | None, paths: Sequence[str]) -> tuple[bytes, Data | None]:
        """Fingerprint of a task's data, and a function that returns it again at the task's end.

        Args:
            chunk: Name of the task's chunk, if any.
            paths: Paths in the task's arguments, of existing or future files.

        Raises:
            UsageError: The user's version function raises an exception.
        """
        version = self._of_chunk(chunk)
        if not paths and not self._looks_again:
            return version, None

        def now() -> bytes:
            found = self._of_chunk(chunk) if self._looks_again else version
            return _with_files(found, paths)

        return _with_files(version, paths), now

    def _of_chunk(self, chunk: str | None) -> bytes:
        if chunk is None:
            return fingerprint(None)
        found = guarded(lambda: fingerprint(self._version(given_chunk(chunk))))
        if isinstance(found, Caught):
            raise UsageError(
                f"version: for chunk {chunk!r} the function raises {words(found.error)}"
            ) from found.error
        return found


def _with_files(version: bytes, paths: Sequence[str]) -> bytes:
    states = [_stat(Path(), path) for path in paths]
    return fingerprint((version, states)) if any(states) else version


def _stat(directory: Path, chunk: str | PurePath) -> tuple[int, int] | None:
    """Size in bytes and modification time in ns; None if no such file is visible from here."""
    try:
        found = os.stat(directory / chunk)  # noqa: PTH116 - Path.stat is slower by half
    except (OSError, ValueError):
        return None
    return (found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None
