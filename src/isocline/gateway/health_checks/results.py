"""Results of health checks and polls."""

import logging
from dataclasses import dataclass, field
from typing import NamedTuple, final

from isocline.gateway.health_checks.rules import Poll
from isocline.model.serving_settings import HealthCheck
from isocline.structured_log import event

_log = logging.getLogger("isocline.serve.watch")


@final
@dataclass(slots=True)
class Count:
    """Outcomes of one kind of request to a backend; changes are logged."""

    asked: int = 0
    failed: int = 0
    problem: str = ""  # of the last one; empty: it was good

    def note(self, backend: str, what: str, problem: str) -> None:
        """Add an outcome, good if `problem` is empty; `what` was asked for, as `metrics`."""
        self.asked += 1
        self.failed += bool(problem)
        if problem and not self.problem:
            fields = event("backend.check_failed", backend=backend, check=what, problem=problem)
            _log.warning("backend %s: %s: %s", backend, what, problem, extra=fields)
        elif self.problem and not problem:
            fields = event("backend.check_recovered", backend=backend, check=what)
            _log.info("backend %s: %s: good again", backend, what, extra=fields)
        self.problem = problem


class Page(NamedTuple):
    """A metrics page: the server that was looked for, the one found, and where."""

    rule: Poll
    path: str
    server: str  # a name of `load_reports.SERVERS`


@final
@dataclass(slots=True)
class Record:
    """Results of one backend.

    Attributes:
        up: State by health checks; None before the first.
        against: Number of checks in a row with the other outcome.
        health: Outcomes of health checks.
        metrics: Outcomes of polls of its metrics.
        page: The metrics page that was found.
        announced: Last announcement about its load reports, so that it is not repeated.
    """

    up: bool | None = None
    against: int = 0
    health: Count = field(default_factory=Count)
    metrics: Count = field(default_factory=Count)
    page: Page | None = None
    announced: str = ""

    def checked(self, good: bool, rule: HealthCheck) -> bool:
        """Record a check's outcome; returns whether the backend goes up or down by it.

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
