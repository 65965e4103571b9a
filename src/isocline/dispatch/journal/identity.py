"""Identity of a task, as fingerprints: a journal returns results only for identical tasks."""

import sys
from typing import NamedTuple

# Byte code, and so fingerprints of functions, differ between releases of Python.
_PYTHON = (sys.implementation.cache_tag or "unknown").encode()

# Bytes of a fingerprint: among 2^40 tasks, two collide with probability 2^-49.
SIZE = 16
_FOUND = {
    "function": "another function, or one that uses different values, classes or functions",
    "loader": "another loader",
    "arguments": "different arguments, or another chunk",
}
# Wording for job files in YAML, which have no function or loader of the user's.
_FOUND_OF_COMMAND = {
    "function": "another command",
    "loader": "a job file in another folder, or one that differs in whether it has nodes",
    "arguments": "another chunk",
}


class Identity(NamedTuple):
    """Fingerprints of 16 bytes each, and the release of Python that computed them."""

    function: bytes
    loader: bytes
    arguments: bytes  # including the chunk's name
    data: bytes  # of the chunk's data and of files; equal for all tasks whose data has no version
    python: bytes = _PYTHON  # the release, as text

    def packed(self) -> bytes:
        """Pack the identity for a journal."""
        return b"".join(self)


def changed(was: bytes, now: bytes, *, command: bool = False) -> str | None:
    """Describe the difference of two packed identities, of a function or a `command`.

    None: only the data differs, or the release of Python, so the rest cannot be compared. The task
    must then run again.
    """
    old, new = _unpacked(was), _unpacked(now)
    if old.python != new.python:
        return None
    said = _FOUND_OF_COMMAND if command else _FOUND
    found = [words for part, words in said.items() if getattr(old, part) != getattr(new, part)]
    return " and ".join(found) or None


def another_python(was: bytes, now: bytes) -> str | None:
    """Return the release of Python of a packed identity, or None if it is this one."""
    python = _unpacked(was).python
    return None if python == _unpacked(now).python else python.decode(errors="replace")


def with_data(packed: bytes, data: bytes) -> bytes:
    """Replace the data fingerprint of a packed identity."""
    return _unpacked(packed)._replace(data=data).packed()


def without_data(packed: bytes) -> bytes:
    """Return what a packed identity says of the task itself, for tasks that get its result."""
    return b"".join(_unpacked(packed)._replace(data=b""))


def data_of(packed: bytes) -> bytes:
    """Return the data fingerprint of a packed identity."""
    return _unpacked(packed).data


def _unpacked(packed: bytes) -> Identity:
    function, loader, arguments, data = (packed[at : at + SIZE] for at in range(0, 4 * SIZE, SIZE))
    return Identity(function, loader, arguments, data, packed[4 * SIZE :])
