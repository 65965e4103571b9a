"""Monitor: checks and polls all backends while it is open, and reports changes."""

import asyncio
import copy
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from functools import partial
from typing import Protocol, final

from isocline.errors import UsageError
from isocline.gateway.config import BackendAddress
from isocline.gateway.health_checks.polling import Polling
from isocline.gateway.health_checks.probe import Answer, Client, NoAnswerError, Probe
from isocline.gateway.health_checks.results import Record
from isocline.gateway.health_checks.rules import Checks, Poll
from isocline.model.serving_settings import HealthCheck
from isocline.plural import counted

_JITTER = 0.1  # of a period, either way: routers and backends do not stay in step
_SOON = 0.1  # of a period, within which all are asked for the first time
_HEALTH_BODY = 65_536  # bytes of a health check's answer that are read; more close the connection


class HealthEvents(Protocol):
    """Receiver of changes; backends by their numbers. Called from the event loop."""

    def backend_up(self, backend: int) -> None:
        """A backend answers its health checks again."""

    def backend_down(self, backend: int, known: bool = False) -> None:
        """A backend no longer answers its health checks; `known`: the monitor before said so."""

    def reported(self, backend: int, jobs: int, measured: float) -> None:
        """A backend held so many jobs at a time, s, of `time.monotonic()`."""

    def round_trip(self, backend: int, seconds: float) -> None:
        """A good health check of a backend took so long, s, from its request to its answer."""


@final
class Monitor:
    """Health checks and polls of backends.

        monitor = Monitor(settings.backends, Checks(), events)
        await monitor.start()
        ...
        await monitor.close()

    Attributes:
        records: Results of each backend.
    """

    def __init__(
        self,
        addresses: Sequence[BackendAddress],
        checks: Checks,
        events: HealthEvents,
        before: "Monitor | None" = None,
        client: Probe | None = None,
        announces: bool = True,
    ) -> None:
        """Make the monitor without asking backends yet.

        Args:
            addresses: Addresses of the backends.
            checks: Health checks and polls.
            events: Receives each change.
            before: Previous monitor; its results for equal addresses are taken over.
            client: Client for requests, by default over HTTP.
            announces: Log how each backend reports its load, once that is known.

        Periods are times of the running event loop.

        Raises:
            UsageError: The polls are not one for each backend, or certificates cannot be read.
        """
        if checks.polls and len(checks.polls) != len(addresses):
            backends = counted(len(addresses), "backend")
            raise UsageError(f"polls: {len(checks.polls)} for {backends}; give one for each")
        self._addresses = tuple(addresses)
        self._checks = checks
        self._events = events
        self._announces = announces
        self._client = client or Client(addresses)
        self._random = random.Random()  # when to ask: nothing that a test could want to repeat
        self._tasks: list[asyncio.Task[None]] = []
        known = before.known(checks.health) if before else {}
        self.records = [known.get(address) or Record() for address in addresses]

    def known(self, health: HealthCheck | None) -> dict[BackendAddress, Record]:
        """Records by address, of those that are checked in the same way from now on."""
        if health != self._checks.health:
            return {}
        # Copies: until it is closed the one before goes on counting for itself.
        return dict(zip(self._addresses, copy.deepcopy(self.records), strict=True))

    async def start(self) -> None:
        """Start; backends that are known to be down are reported at once."""
        await self._client.__aenter__()
        for backend, record in enumerate(self.records):
            if record.up is False:
                self._events.backend_down(backend, known=True)
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(each) for each in self._rounds()]

    async def close(self) -> None:
        """Stop."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.__aexit__(None, None, None)

    def _rounds(self) -> Iterator[Coroutine[None, None, None]]:
        health = self._checks.health
        if health:
            for backend in range(len(self._addresses)):
                yield self._repeat(health.every, partial(self._check, backend, health))
        for backend, poll in enumerate(self._checks.polls):
            if poll:
                yield self._repeat(poll.every, self._polling(backend, poll).poll)

    def _polling(self, backend: int, rule: Poll) -> Polling:
        async def fetch(path: str) -> Answer:
            return await self._client.get(backend, path, rule.timeout, rule.largest)

        name, record = self._addresses[backend].name, self.records[backend]
        on_report = partial(self._events.reported, backend)
        return Polling(rule, name, record, fetch, on_report, self._announces)

    async def _repeat(self, every: float, action: Callable[[], Awaitable[float]]) -> None:
        """Call `action` until cancelled; it returns the pause that follows, s, usually `every`."""
        loop = asyncio.get_running_loop()
        within = _SOON * every * self._random.random()
        while True:
            await asyncio.sleep(within)
            pause = every
            try:
                pause = await action()
            except Exception as defect:  # ours, or the receiver's: checks go on
                loop.call_exception_handler({"message": "asking a backend", "exception": defect})
            within = pause * self._random.uniform(1.0 - _JITTER, 1.0 + _JITTER)

    async def _check(self, backend: int, rule: HealthCheck) -> float:
        record = self.records[backend]
        problem = ""
        try:
            answer = await self._client.get(backend, rule.path, rule.timeout, _HEALTH_BODY)
            if not rule.status[0] <= answer.status <= rule.status[1]:
                problem = f"status {answer.status}"
            elif answer.round_trip is not None:  # a bad answer may be that of a proxy on the way
                self._events.round_trip(backend, answer.round_trip)
        except NoAnswerError as error:
            problem = str(error)
        record.health.note(self._addresses[backend].name, "health check", problem)
        if record.checked(not problem, rule):
            report = self._events.backend_up if record.up else self._events.backend_down
            report(backend)
        return rule.every
