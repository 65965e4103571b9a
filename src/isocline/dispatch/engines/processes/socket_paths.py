"""Paths of Unix sockets, which the kernel limits."""

import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from isocline.dispatch.engines.common.errors import EngineError

# Bytes of a path: `sun_path` has room for 108 on Linux and 104 on macOS, with a zero at the end.
_LONGEST = 103
_SHORT = ("/tmp", "/var/tmp", "/dev/shm")


def is_too_long(path: Path) -> bool:
    """Whether a path is too long for a socket."""
    return len(os.fsencode(path)) > _LONGEST


def short_directory(roots: Sequence[str] = _SHORT) -> Path:
    """A new directory for sockets, with a short path, in the first of these that can be written.

    Raises:
        EngineError: None can be.
    """
    for root in roots:
        with suppress(OSError):
            return Path(tempfile.mkdtemp(prefix="isocline-", dir=root))
    raise EngineError(
        "scratch: its path is too long for sockets, and no directory can be made in "
        f"{', '.join(roots)}; set TMPDIR (or scratch=) to a directory of less than 70 characters"
    )
