"""Polls of one backend's metrics page, and detection of the page where the server is not given.

A backend may be down at the start, come back as another server, or answer with anything at all. So
the page that was found is kept until it fails, and then looked for anew. A backend that answers and
has no known page is asked ever less often: it may be a public service.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Protocol, final

from isocline.gateway.health_checks.probe import Answer, NoAnswerError
from isocline.gateway.health_checks.results import Page, Record
from isocline.gateway.health_checks.rules import Poll
from isocline.gateway.load_reports import SERVERS, ReportError, jobs_in_metrics, server_of
from isocline.structured_log import event

_log = logging.getLogger("isocline.serve.watch")

_OK, _NOT_IMPLEMENTED, _TOO_MANY = 200, 501, 429
# s, at most, between two looks for a page at a backend that has none, and by how much they grow.
_SELDOM, _GROWS = 60.0, 2.0


class NoPageError(NoAnswerError):
    """A backend has answered, but has no known metrics page."""


class Fetch(Protocol):
    """GET a path, or a URL; raises NoAnswerError."""

    def __call__(self, path: str) -> Awaitable[Answer]: ...


@final
class Polling:
    """Polls of one backend."""

    def __init__(
        self,
        rule: Poll,
        name: str,
        record: Record,
        fetch: Fetch,
        on_report: Callable[[int, float], None],
        announces: bool = True,
    ) -> None:
        """Initialise without polling yet.

        Args:
            rule: Poll and its period.
            name: Name of the backend.
            record: Record of the backend, which is updated.
            fetch: Requests a page.
            on_report: Called with (jobs, time of the report, s of the clock of `fetch`).
            announces: Whether to log which page is found.
        """
        self._rule = rule
        self._name = name
        self._record = record
        self._fetch = fetch
        self._on_report = on_report
        self._announces = announces
        self._pause = rule.every

    async def poll(self) -> float:
        """Poll once, and report; returns the pause before the next poll, s."""
        record, every = self._record, self._rule.every
        name, pause, self._pause = self._name, self._pause, every
        try:
            jobs, measured = await self._jobs()
        except NoPageError as error:
            record.page = None
            if self._rule.server == "auto":
                record.metrics.asked += 1
                self._announce(f"{error}: own counts, and what responses say")
                self._pause = max(min(_GROWS * pause, _SELDOM), every)
            else:
                record.metrics.note(name, "metrics", str(error))
        except (NoAnswerError, ReportError) as error:
            record.page = None
            record.metrics.note(name, "metrics", str(error))
        else:
            record.metrics.note(name, "metrics", "")
            if record.page is not None:
                self._announce(f"{SERVERS[record.page.server].title}, polled every {every:g} s")
            self._on_report(jobs, measured)
        return self._pause

    async def _jobs(self) -> tuple[int, float]:
        """Return (jobs, time of that count); raises NoAnswerError and ReportError."""
        page = self._record.page
        if page is None or page.rule != self._rule:
            page, answer, text = await self._find()
        else:
            answer = await self._fetch(page.path)
            text = self._text(page.path, answer)
        jobs = jobs_in_metrics(text, page.server)
        if jobs is None:
            title = SERVERS[page.server].title
            raise ReportError(
                f"{page.path} has none of {title}'s metrics for jobs that run or wait; "
                "give report: auto, or report: orca to poll nothing"
            )
        self._record.page = page
        return jobs, answer.measured

    async def _find(self) -> tuple[Page, Answer, str]:
        """Find the backend's page; raises NoAnswerError."""
        rule, problems = self._rule, list[str]()
        for path in rule.paths:
            answer = await self._fetch(path)
            if rule.server != "auto":
                return Page(rule, path, rule.server), answer, self._text(path, answer)
            try:
                text = self._text(path, answer)
            except NoPageError as error:
                problems.append(str(error))
                continue
            server = server_of(text)
            if server is not None:
                return Page(rule, path, server.name), answer, text
            problems.append(f"{path} is not the page of a known server")
        raise NoPageError(f"no metrics page ({', '.join(problems)})")

    def _text(self, path: str, answer: Answer) -> str:
        """Return a page's text; raises NoAnswerError, NoPageError if a quick retry is useless."""
        status = answer.status
        if (status >= 500 and status != _NOT_IMPLEMENTED) or status == _TOO_MANY:
            raise NoAnswerError(f"{path}: status {status}")  # it is starting, or busy
        if status != _OK:
            raise NoPageError(f"{path}: status {status}")
        if answer.body is None:
            raise NoPageError(f"{path} has more than {self._rule.largest} bytes")
        return answer.body.decode(errors="replace")

    def _announce(self, text: str) -> None:
        if text != self._record.announced:
            self._record.announced = text
            _log.log(
                logging.INFO if self._announces else logging.DEBUG,
                "backend %s: %s",
                self._name,
                text,
                extra=event("backend.load_report_found", backend=self._name),
            )
