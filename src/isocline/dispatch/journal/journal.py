"""Journal of a run, from which an interrupted run is resumed.

An SQLite file in WAL mode with a row for each task: its key, a fingerprint of function, arguments
and chunk, its state and its result. A thread of its own commits rows every 0.1 s, at most 500 in a
transaction. A process that is killed leaves a valid file; tasks that were running, or finished less
than 0.1 s before, are run again by the next one. Writes are not synchronised
with the disk at each commit: a power cut may cost more than 0.1 s, never the file.

A full disk does not stop the run. Rows that cannot be written are kept and tried again every
second, up to 64 MB of results; beyond that the oldest are dropped, and those tasks are run again by
a resumed run. The failure is logged when it begins, and `close` reports the rows that were lost. A
row that no disk would take, or that is damaged when it is read, affects its own task alone, which
is run again. A file that is deleted, moved or replaced during the run is missed at the next commit
with a warning, and `close` raises. Results that are too large for a row have files of their own in
PATH-results/.
"""

import ctypes
import hashlib
import os
import sqlite3
import threading
import zlib
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, final

from isocline.dispatch.errors import JournalError, UnwrittenError
from isocline.dispatch.forks import owned
from isocline.dispatch.journal.identity import another_python, changed
from isocline.dispatch.log import LOG
from isocline.dispatch.user_code_guard import printable, words
from isocline.plural import counted

LARGE = 1 << 20  # bytes; SQLite is the faster one up to about 0.1 MB, and takes no more than 1 GB


@final
class LargeResults:
    """Results in files of their own, in PATH-results/."""

    def __init__(self, journal: Path) -> None:
        self._directory = journal.with_name(journal.name + "-results")

    def apart(self, row: "Row") -> "Row":
        """Move a large value of a row to a file; returns the row, raises OSError."""
        if row.value is None or len(row.value) < LARGE:
            return row
        path = self._path(row.key)
        path.parent.mkdir(exist_ok=True)
        unfinished = path.with_suffix(".part")
        unfinished.write_bytes(row.value)
        unfinished.replace(path)
        return row._replace(value=None, large=len(row.value))

    def read(self, key: str, size: int) -> bytes | None:
        """Read a value; None if its file is missing or damaged."""
        try:
            value = self._path(key).read_bytes()
        except OSError:
            return None
        return value if len(value) == size else None

    def _path(self, key: str) -> Path:
        name = key.encode("utf-8", "surrogatepass")  # a file's name need not be UTF-8
        return self._directory / hashlib.blake2b(name, digest_size=16).hexdigest()


_EVERY = 0.1  # s between commits
_MOST = 500  # rows in one transaction: some 2 ms, for which a submission may have to wait
_AGAIN = 1.0  # s until the next attempt after one that failed
_KEPT = 64 << 20  # bytes of results that wait for a disk that is full
_FORMAT = 4
_TABLE = """
CREATE TABLE IF NOT EXISTS task (
    key TEXT PRIMARY KEY, fingerprint BLOB, state TEXT, attempts INTEGER, node TEXT, level TEXT,
    why TEXT, submitted REAL, started REAL, ended REAL, value BLOB, large INTEGER, text TEXT,
    crc INTEGER)
"""
_PUT = f"INSERT OR REPLACE INTO task VALUES ({', '.join('?' * 14)})"
_GET = "SELECT fingerprint, value, large, crc FROM task WHERE key = ? AND state = 'finished'"
# Errors of the disk, or of who else has the file, which may pass. All others are of one row: text
# or numbers that SQLite does not take, or a damaged page that the row would stand on.
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
    value: bytes | None = None  # pickled
    large: int | None = None  # bytes of a value that has a file of its own
    text: str | None = None  # what went wrong
    crc: int | None = None  # CRC-32 of the value, before it got a file of its own


