"""File of the access log."""

import errno
import os
import select
import sys
from pathlib import Path
from typing import final

from isocline.errors import UsageError
from isocline.gateway.serve.log import LOG
from isocline.structured_log import event


def require_writable(name: str) -> None:
    """Raise UsageError unless a file can be appended to, or created.

    Nothing is written or created.
    """
    try:
        # Opening a pipe without a reader would block; with O_NONBLOCK it fails instead.
        os.close(os.open(name, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK))
    except FileNotFoundError:
        require_folder(Path(name).parent)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise UsageError(
                f"{name} is not writable: {error.strerror}; give a writable file"
            ) from error


def require_folder(folder: Path) -> None:
    """Raise UsageError unless files can be created in a folder."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder; create it, or give another file")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"{folder} is not writable; give a file in a writable folder")


@final
class LogFile:
    """Log file to which whole lines are appended, so that lines of several processes do not mix.

    Writes to a file opened for appending are atomic, and so are writes of up to PIPE_BUF bytes to a
    pipe (POSIX, write).
    """

    def __init__(self, name: str) -> None:
        """Open the file, `-` for stdout; raises UsageError if it is not writable."""
        self._name = name
        self._descriptor = -1
        self._failing = False
        self.reopen()

    def reopen(self) -> None:
        """Reopen the file by its name (log rotation)."""
        if self._name == "-":
            self._descriptor = sys.stdout.fileno()
            return
        try:
            descriptor = os.open(self._name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        except OSError as error:
            raise UsageError(
                f"access log {self._name}: {error.strerror}; give a writable file"
            ) from error
        self.close()
        self._descriptor = descriptor

    def write(self, text: str) -> None:
        """Append lines with their line breaks; on failure they are lost, which is logged."""
        try:
            for piece in _pieces(text.encode()):
                _write_all(self._descriptor, piece)
            self._failing = False
        except OSError as error:
            if not self._failing:
                fields = event("access_log.failed", file=self._name, problem=error.strerror)
                what = "access log %s: %s; lines are lost"
                LOG.error(what, self._name, error.strerror, extra=fields)
            self._failing = True

    def flush(self) -> None:
        """Do nothing, as no lines are buffered."""

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0 and self._name != "-":
            os.close(self._descriptor)
        self._descriptor = -1


def _pieces(data: bytes) -> list[bytes]:
    """Split lines into pieces that a pipe takes atomically, at least one line each."""
    pieces: list[bytes] = []
    while len(data) > select.PIPE_BUF:
        end = data.rfind(b"\n", 0, select.PIPE_BUF) + 1 or data.find(b"\n") + 1 or len(data)
        pieces.append(data[:end])
        data = data[end:]
    return [*pieces, data]


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
