"""When a watch asks, and what it makes of the answers, in virtual time."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import pytest

from isocline.gateway.config import BackendAddress
from isocline.gateway.health_checks import Checks, HealthCheck, Monitor, Poll
from isocline.gateway.health_checks.probe import Answer, NoAnswerError
from tests.virtual_time import run_virtually

SECOND = HealthCheck(every=1.0, timeout=10.0)
PAGE = b"vllm:num_requests_running 1\nvllm:num_requests_waiting 2\n"
GOOD, SICK = Answer(200, PAGE, 0.0), Answer(503, b"", 0.0)


def now() -> float:
    return asyncio.get_running_loop().time()


@dataclass
class Scripted:
    """In place of HTTP: backend b's n-th answer is `script(b, n)`, after `takes` s."""

    script: Callable[[int, int], Answer]
    takes: Callable[[int], float] = lambda _: 0.0
    asked: list[tuple[int, float]] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: Any) -> None:
        pass

    async def get(self, backend: int, path: str, timeout: float, largest: int) -> Answer:  # noqa: ARG002
        begin = now()
        self.asked.append((backend, begin))
        number = sum(one == backend for one, _ in self.asked)
        await asyncio.sleep(min(self.takes(backend), timeout))
        if self.takes(backend) > timeout:
            raise NoAnswerError("too late")
        return self.script(backend, number)._replace(measured=(begin + now()) / 2)


@dataclass
class Heard:
    """The news: what, of which backend, and after how many questions to it."""

    client: Scripted
    health: list[tuple[str, int, int]] = field(default_factory=list)
    reports: list[tuple[int, float]] = field(default_factory=list)

    def backend_up(self, backend: int) -> None:
        self.health.append(("up", backend, self._questions(backend)))

    def backend_down(self, backend: int, known: bool = False) -> None:
        assert not known  # as no monitor was before
        self.health.append(("down", backend, self._questions(backend)))

    def reported(self, backend: int, jobs: int, measured: float) -> None:
        assert jobs == 3
        self.reports.append((backend, measured))

    def round_trip(self, backend: int, seconds: float) -> None:
        """None is told: the answers here have no time."""

    def _questions(self, backend: int) -> int:
        return sum(one == backend for one, _ in self.client.asked)


@asynccontextmanager
async def watching(
    checks: Checks, client: Scripted, backends: int = 1
) -> AsyncIterator[tuple[Monitor, Heard]]:
    heard = Heard(client)
    addresses = [BackendAddress(f"b{i}", f"http://h:{i + 1}") for i in range(backends)]
    watch = Monitor(addresses, checks, heard, client=client)
    await watch.start()
    try:
        yield watch, heard
    finally:
        await watch.close()


def test_rise_and_fall() -> None:
    """good, 2 bad: nothing; good, 3 bad: down; good, bad: nothing; 2 good: up."""
    answers = [GOOD, SICK, SICK, GOOD, SICK, SICK, SICK, GOOD, SICK, GOOD, GOOD]

    async def scenario() -> None:
        client = Scripted(lambda _, n: answers[min(n, len(answers)) - 1])
        async with watching(Checks(SECOND), client) as (watch, heard):
            await asyncio.sleep(100.0)
            assert heard.health == [("down", 0, 7), ("up", 0, 11)]
            assert watch.records[0].health.failed == 6

    run_virtually(scenario())


@pytest.mark.parametrize("first", [GOOD, SICK])
def test_the_first_check_decides_at_once(first: Answer) -> None:
    async def scenario() -> None:
        client = Scripted(lambda *_: first)
        async with watching(Checks(SECOND), client) as (_, heard):
            await asyncio.sleep(3600.0)
            assert heard.health == [("down", 0, 1)] * (first is SICK)

    run_virtually(scenario())


def test_flapping_is_told_never_and_logged_once_per_change(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Every other check is bad: with the defaults such a backend stays up."""

    async def scenario() -> None:
        client = Scripted(lambda _, n: GOOD if n % 2 else SICK)
        async with watching(Checks(SECOND), client) as (watch, heard):
            while watch.records[0].health.asked < 20:
                await asyncio.sleep(0.5)
            assert heard.health == []
            assert watch.records[0].health.failed == 10

    with caplog.at_level(logging.INFO, "isocline.serve.watch"):
        run_virtually(scenario())
    levels = Counter(it.levelname for it in caplog.records)
    assert levels == {"WARNING": 10, "INFO": 9}


def test_each_is_asked_about_once_a_period_and_not_all_at_the_same_time() -> None:
    """The first time within a tenth of a period; then every 0.9 to 1.1 periods, evenly drawn."""

    async def scenario() -> Scripted:
        client = Scripted(lambda *_: GOOD)
        async with watching(Checks(SECOND), client, backends=30):
            await asyncio.sleep(200.0)
        return client

    asked = run_virtually(scenario()).asked
    times = [np.array([at for one, at in asked if one == b]) for b in range(30)]
    first = np.array([each[0] for each in times])  # from 0 on
    assert (first <= 0.1).all()
    assert first.std() > 0.01  # of 0.029 expected
    gaps = np.concatenate([np.diff(each) for each in times])
    assert gaps.min() >= 0.9 - 1e-9
    assert gaps.max() <= 1.1 + 1e-9
    assert gaps.mean() == pytest.approx(1.0, abs=4 * 0.058 / np.sqrt(gaps.size))
    last = np.array([each[-1] for each in times])
    assert last.std() > 0.1  # they are out of step by now


def test_a_backend_that_hangs_keeps_no_other_waiting() -> None:
    async def scenario() -> None:
        client = Scripted(lambda *_: GOOD, takes=lambda b: 1e9 if b else 0.0)
        async with watching(Checks(SECOND), client, backends=61) as (watch, heard):
            await asyncio.sleep(110.0)
            assert 99 <= watch.records[0].health.asked <= 123
            assert watch.records[0].health.failed == 0
            assert sorted(one for _, one, _ in heard.health) == list(range(1, 61))
            for record in watch.records[1:]:  # each waits 10 s for an answer, and then a period
                assert 9 <= record.health.failed <= 11

    run_virtually(scenario())


def test_a_poll_tells_how_many_and_when() -> None:
    async def scenario() -> None:
        client = Scripted(lambda *_: GOOD, takes=lambda _: 4.0)
        polls = Checks(None, (Poll(server="vllm", every=1.0, timeout=10.0),))
        async with watching(polls, client) as (watch, heard):
            await asyncio.sleep(100.0)
            assert watch.records[0].metrics.failed == 0
            assert heard.health == []  # nobody asked for checks
        begun = [at for _, at in client.asked]
        measured = [at for _, at in heard.reports]
        assert len(measured) >= 18  # one in 5 s
        assert measured == pytest.approx([at + 2.0 for at in begun[: len(measured)]])

    run_virtually(scenario())
