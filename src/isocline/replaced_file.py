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


def replace_text(path: Path, text: str) -> None:
    """Replace the text of a file, as UTF-8; raises OSError."""
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8")
