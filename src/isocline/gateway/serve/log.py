"""Operator's log: lines on stderr, free of secrets."""

import logging
import sys
import time

LOG = logging.getLogger("isocline.serve")


def log_to_stderr(process: str = "") -> None:
    """Log to stderr, a line for each event, with the time in UTC and the name of the process."""
    handler = logging.StreamHandler(sys.stderr)
    name = f" {process}:" if process else ""
    formatter = logging.Formatter(f"%(asctime)sZ{name} %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    LOG.handlers[:] = [handler]
    LOG.setLevel(logging.INFO)
    LOG.propagate = False
