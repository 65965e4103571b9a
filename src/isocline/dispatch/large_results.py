"""Results that are too large for rows of a journal, in files of their own beside it."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from isocline.dispatch.journal import Row

LARGE = 1 << 20  # bytes; SQLite is the faster one up to about 0.1 MB, and takes no more than 1 GB


@final
class LargeResults:
    """Those of one journal, in PATH-results/."""

    def __init__(self, journal: Path) -> None:
        self._directory = journal.with_name(journal.name + "-results")

    def apart(self, row: "Row") -> "Row":
        """The row, without its value if that is large and now in a file; raises OSError."""
        if row.value is None or len(row.value) < LARGE:
            return row
        path = self._path(row.key)
        path.parent.mkdir(exist_ok=True)
        unfinished = path.with_suffix(".part")
        unfinished.write_bytes(row.value)
        unfinished.replace(path)
        return row._replace(value=None, large=len(row.value))

    def read(self, key: str, size: int) -> bytes | None:
        """The value, or None if the file is not there or not whole."""
        try:
            value = self._path(key).read_bytes()
        except OSError:
            return None
        return value if len(value) == size else None

    def _path(self, key: str) -> Path:
        name = key.encode("utf-8", "surrogatepass")  # a file's name need not be UTF-8
        return self._directory / hashlib.blake2b(name, digest_size=16).hexdigest()
