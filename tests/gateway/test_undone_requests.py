"""Nothing is learned from requests that left before their backend had done them."""

from collections.abc import Callable

import numpy as np
import pytest

from isocline.gateway.core.actions import Cause, Send
from isocline.gateway.core.build import core_of
from isocline.gateway.core.core import Core
from isocline.gateway.core.request_cost import ClassWork, Usage, measure_of
from isocline.learn import Learner, Learning
from isocline.model.curves import KneeCurve
from isocline.model.fleet import Work
from isocline.policies.parse import parse
from tests.builders import fleet

CURVE = KneeCurve(400.0, 4.0, 3.0)  # tokens/s
MEAN = 40  # tokens
RATE = 7.0  # requests/s: 5 are served and a third goes before its end
Leaves = Callable[[Core, int, float], object]


def cancelled(core: Core, request: int, now: float) -> object:
    return core.cancelled(request, now)


def broken(core: Core, request: int, now: float) -> object:
    return core.failed(request, now, Cause.RESET, sent=True, idempotent=False, started=True)


def upgraded(core: Core, request: int, now: float) -> object:
    return core.finished(request, now, latency_known=False)


def refused_late(core: Core, request: int, now: float) -> object:
    return core.finished(request, now, status=400)


def learner_after(leaves: Leaves, unit: str, share: float, seed: int, requests: int = 4000) -> Core:
    """A core before one backend under processor sharing; a share of requests leaves half-way."""
    rng = np.random.default_rng(seed)
    system = fleet([CURVE], [RATE])
    measure = None
    if unit == "tokens":
        measure = measure_of("tokens", [ClassWork(0.0, 1.0)], 1, Work())
    learner = Learner(1, Learning(), unit=10.0)
    core = core_of(system, parse("jsq"), learner=learner, measure=measure)
    now = tick = 0.0
    arrives = rng.exponential(1.0 / RATE)
    held: list[list[float]] = []  # request, tokens left until it ends or leaves, tokens, 1: it ends
    came = 0
    while came < requests or held:
        each = float(CURVE.rate(len(held))) / len(held) if held else 0.0
        first = min(held, key=lambda job: job[1], default=None)
        ends = now + first[1] / each if first else np.inf
        then = min(ends, arrives)
        for job in held:
            job[1] -= (then - now) * each
        now = then
        if now > tick:
            core.tick(now)
            tick = now + 0.05
        if first is not None and ends <= arrives:
            held.remove(first)
            number, tokens = int(first[0]), int(first[2])
            if first[3]:
                core.finished(number, now, usage=Usage(0, tokens))
            else:
                leaves(core, number, now)
        else:
            tokens = MEAN if unit == "requests" else int(rng.integers(10, 2 * MEAN - 9))
            done = rng.random() >= share
            until = tokens if done else rng.uniform(0.3, 0.9) * tokens
            action = core.arrived(now, 0)
            assert isinstance(action, Send)
            held.append([action.request, until, tokens, float(done)])
            came += 1
            arrives = now + rng.exponential(1.0 / RATE) if came < requests else np.inf
    return core


def overrated(core: Core, unit: str) -> float:
    """Learned over true completions, in the time spent at 1 to 8 jobs."""
    assert core.feedback is not None
    counts = core.feedback.counts(0)
    levels = [n for n in counts if 1 <= n <= 8]
    work = core.feedback.mean_work if unit == "tokens" else MEAN
    due = sum(counts[n][1] * float(CURVE.rate(n)) / work for n in levels)
    return sum(counts[n][0] for n in levels) / due


@pytest.mark.parametrize("unit", ["requests", "tokens"])
@pytest.mark.parametrize("leaves", [cancelled, broken, upgraded, refused_late])
def test_what_leaves_undone_lowers_no_curve(leaves: Leaves, unit: str) -> None:
    core = learner_after(leaves, unit, 0.35, 1)
    # 2600 completions of equal work are known to 2 %, of unequal to 2.5 %.
    assert overrated(core, unit) == pytest.approx(1.0, abs=0.05)
    assert core.feedback is not None
    assert core.feedback.learner.changes == []


@pytest.mark.parametrize("unit", ["requests", "tokens"])
def test_nor_does_it_where_all_end(unit: str) -> None:
    """The twin: the same without any that leave, by the same measure."""
    assert overrated(learner_after(cancelled, unit, 0.0, 2), unit) == pytest.approx(1.0, abs=0.05)


def test_its_presence_counts() -> None:
    """Beside a client that stays and then goes, the others are served at two jobs each."""
    core = core_of(fleet([CURVE], [RATE]), parse("jsq"), learner=Learner(1))
    core.arrived(0.0, 0)
    for i in range(20):
        action = core.arrived(float(i), 0)
        assert isinstance(action, Send)
        core.finished(action.request, i + 1.0)
        core.tick(i + 1.0)
    core.cancelled(1, 20.0)
    core.tick(20.0)
    assert core.feedback is not None
    counts = core.feedback.counts(0)
    assert counts.get(1, (0.0, 0.0)) == pytest.approx((0.0, 0.0), abs=1e-4)
    # Half of the 20 s at two jobs is the share of those that were served.
    assert counts[2] == pytest.approx((20.0, 10.0), rel=1e-3)


@pytest.mark.parametrize("cause", [Cause.TOTAL_TIMEOUT, Cause.IDLE_TIMEOUT])
def test_a_backend_that_hangs_is_not_thought_to_be_fast(cause: Cause) -> None:
    core = core_of(fleet([CURVE], [RATE]), parse("jsq"), learner=Learner(1))
    assert isinstance(core.arrived(0.0, 0), Send)
    core.failed(1, 50.0, cause, sent=True, idempotent=False)
    assert core.feedback is not None
    assert core.feedback.counts(0)[1] == pytest.approx((0.0, 50.0))


NEVER_THERE = [Cause.UNRESOLVED, Cause.UNREACHABLE, Cause.TLS, Cause.LOCAL]


@pytest.mark.parametrize("cause", NEVER_THERE)
def test_what_never_got_a_connection_was_never_there(cause: Cause) -> None:
    core = core_of(fleet([CURVE], [RATE]), parse("jsq"), learner=Learner(1))
    assert isinstance(core.arrived(0.0, 0), Send)
    core.failed(1, 0.2, cause, sent=False, idempotent=False)
    assert core.feedback is not None
    assert 1 not in core.feedback.counts(0)
