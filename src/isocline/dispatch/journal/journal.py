"""Journal of a run, from which it can be resumed after an interruption.

The journal is an SQLite file in WAL mode with a row for each task: key, fingerprint of function,
arguments and chunk, state and result. A separate thread commits rows every 0.1 s, at most 500 per
transaction. A killed process leaves a valid file; a resumed run repeats tasks that were running, or
that finished less than 0.1 s before. Writes are not synchronised with the disk at each commit: a
power failure may cost more than 0.1 s, but never the file.

A full disk does not stop the run. Rows that cannot be written are kept and retried every second, up
to 64 MB of results; beyond that the oldest are dropped, and a resumed run repeats their tasks. The
failure is logged when it begins, and `close` reports lost rows. A row that SQLite rejects, or that
is damaged when read, affects only its own task, which is run again. If the file is deleted, moved
or replaced during the run, the next commit logs a warning, and `close` raises. Results too large
for a row are stored as files in PATH-results/.
"""

import ctypes
import hashlib
import os
import sqlite3
import threading
import zlib
from collections import deque
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple, final
from urllib.parse import quote

from isocline.dispatch.errors import JournalError, UnwrittenError
from isocline.dispatch.forks import owned
from isocline.dispatch.journal.identity import another_python, changed
from isocline.dispatch.log import LOG
from isocline.dispatch.user_code_guard import printable, words
from isocline.plural import counted

LARGE = 1 << 20  # bytes; SQLite is faster than files up to about 0.1 MB, and limited to 1 GB


@final
class LargeResults:
    """Store of large results as separate files, in PATH-results/."""

    def __init__(self, journal: Path) -> None:
        self._directory = journal.with_name(journal.name + "-results")

    def apart(self, row: "Row") -> "Row":
        """Move a row's value to a file if it is large; returns the row, and may raise OSError."""
        if row.value is None or len(row.value) < LARGE:
            return row
        path = self._path(row.key)
        path.parent.mkdir(exist_ok=True)
        unfinished = path.with_suffix(".part")
        unfinished.write_bytes(row.value)
        unfinished.replace(path)
        return row._replace(value=None, large=len(row.value))

    def read(self, key: str, size: int) -> bytes | None:
        """Read a value; None if its file is missing or has another size."""
        try:
            value = self._path(key).read_bytes()
        except OSError:
            return None
        return value if len(value) == size else None

    def _path(self, key: str) -> Path:
        name = key.encode("utf-8", "surrogatepass")  # file names need not be UTF-8
        return self._directory / hashlib.blake2b(name, digest_size=16).hexdigest()


_EVERY = 0.1  # s between commits
_MOST = 500  # rows per transaction: some 2 ms, during which a submission may wait
_AGAIN = 1.0  # s until the next try after a failure
_KEPT = 64 << 20  # bytes of results kept while the disk is full
_FORMAT = 4
_TABLE = """
CREATE TABLE IF NOT EXISTS task (
    key TEXT PRIMARY KEY, fingerprint BLOB, state TEXT, attempts INTEGER, node TEXT, level TEXT,
    why TEXT, submitted REAL, started REAL, ended REAL, value BLOB, large INTEGER, text TEXT,
    crc INTEGER)
"""
_PUT = f"INSERT OR REPLACE INTO task VALUES ({', '.join('?' * 14)})"
_RESULTS = {"value", "large", "crc"}
_GET = "SELECT fingerprint, value, large, crc FROM task WHERE key = ? AND state = 'finished'"
# Possibly temporary errors, of the disk or of other users of the file. All others concern one row:
# text or numbers that SQLite rejects, or a damaged page for that row.
_PASSING = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_NOMEM,
}


class Row(NamedTuple):
    """State of one task. Times are Unix times, s."""

    key: str
    fingerprint: bytes
    state: str  # started, or an outcome
    attempts: int
    node: str
    level: str
    why: str
    submitted: float
    started: float
    ended: float | None = None
    value: bytes | None = None  # pickled result
    large: int | None = None  # size in bytes of a value stored in a file
    text: str | None = None  # error message
    crc: int | None = None  # CRC-32 of the value, also if it is in a file


