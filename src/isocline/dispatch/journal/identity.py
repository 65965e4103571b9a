"""Identity of a task, as fingerprints: a journal gives results to equal tasks only."""

import sys
from typing import NamedTuple

# Byte code differs between releases of Python, so that fingerprints of functions do.
_PYTHON = (sys.implementation.cache_tag or "unknown").encode()

# Bytes of a fingerprint: of 2^40 tasks, two are alike by chance with probability 2^-49.
SIZE = 16
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


def _unpacked(packed: bytes) -> Identity:
    function, loader, arguments, data = (packed[at : at + SIZE] for at in range(0, 4 * SIZE, SIZE))
    return Identity(function, loader, arguments, data, packed[4 * SIZE :])
