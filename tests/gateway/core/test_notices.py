"""Notices for the operator: one line each for what the core decides about backends."""

import logging

import pytest

from isocline.gateway.core.actions import Cause
from isocline.gateway.core.build import core_of
from isocline.gateway.core.core import Core
from isocline.learn import Learner
from isocline.model.curves import HyperbolicCurve
from isocline.model.serving_settings import EjectionRule, Rules
from isocline.policies.parse import parse
from tests.builders import fleet
from tests.gateway.core.cores import FAST, SLOW, core, sent
from tests.gateway.proxies import ok, proxying, refusing_port, run, saying, until
from tests.gateway.refusing import World


def texts(made: Core) -> list[tuple[int, str]]:
    return [(it.backend, it.text) for it in made.take_notices()]


def fail(made: Core, times: int, now: float = 0.0) -> None:
    for _ in range(times):
        (one,) = sent(made, 1, now)
        assert one.backend == 0
        made.failed(one.request, now, Cause.RESET, sent=True, idempotent=False)


def test_an_ejection_and_the_return_name_the_reason_and_the_time() -> None:
    made = core(FAST, SLOW, ejection=EjectionRule(failures=3, first=5.0))
    fail(made, 3)
    reset = "the last one: the connection broke before the response was complete"
    assert texts(made) == [(0, f"ejected for 5 s: 3 failures in a row, {reset}")]
    assert texts(made) == []
    made.tick(5.0)
    assert texts(made) == [(0, "let in again: its time is over")]
    made.curves_changed({0: FAST}, 5.0)
    fail(made, 1, 5.0)
    assert texts(made) == [
        (0, f"ejected for 10 s: it failed again as soon as it was let in, {reset}")
    ]
    made.backend_down(1, 6.0)
    assert texts(made) == [(0, "let in again: too few others are in service")]


def test_a_share_of_failures_and_one_of_refusals_are_told_in_numbers() -> None:
    made = core(FAST, SLOW, ejection=EjectionRule(failures=99, least=10, window=20.0))
    for i in range(10):
        (one,) = sent(made, 1)
        made.finished(one.request, 0.0, status=503 if i % 2 else 200)
    text = "ejected for 5 s: 5 of 10 requests within 20 s failed, the last one: status 503"
    assert texts(made) == [(0, text)]
    curves = [HyperbolicCurve(10.0, 5.0)] * 3
    made = core(*curves)
    World(made, curves, lambda _, backend, __: 0 if backend else 500).run(150, rate=10.0)
    backend, text = texts(made)[0]
    assert backend == 0
    assert text.startswith("ejected for 5 s: it refused ")
    assert text.endswith(", the last one with status 500")


def test_drains_are_told_once() -> None:
    made = core(FAST, SLOW)
    for _ in range(2):
        made.backend_drain(0, 1.0)
    for _ in range(2):
        made.backend_undrain(0, 2.0)
    assert texts(made) == [(0, "draining: it gets no more requests"), (0, "no longer draining")]


def test_a_change_of_speed_is_told() -> None:
    fast, slow = HyperbolicCurve(40.0, 2.0), HyperbolicCurve(8.0, 2.0)
    made = core_of(fleet([fast], [0.1], [[0]]), parse("gmsr"), rules=Rules(), learner=Learner(1))
    world = World(made, [fast], lambda *_: 0).run(2000, rate=10.0)
    made.take_notices()
    world.curves = [slow]
    world.run(600, rate=3.0)
    told = texts(made)
    assert told
    assert all(backend == 0 and "of the speed that was learned" in text for backend, text in told)


def test_a_proxy_logs_a_line_for_each(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "isocline.serve.backends")

    def lines() -> list[str]:
        return [it.getMessage() for it in caplog.records if "backend b0" in it.getMessage()]

    async def scenario(port: int) -> None:
        rules = Rules(ejection=EjectionRule(failures=1, first=0.2))
        dead = f"http://127.0.0.1:{port}"
        async with proxying(dead, saying(ok()), rules=rules) as (seen, _):
            client = await seen.connect()
            for _ in range(4):
                assert (await client.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"))[0] == 200
            await until(lambda: len(lines()) >= 2)

    with refusing_port() as port:
        run(scenario(port))
    reason = "1 failure in a row, the last one: the connection was refused"
    assert lines()[:2] == [
        f"backend b0: ejected for 0.2 s: {reason}",
        "backend b0: let in again: its time is over",
    ]
    assert [it.levelno for it in caplog.records][:2] == [logging.WARNING, logging.INFO]
