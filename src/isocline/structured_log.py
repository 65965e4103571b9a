"""Structured log: one JSON object a line, with a stable name for each event.

Records of the standard library's logging carry name and fields as `extra=event(...)`; whoever reads
the text is not concerned. Once `log_as_json` was called, all that the process says on the stream is
JSON: other loggers, warnings and uncaught exceptions, too.
"""

import json
import logging
import math
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, TextIO, final

_LEVELS = {"WARNING": "warning", "CRITICAL": "fatal"}
_LOG = logging.getLogger("isocline")
_json_handlers: list[logging.Handler] = []


def event(name: str, **fields: Any) -> Mapping[str, Any]:
    """`extra` of a log record: the event's name, as `backend.ejected`, and its fields."""
    return {"event": name, "fields": fields}


@final
class JsonFormatter(logging.Formatter):
    """Formatter of log records as JSON objects, each on one line.

    Keys: `time` (RFC 3339, UTC), `level`, `event`, `message`, then `process` if it has a name, the
    event's fields, and those of an exception by OpenTelemetry's names.
    """

    def __init__(self, process: str = "") -> None:
        """Initialise; `process` names one of several processes."""
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        found: dict[str, Any] = {
            "time": _rfc3339(record.created),
            "level": _LEVELS.get(record.levelname, record.levelname.lower()),
            "event": getattr(record, "event", record.name),
            "message": record.getMessage(),
        }
        if self._process:
            found["process"] = self._process
        for key, value in getattr(record, "fields", {}).items():
            found.setdefault(key, _plain(value))
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            found["exception.type"] = type(error).__name__
            found["exception.message"] = str(error)
            found["exception.stacktrace"] = self.formatException(record.exc_info)
        return json.dumps(found)


@contextmanager
def logging_as_json(stream: TextIO, process: str = "") -> Iterator[None]:
    """`log_as_json` for the length of a `with`, as of a verb in a process that goes on."""
    root = logging.getLogger()
    before = list(_json_handlers), list(root.handlers), _LOG.level
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    log_as_json(stream, process)
    try:
        yield
    finally:
        _json_handlers[:], root.handlers[:] = before[0], before[1]
        _LOG.setLevel(before[2])
        logging.captureWarnings(False)
        sys.excepthook, threading.excepthook, sys.unraisablehook = hooks


def log_as_json(stream: TextIO, process: str = "") -> None:
    """Write all logs, warnings and uncaught exceptions of this process to `stream` as JSON."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter(process))
    _json_handlers[:] = [handler]
    logging.getLogger().handlers[:] = [handler]
    _LOG.setLevel(logging.INFO)
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    threading.excepthook = lambda it: _uncaught(it.exc_type, it.exc_value, it.exc_traceback)
    sys.unraisablehook = lambda it: _uncaught(it.exc_type, it.exc_value, it.exc_traceback)


def log_event(message: str, name: str, level: int = logging.INFO, **fields: Any) -> None:
    """Log an event of a verb itself."""
    _LOG.log(level, "%s", message, extra=event(name, **fields))


def logs_json() -> bool:
    """Whether `log_as_json` was called."""
    return bool(_json_handlers)


def _uncaught(
    kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
) -> None:
    found = (kind, error, trace) if error is not None else None
    _LOG.critical("%s: %s", kind.__name__, error, exc_info=found, extra=event("crashed"))


def _rfc3339(seconds: float) -> str:
    """Format a time, s since 1970, to the ms."""
    whole = math.floor(seconds)
    date = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
    return f"{date}.{int(1e3 * (seconds - whole)):03d}Z"


def _plain(value: Any) -> Any:
    """Convert a field to what JSON has: no NaN, no other types."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    return value if value is None or isinstance(value, str | int) else str(value)