@final
class Journal:
    """Journal of one run; no other process may write it at the same time."""

    def __init__(self, path: str | Path, resume: bool = False) -> None:
        """Open or make the file.

        Args:
            path: The file; SQLite keeps PATH-wal beside it, and large results are in PATH-results/.
            resume: Whether to continue an existing file.

        Raises:
            JournalError: The file cannot be opened, is in use, is not a journal, or has tasks
                already.
        """
        self.path = Path(path)
        self.problem: str | None = None  # why rows wait, while they do
        self.lost = 0  # results let go, as the disk stayed full or takes them never
        self._last_loss = ""
        self._said_python = False
        self._place = self.path.absolute()  # the process may change its directory
        self._large = LargeResults(self._place)
        self._taken: str | None = None  # what became of the file, if it is not at its path
        self._lock = threading.Lock()  # SQLite connections are not for two threads at once
        self._connection = self._opened(resume)
        self._file = _file_at(self._place)
        self._rows: deque[Row] = deque()
        self._closing = threading.Event()
        self._writer = threading.Thread(target=self._write, name="isocline-journal", daemon=True)
        self._writer.start()
        owned(self)

    def find(self, key: str, fingerprint: bytes, *, command: bool = False) -> bytes | None:
        """The pickled result of a task that finished in an earlier run, or None.

        It is None, too, if its data or the release of Python has changed, or the result is damaged:
        the task must run again. The fingerprint is a packed `Identity`, of a function or a shell
        `command`.

        Raises:
            JournalError: The task had another function, loader or other arguments.
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
                "begin with a journal of another name to run all tasks again"
            )
        if large is not None:
            value = self._large.read(key, large)
        if value is None or zlib.crc32(value) != crc:
            self._say_damaged(key, "its result is not as it was written")
            return None
        return value

    def note(self, row: Row) -> None:
        """Queue a row for writing; it replaces an earlier one of the same task."""
        self._rows.append(row)

    @property
    def unwritten(self) -> int:
        """Number of rows that wait to be written."""
        return len(self._rows)

    def close(self) -> None:
        """Write the remaining rows.

        Raises:
            JournalError: Some of it cannot be written.
        """
        if self._closing.is_set():
            return
        self._closing.set()
        self._writer.join()
        self._look()
        self._connection.close()
        if self._taken:
            raise UnwrittenError(
                f"journal {self.path}: {self._taken} during the run, so that nothing of the run is "
                "kept and it cannot be resumed; its results stand. Give the next run a path that "
                "nobody else uses"
            )
        missing = len(self._rows) + self.lost
        if missing:
            raise UnwrittenError(
                f"journal {self.path}: {counted(missing, 'row')} could not be written "
                f"({self.problem or self._last_loss}); "
                "their tasks will be run again if the run is resumed"
            )

    def disown(self) -> None:
        """Let go of the file in a forked child, see `forks.Forkable`.

        Closing the connection in a child would write the log back into the file while the parent
        uses it, as the child takes the parent's lock for its own. So the connection is never closed
        there, not even at the end of the interpreter.
        """
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._connection))

    def _look(self) -> None:
        """Warn, once, if the file is no longer at its path: what is written then goes nowhere."""
        file = _file_at(self._place)
        if self._taken or file == self._file:
            return
        self._taken = "was replaced by another file" if file else "was deleted or moved"
        LOG.warning(
            "journal %s: %s; the run goes on, but cannot be resumed", self.path, self._taken
        )

    def _say_python(self, python: str | None) -> None:
        """Log once that results are of another release of Python, if they are."""
        if python is not None and not self._said_python:
            self._said_python = True
            LOG.warning(
                "journal %s: was kept by %s, and byte code of functions cannot be compared between "
                "releases of Python: its tasks are run again",
                self.path,
                python,
            )

    def _say_damaged(self, key: str, why: str) -> None:
        LOG.warning(
            "journal %s: task %s is run again, as what is kept of it is damaged (%s)",
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
        # Exclusive: a second scheduler on this file would run the same tasks. The lock ends with
        # the process, however that ends.
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
        if resume:  # some pages may be damaged: each row is read when it is looked for
            return
        (rows,) = connection.execute("SELECT count(*) FROM task").fetchone()
        if rows:
            raise JournalError(
                f"journal {self.path}: has {counted(rows, 'task')} of an earlier run; give "
                "resume=True (--resume) to go on with it, or another path to begin anew"
            )

    def _unusable(self, error: sqlite3.Error) -> JournalError:
        busy = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY
        remedy = "another run uses it" if busy else "give a path to a journal or to a new file"
        return JournalError(f"journal {self.path}: {error}; {remedy}")

    def _write(self) -> None:
        """Write rows in the journal's own thread, until it is closed and all is written."""
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
        """Write rows; returns those that the disk did not take, to be tried again."""
        self._look()
        last = {row.key: row for row in batch}  # a task often starts and ends within one batch
        rows = list(last.values())
        left: list[Row] = []
        problem = None
        try:
            self._commit(rows)
        except Exception as error:  # of one of them, or of all
            if _passes(error):
                left, problem = rows, str(error)
            else:
                left, problem = self._one_by_one(rows)
        if problem and not self.problem:
            LOG.warning("journal %s: cannot be written (%s); the run goes on", self.path, problem)
        elif self.problem and not problem:
            LOG.warning("journal %s: can be written again", self.path)
        self.problem = problem
        return left

    def _one_by_one(self, rows: list[Row]) -> tuple[list[Row], str | None]:
        """Write row by row; returns those that the disk did not take, and the error."""
        left: list[Row] = []
        problem = None
        for at, row in enumerate(rows):
            try:
                self._commit([row])
            except OSError as error:  # its file; a smaller row may yet have room
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
            if self._connection.in_transaction:  # SQLite undoes it itself after some errors
                self._connection.execute("ROLLBACK")

    def _shed(self) -> None:
        """Drop the oldest rows beyond the limit, while nothing can be written."""
        if not self.problem:
            return
        size = sum(len(row.value or b"") for row in tuple(self._rows))
        while size > _KEPT:
            size -= len(self._rows.popleft().value or b"")
            self.lost += 1


def _file_at(path: Path) -> tuple[int, int] | None:
    """Device and number of the file at a path; None if there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 - Path.stat is slower by half
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _checked(row: Row) -> Row:
    return row if row.value is None else row._replace(crc=zlib.crc32(row.value))


def _storable(row: Row) -> tuple[Any, ...]:
    """Convert a row to what SQLite takes: no lone surrogates, as in file names that are not UTF-8.

    A key like that is stored as bytes, so that it is another than all that are text.
    """
    text = None if row.text is None else printable(row.text)
    return (_stored(row.key), *row._replace(node=printable(row.node), text=text)[1:])


def _stored(key: str) -> str | bytes:
    try:
        key.encode()
    except UnicodeEncodeError:
        return key.encode("utf-8", "surrogatepass")
    return key


def _passes(error: Exception) -> bool:
    """Whether an error of writing may pass."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _PASSING  # the rest of it are details
