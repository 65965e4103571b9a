"""Files that are replaced as a whole: after a kill or on a full disk the old one is still there."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LONGEST = 16  # characters of a suffix that tells a file's kind


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give the path of a draft to write, which takes the place of `path` at the end.

    The draft lies in the same directory and has the same suffix; after an error it is removed. A
    link is kept, and so are the permissions of a file that was there. Written directly are devices
    and pipes, and files in a directory that takes no others.

    Raises:
        OSError: It cannot be written.
    """
    target = path.resolve()
    there = target.exists()
    if there and not (target.is_file() and os.access(target.parent, os.W_OK)):
        yield target
        return
    kind = target.suffix if len(target.suffix) < _LONGEST else ""
    draft = target.with_name(f".isocline-{os.getpid()}-{threading.get_ident()}{kind}")
    try:
        yield draft
        if there:
            draft.chmod(target.stat().st_mode)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def replace_text(path: Path, text: str, *, private: bool = False, flushed: bool = False) -> None:
    """Replace the text of a file, as UTF-8.

    Args:
        path: A file, or where one is to be.
        text: All that it holds afterwards.
        private: A new file can be read by this user alone.
        flushed: Text and name are on the disk at the end, so that they survive a power failure.

    Raises:
        OSError: It cannot be written.
    """
    with replacing(path) as draft:
        if private:
            draft.touch(mode=0o600)
        with draft.open("w", encoding="utf-8") as file:
            file.write(text)
            if flushed:
                file.flush()
                os.fsync(file.fileno())
    if flushed:
        _flush_folder(path.resolve().parent)


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
