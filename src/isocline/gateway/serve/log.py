"""Operator's log: lines on stderr, free of secrets."""

import logging
import sys
import time

LOG = logging.getLogger("isocline.serve")


def log_to_stderr(who: str = "") -> None:
    """Log to stderr, one line each, with the time in UTC; `who` names the process."""
    handler = logging.StreamHandler(sys.stderr)
    mark = f" {who}:" if who else ""
    form = logging.Formatter(f"%(asctime)sZ{mark} %(message)s", "%Y-%m-%dT%H:%M:%S")
    form.converter = time.gmtime
    handler.setFormatter(form)
    LOG.handlers[:] = [handler]
    LOG.setLevel(logging.INFO)
    LOG.propagate = False
