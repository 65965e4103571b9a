"""Notices of the core for the operator: which backends it leaves alone, and why.

The core collects them, as it writes nothing itself; a data plane takes them and logs a line each.
"""

import logging
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from isocline.structured_log import event

_log = logging.getLogger("isocline.serve.backends")


OF_POLICY = -1  # in place of a backend's number: the policy's own error


class Notice(NamedTuple):
    """Notice of a decision about a backend, of a change that was found, or of a policy's error."""

    backend: int
    text: str  # follows the backend's name
    grave: bool = False  # it takes capacity away
    event: str = "backend.noticed"  # its name in a structured log


def log(notices: Iterable[Notice], names: Sequence[str]) -> None:
    """Log a line for each notice, with the backend's name."""
    for notice in notices:
        level = logging.WARNING if notice.grave else logging.INFO
        if notice.backend == OF_POLICY:
            _log.log(level, "%s", notice.text, extra=event(notice.event))
        else:
            name = names[notice.backend]
            extra = event(notice.event, backend=name)
            _log.log(level, "backend %s: %s", name, notice.text, extra=extra)
