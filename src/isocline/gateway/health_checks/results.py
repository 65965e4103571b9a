"""Results of asking one backend."""

import logging
from dataclasses import dataclass, field
from typing import NamedTuple, final

from isocline.gateway.health_checks.rules import HealthCheck, Poll

_log = logging.getLogger("isocline.serve.watch")


@final
@dataclass(slots=True)
class Count:
    """How often a backend was asked one thing; a line in the log where the outcome changes."""

    asked: int = 0
    failed: int = 0
    problem: str = ""  # of the last one; empty: it was good

    def note(self, subject: str, problem: str) -> None:
        """One more outcome, good if `problem` is empty; `subject` as `backend b1: metrics`."""
        self.asked += 1
        self.failed += bool(problem)
        if problem and not self.problem:
            _log.warning("%s: %s", subject, problem)
        elif self.problem and not problem:
            _log.info("%s: good again", subject)
        self.problem = problem


class Page(NamedTuple):
    """A metrics page: what was looked for, and what was found where."""

    rule: Poll
    path: str
    server: str  # a name of `load_reports.SERVERS`


@final
@dataclass(slots=True)
class Record:
    """Of one backend.

    Attributes:
        up: By its health checks; None as long as there was none.
        against: Checks in a row that say otherwise.
        health: Of health checks.
        metrics: Of polls of its metrics.
        page: The metrics page that it was found to have.
        said: What was last said of its load reports, so that it is not said again.
    """

    up: bool | None = None
    against: int = 0
    health: Count = field(default_factory=Count)
    metrics: Count = field(default_factory=Count)
    page: Page | None = None
    said: str = ""

    def checked(self, good: bool, rule: HealthCheck) -> bool:
        """A check had this outcome; whether the backend goes up or down by it.

        Before the first check a backend counts as up, so that a good one changes nothing.
        """
        if self.up is None:
            self.up = good
            return not good
        if good == self.up:
            self.against = 0
            return False
        self.against += 1
        if self.against < (rule.rise if good else rule.fall):
            return False
        self.up, self.against = good, 0
        return True
