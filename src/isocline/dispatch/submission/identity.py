"""Identity of a task, as fingerprints: a journal gives results to equal tasks only."""

import os
import stat
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, final

from isocline.dispatch.submission.fingerprint import SIZE, fingerprint
from isocline.dispatch.user_code_guard import Caught, guarded, words
from isocline.errors import UsageError

# Byte code differs between releases of Python, so that fingerprints of functions do.
_PYTHON = (sys.implementation.cache_tag or "unknown").encode()

Version = Callable[[str], object]
"""Version of a chunk's data, by the chunk's name."""
Data = Callable[[], bytes]
"""Makes the fingerprint of a task's data as it is when it is called."""

_FOUND = {
    "function": "another function, or one that uses other values, classes or functions",
    "loader": "another loader",
    "arguments": "other arguments, or another chunk",
}
# In a job file in YAML nobody has written a function or a loader.
_FOUND_OF_COMMAND = {
    "function": "another command",
    "loader": "its job file in another folder, or with nodes where this one has none or none where "
    "it has some",
    "arguments": "another chunk",
}


class Identity(NamedTuple):
    """Fingerprints of 16 bytes each, and the release of Python that made them."""

    function: bytes
    loader: bytes
    arguments: bytes  # with the chunk's name
    data: bytes  # the chunk's, and of files; the same for all tasks whose data has no version
    python: bytes = _PYTHON  # the release, as text

    def packed(self) -> bytes:
        """Pack it for a journal."""
        return b"".join(self)


def changed(was: bytes, now: bytes, *, command: bool = False) -> str | None:
    """Describe the difference of two packed identities that differ, of a function or a `command`.

    None: only the data differs, or the release of Python, so that the rest is unknown. Such a task
    must run again.
    """
    old, new = _unpacked(was), _unpacked(now)
    if old.python != new.python:
        return None
    said = _FOUND_OF_COMMAND if command else _FOUND
    found = [words for part, words in said.items() if getattr(old, part) != getattr(new, part)]
    return " and ".join(found) or None


def another_python(was: bytes, now: bytes) -> str | None:
    """Return the release of Python of a packed identity, if it is not this one."""
    python = _unpacked(was).python
    return None if python == _unpacked(now).python else python.decode(errors="replace")


def with_data(packed: bytes, data: bytes) -> bytes:
    """Replace the data of a packed identity."""
    return _unpacked(packed)._replace(data=data).packed()


@final
class Files:
    """Version of a chunk that is a file, by size and time of change; None for other chunks.

    The data of a task is that which its file has when the task has ended, so that one which writes
    to its own file is not run again.
    """

    def __init__(self, *directories: Path) -> None:
        """Initialise; chunks are paths relative to `roots`; all roots that have one count."""
        self._directories = directories

    def __call__(self, chunk: str) -> object:
        found = {_stat(directory, chunk) for directory in self._directories}
        return sorted(found - {None})  # type: ignore[type-var]


@final
class Versions:
    """Fingerprints of the data of tasks: of their chunks, and of their files."""

    def __init__(self, version: Version) -> None:
        self._version = version
        self._looks_again = isinstance(version, Files)

    def of(self, chunk: str | None, paths: Sequence[str]) -> tuple[bytes, Data | None]:
        """Fingerprint of a task's data, and a function that returns the one at the task's end.

        Args:
            chunk: The name of the task's chunk; None: it has none.
            paths: Paths of files, present or future, among the task's arguments.

        Raises:
            UsageError: The user's function raises.
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
        found = guarded(lambda: fingerprint(self._version(chunk)))
        if isinstance(found, Caught):
            raise UsageError(
                f"version: of chunk {chunk!r} it raised {words(found.error)}"
            ) from found.error
        return found


def _with_files(version: bytes, paths: Sequence[str]) -> bytes:
    states = [_stat(Path(), path) for path in paths]
    return fingerprint((version, states)) if any(states) else version


def _stat(directory: Path, chunk: str) -> tuple[int, int] | None:
    """Size in bytes and time in ns; None if there is no such file, or none visible from here."""
    try:
        found = os.stat(directory / chunk)  # noqa: PTH116 - Path.stat is slower by half
    except (OSError, ValueError):
        return None
    return (found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None


def _unpacked(packed: bytes) -> Identity:
    function, loader, arguments, data = (packed[at : at + SIZE] for at in range(0, 4 * SIZE, SIZE))
    return Identity(function, loader, arguments, data, packed[4 * SIZE :])
