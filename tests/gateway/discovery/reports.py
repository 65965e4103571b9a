"""Recorder of what a source reports."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import final

from isocline.gateway.discovery.source import Source
from isocline.model.endpoint import Endpoint

PATIENCE = 60.0  # s for anything that should happen, on a busy machine


@final
class Recorded:
    """All reports, with the loop's time of each."""

    def __init__(self) -> None:
        self.said: list[tuple[float, list[str] | str]] = []
        self.last: list[Endpoint] = []
        self._more = asyncio.Event()

    def found(self, endpoints: Sequence[Endpoint]) -> None:
        self.last = list(endpoints)
        self._say([it.name for it in endpoints])

    def failed(self, problem: str) -> None:
        self._say(problem)

    async def until(self, names: Sequence[str]) -> None:
        """Wait until these are the endpoints."""
        async with asyncio.timeout(PATIENCE):
            while [it.name for it in self.last] != list(names) or not self.said:
                await self._next()

    async def failure(self, words: str, since: int = 0) -> str:
        """Wait for a failure that says this, among the reports from number `since` on."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for _, what in self.said[since:]:
                    if isinstance(what, str) and words in what:
                        return what
                await self._next()

    async def _next(self) -> None:
        self._more.clear()
        await self._more.wait()

    def _say(self, what: list[str] | str) -> None:
        self.said.append((asyncio.get_running_loop().time(), what))
        self._more.set()


@final
class Running:
    """A source that runs within `async with`."""

    def __init__(self, source: Source) -> None:
        self._source = source

    async def __aenter__(self) -> Recorded:
        reports = Recorded()
        self._task = asyncio.get_running_loop().create_task(self._source.run(reports))
        return reports

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
