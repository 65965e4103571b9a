"""Directory for compiled kernels: one that can be written, and that nobody else can write.

In this order: `NUMBA_CACHE_DIR`, if set; `__pycache__` beside the source, as in a checkout or a
virtual environment of one's own; `$XDG_CACHE_HOME/isocline`; `~/.cache/isocline`; a private
directory under the system's temporary one. That one does not last, so it is reported once, with the
remedy, when a kernel is compiled. Compiled code is run when it is loaded: a directory that belongs
to another user, or that others may write to, is used only where the user names it.
"""

import atexit
import functools
import hashlib
import logging
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

LOG = logging.getLogger(__name__)
CHOSEN = "NUMBA_CACHE_DIR"
INHERITED = "ISOCLINE_CACHE_DIR"  # from a parent process that found no lasting directory

_BESIDE = "__pycache__"
_REMEDY = f"set XDG_CACHE_HOME or {CHOSEN} to a directory that can be written"


def readable(source: Path) -> tuple[Path, ...]:
    """Directories that may hold compiled code of the functions in `source`, best first.

    The one beside the source is read even where it cannot be written: so kernels compiled while an
    image was built reach a user without rights in it.
    """
    written = writable(source)
    found = () if written is None else (written,)
    beside = _beside(source)
    return found if os.environ.get(CHOSEN) or beside in found else (beside, *found)


def writable(source: Path) -> Path | None:
    """Directory to keep compiled code of the functions in `source` in; None if there is none."""
    chosen = os.environ.get(CHOSEN)
    if chosen:
        if _usable(Path(chosen)):
            return Path(chosen) / _name(source)
    elif _usable(_beside(source)):
        return _beside(source)
    root = of_user()
    return None if root is None else root / _name(source)


@functools.cache
def of_user() -> Path | None:
    """The user's directory for sources that have none beside them, chosen once per process."""
    if inherited := os.environ.get(INHERITED):
        return Path(inherited) if _usable(Path(inherited)) else None
    for directory in _of_home():
        if _usable(directory) and _is_private(directory):
            return directory
    private = _temporary()
    if private is None:
        _problems.append(f"cannot be kept: each start compiles again; {_REMEDY}")
        return None
    _problems.append(f"are kept in {private}, which may not last; {_REMEDY}")
    os.environ[INHERITED] = str(private)  # child processes use the same, and report nothing
    return private


def report() -> None:
    """Log, once, that kernels are not kept, or not for long.

    For when one is compiled: a container whose image has all kernels needs no such directory.
    """
    while _problems:
        LOG.warning("compiled kernels %s", _problems.pop())


_problems: list[str] = []


def make(directory: Path) -> None:
    """Make the directory, if it is not there: private, but for one beside sources.

    Who reads the sources may read what was compiled of them: an image is built by root, and run by
    another user. Python itself makes that directory so, but not with PYTHONDONTWRITEBYTECODE, which
    many images set.

    Raises:
        OSError: It cannot be made.
    """
    mode = 0o755 if directory.name == _BESIDE else 0o700
    directory.mkdir(mode=mode, parents=True, exist_ok=True)


def _beside(source: Path) -> Path:
    return source.parent / _BESIDE


def _name(source: Path) -> str:
    """Readable, and short whatever the length of the path."""
    folder = str(source.parent.absolute())
    return f"{source.parent.name}_{hashlib.sha256(folder.encode()).hexdigest()[:40]}"


def _of_home() -> Iterator[Path]:
    xdg = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if xdg.is_absolute():  # the specification ignores relative paths
        yield xdg / "isocline"
    try:
        yield Path.home() / ".cache" / "isocline"
    except RuntimeError:  # no HOME, and no entry in the table of users
        return


def _temporary() -> Path | None:
    """A private directory under the temporary one, the same for all processes of this user.

    Where another user has taken its name, this process and its children have one that ends with it.
    """
    try:
        directory = Path(tempfile.gettempdir()) / f"isocline-{os.geteuid()}"
        if _usable(directory) and _is_private(directory):
            return directory
        directory = Path(tempfile.mkdtemp(prefix="isocline-"))
    except OSError:
        return None
    atexit.register(_remove, directory, os.getpid())
    return directory


def _remove(directory: Path, owner: int) -> None:
    if os.getpid() == owner:  # not a forked child
        shutil.rmtree(directory, ignore_errors=True)


@functools.cache
def _usable(directory: Path) -> bool:
    """Whether files can be written there; the directory is made if it can be.

    Tried by writing one: permissions say nothing of a read-only file system or a quota.
    """
    try:
        make(directory)
        with tempfile.TemporaryFile(dir=directory) as file:
            file.write(b"\0")
    except OSError:
        return False
    return True


def _is_private(directory: Path) -> bool:
    found = directory.lstat()
    return (
        stat.S_ISDIR(found.st_mode)
        and found.st_uid == os.geteuid()
        and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    )