@final
class Journal:
    """Journal of one run; no other process may write it at the same time."""

    def __init__(self, path: str | Path, resume: bool = False) -> None:
        """Open or create the file.

        Args:
            path: The file; SQLite keeps PATH-wal beside it, and large results are in PATH-results/.
            resume: Whether to continue an existing journal.

        Raises:
            JournalError: The file cannot be opened, is in use, is not a journal, or already has
                tasks although `resume` is False.
        """
        self.path = Path(path)
        self.problem: str | None = None  # reason why rows cannot be written at present
        self.lost = 0  # rows dropped or rejected
        self._last_loss = ""
        self._said_python = False
        self._place = self.path.absolute()  # absolute, as the process may change its directory
        self._large = LargeResults(self._place)
        self._taken: str | None = None  # description of what happened to a missing file
        self._lock = threading.Lock()  # one thread at a time may use the connection
        self._connection = self._opened(resume)
        self._file = _file_at(self._place)
        self._rows: deque[Row] = deque()
        self._closing = threading.Event()
        self._writer = threading.Thread(target=self._write, name="isocline-journal", daemon=True)
        self._writer.start()
        owned(self)

    def find(self, key: str, fingerprint: bytes, *, command: bool = False) -> bytes | None:
        """Pickled result of a task that finished in an earlier run, or None.

        None also stands for changed data, another release of Python, or a damaged result: the task
        must run again. The fingerprint is a packed `Identity` of a function or a shell `command`.

        Raises:
            JournalError: Function, loader or arguments of the task have changed.
        """
        try:
            with self._lock:
                found = self._connection.execute(_GET, (_stored(key),)).fetchone()
        except sqlite3.Error as error:
            self._say_damaged(key, str(error))
            return None
        if found is None:
            return None
        value: bytes | None
        was, value, large, crc = found
        if was != fingerprint:
            self._say_python(another_python(was, fingerprint))
            what = changed(was, fingerprint, command=command)
            if what is None:
                return None
            raise JournalError(
                f"journal {self.path}: task {key!r} had {what} when it ran; undo the change, or "
                "start a journal with another name to run all tasks again"
            )
        if large is not None:
            value = self._large.read(key, large)
        if value is None or zlib.crc32(value) != crc:
            self._say_damaged(key, "its result was altered")
            return None
        return value

    def note(self, row: Row) -> None:
        """Queue a row for writing; it replaces an earlier row of the same task."""
        self._rows.append(row)

    @property
    def unwritten(self) -> int:
        """Number of rows not yet written."""
        return len(self._rows)

    def close(self) -> None:
        """Write the remaining rows, and close the file.

        Raises:
            JournalError: Some rows cannot be written.
        """
        if self._closing.is_set():
            return
        self._closing.set()
        self._writer.join()
        self._look()
        self._connection.close()
        if self._taken:
            raise UnwrittenError(
                f"journal {self.path}: {self._taken} during the run, which therefore cannot be "
                "resumed; its results are valid. Give the next run a path that nothing else uses"
            )
        missing = len(self._rows) + self.lost
        if missing:
            raise UnwrittenError(
                f"journal {self.path}: {counted(missing, 'row')} could not be written "
                f"({self.problem or self._last_loss}); "
                "a resumed run will repeat their tasks"
            )

    def disown(self) -> None:
        """Give up the file in a forked child, see `forks.Forkable`.

        The child believes it holds the parent's lock, so closing the connection there would write
        the WAL back into the file while the parent uses it. The connection is therefore never
        closed in a child, not even at the interpreter's exit.
        """
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._connection))

    def _look(self) -> None:
        """Warn once if the file is no longer at its path, as further writes are then lost."""
        file = _file_at(self._place)
        if self._taken or file == self._file:
            return
        self._taken = "was replaced by another file" if file else "was deleted or moved"
        LOG.warning(
            "journal %s: %s; the run goes on, but cannot be resumed", self.path, self._taken
        )

    def _say_python(self, python: str | None) -> None:
        """Log once if results are from another release of Python."""
        if python is not None and not self._said_python:
            self._said_python = True
            LOG.warning(
                "journal %s: was written by %s, and byte code of functions cannot be compared "
                "between releases of Python: its tasks are run again",
                self.path,
                python,
            )

    def _say_damaged(self, key: str, why: str) -> None:
        LOG.warning(
            "journal %s: task %s is run again because its row is damaged (%s)",
            self.path,
            printable(repr(key)),
            why,
        )

    def _opened(self, resume: bool) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(
                self.path, timeout=0.5, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise self._unusable(error) from error
        try:
            self._begin(connection, resume)
        except sqlite3.Error as error:
            connection.close()
            raise self._unusable(error) from error
        except JournalError:
            connection.close()
            raise
        return connection

    def _begin(self, connection: sqlite3.Connection, resume: bool) -> None:
        # Exclusive, as a second scheduler on this file would run the same tasks. The lock is
        # released when the process ends, however that happens.
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if version != (_FORMAT if tables else 0):
            raise JournalError(
                f"journal {self.path}: is not a journal of this version of isocline; give another "
                "path"
            )
        connection.execute(_TABLE)
        connection.execute(f"PRAGMA user_version = {_FORMAT}")
        if resume:  # rows are read one by one on demand, as some pages may be damaged
            return
        (rows,) = connection.execute("SELECT count(*) FROM task").fetchone()
        if rows:
            raise JournalError(
                f"journal {self.path}: has {counted(rows, 'task')} of an earlier run; give "
                "resume=True (--resume) to continue it, or another path to start afresh"
            )

    def _unusable(self, error: sqlite3.Error) -> JournalError:
        busy = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY
        remedy = "another run uses it" if busy else "give a path to a journal or to a new file"
        return JournalError(f"journal {self.path}: {error}; {remedy}")

    def _write(self) -> None:
        """Write rows, in the journal's thread, until it is closed and all are written."""
        pause = _EVERY
        while not (self._closing.wait(pause) and not self._rows):
            while self._rows:
                batch = [self._rows.popleft() for _ in range(min(len(self._rows), _MOST))]
                if left := self._left(batch):
                    self._rows.extendleft(reversed(left))
                    break
            if self.problem and self._closing.is_set():
                return
            self._shed()
            pause = _AGAIN if self.problem else _EVERY

    def _left(self, batch: list[Row]) -> list[Row]:
        """Write rows; returns those to retry because of a temporary error."""
        self._look()
        last = {row.key: row for row in batch}  # a task often starts and ends within one batch
        rows = list(last.values())
        left: list[Row] = []
        problem = None
        try:
            self._commit(rows)
        except Exception as error:  # of one row, or of all
            if _passes(error):
                left, problem = rows, str(error)
            else:
                left, problem = self._one_by_one(rows)
        if problem and not self.problem:
            LOG.warning("journal %s: cannot be written (%s); the run goes on", self.path, problem)
        elif self.problem and not problem:
            LOG.warning("journal %s: is written again", self.path)
        self.problem = problem
        return left

    def _one_by_one(self, rows: list[Row]) -> tuple[list[Row], str | None]:
        """Write rows one by one; returns those to retry, and the error."""
        left: list[Row] = []
        problem = None
        for at, row in enumerate(rows):
            try:
                self._commit([row])
            except OSError as error:  # of its result's file; smaller rows may still fit
                left.append(row)
                problem = str(error)
            except Exception as error:
                if _passes(error):
                    return left + rows[at:], str(error)
                self.lost += 1
                self._last_loss = f"task {printable(repr(row.key))}: {words(error)}"
                LOG.warning("journal %s: a row is left out: %s", self.path, self._last_loss)
        return left, problem

    def _commit(self, rows: Iterable[Row]) -> None:
        """Commit all rows, or raise and commit none."""
        try:
            stored = [_storable(self._large.apart(_checked(row))) for row in rows]
            with self._lock:
                self._connection.execute("BEGIN")
                self._connection.executemany(_PUT, stored)
                self._connection.execute("COMMIT")
        except BaseException:
            self._undo()
            raise

    def _undo(self) -> None:
        with self._lock:
            if self._connection.in_transaction:  # SQLite rolls back by itself after some errors
                self._connection.execute("ROLLBACK")

    def _shed(self) -> None:
        """Drop the oldest rows beyond the limit while nothing can be written."""
        if not self.problem:
            return
        size = sum(len(row.value or b"") for row in tuple(self._rows))
        while size > _KEPT:
            size -= len(self._rows.popleft().value or b"")
            self.lost += 1


def read_rows(path: Path) -> list[Row]:
    """Read the rows of a journal without their results, in order of submission.

    The file is not modified.

    Raises:
        JournalError: The file cannot be read, is in use, or is not a journal.
    """
    columns = ", ".join(name for name in Row._fields if name not in _RESULTS)
    try:
        # Without a WAL no run uses it, and it can be read without creating files beside it.
        mode = "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "immutable=1"
        connection = sqlite3.connect(f"file:{quote(str(path.absolute()))}?{mode}", uri=True)
        with closing(connection):
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version != _FORMAT:
                raise JournalError(
                    f"journal {path}: is not a journal of this version of isocline; give one, or "
                    "a directory written by `isocline run --out`"
                )
            found = connection.execute(
                f"SELECT {columns} FROM task ORDER BY submitted, rowid"
            ).fetchall()
    except sqlite3.Error as error:
        raise JournalError(
            f"journal {path}: {error}; give a journal that no run is using"
        ) from error
    rows = (dict(zip(columns.split(", "), row, strict=True)) for row in found)
    return [Row(**row | {"key": _read_key(row["key"])}) for row in rows]


def _file_at(path: Path) -> tuple[int, int] | None:
    """Device and inode of the file at a path; None if there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 - Path.stat is slower by half
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _checked(row: Row) -> Row:
    return row if row.value is None else row._replace(crc=zlib.crc32(row.value))


def _storable(row: Row) -> tuple[Any, ...]:
    """Convert a row to values for SQLite, which rejects lone surrogates, as in some file names.

    Such a key is stored as bytes, and so differs from all textual keys.
    """
    text = None if row.text is None else printable(row.text)
    return (_stored(row.key), *row._replace(node=printable(row.node), text=text)[1:])


def _stored(key: str) -> str | bytes:
    try:
        key.encode()
    except UnicodeEncodeError:
        return key.encode("utf-8", "surrogatepass")
    return key


def _read_key(stored: str | bytes) -> str:
    """Inverse of `_stored`."""
    return stored if isinstance(stored, str) else stored.decode("utf-8", "surrogatepass")


def _passes(error: Exception) -> bool:
    """Whether a write error may be temporary."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _PASSING  # higher bits are details
