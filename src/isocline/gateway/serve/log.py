"""Operator's log: lines on stderr, without secrets."""

import logging
import sys
import time
from typing import final

from isocline.gateway.serve.config import LogFormat
from isocline.structured_log import log_as_json

LOG = logging.getLogger("isocline.serve")


@final
class _LineFormatter(logging.Formatter):
    """Formatter of one line, in which characters that are not printable are escaped.

    Messages contain names of files, pods and peers, which could otherwise forge lines of the log or
    send control sequences to a terminal. Tracebacks keep their own lines.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        if not record.message.isprintable():
            each = (it if it.isprintable() else ascii(it)[1:-1] for it in record.message)
            record.message = "".join(each)
        return super().formatMessage(record)


def log_to_stderr(form: LogFormat, process: str = "") -> None:
    """Log to stderr: a line for each event, with the UTC time and the name of the process."""
    if form == "json":
        LOG.handlers[:], LOG.propagate = [], True
        log_as_json(sys.stderr, process)
    else:
        handler = logging.StreamHandler(sys.stderr)
        name = f" {process}:" if process else ""
        formatter = _LineFormatter(f"%(asctime)sZ{name} %(message)s", "%Y-%m-%dT%H:%M:%S")
        formatter.converter = time.gmtime
        handler.setFormatter(formatter)
        LOG.handlers[:], LOG.propagate = [handler], False
    LOG.setLevel(logging.INFO)
