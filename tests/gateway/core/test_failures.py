"""What the core does about failures, case by case."""

import pytest

from isocline.gateway.core.actions import Action, Cause, Close, Hold, Reject, Send
from isocline.gateway.core.core import Core
from isocline.model.serving_settings import EjectionRule, RetryRule
from tests.gateway.core.cores import FAST, SLOW, SMALL, core, sent


def fail(made: Core, send: Action, now: float = 0.0, **how: bool) -> list[Action]:
    assert isinstance(send, Send)
    given = {"sent": False, "idempotent": False, **how}
    return made.failed(send.request, now, Cause.CONNECT, **given)


def test_what_was_not_sent_is_tried_elsewhere() -> None:
    made = core(FAST, SLOW)
    (one,) = sent(made, 1)
    assert fail(made, one) == [Send(one.request, 1, 2)]
    assert made.in_flight(0) == 0
    assert made.in_flight(1) == 1


@pytest.mark.parametrize(
    ("how", "again"),
    [
        ({"sent": True, "idempotent": True}, True),
        ({"sent": True, "idempotent": False}, False),
        ({"sent": False, "idempotent": False, "started": True}, False),
    ],
)
def test_nothing_happens_twice(how: dict[str, bool], again: bool) -> None:
    made = core(FAST, SLOW)
    (one,) = sent(made, 1)
    (action,) = fail(made, one, **how)
    assert isinstance(action, Send) is again
    if how.get("started"):
        assert isinstance(action, Close)


@pytest.mark.parametrize("cause", list(Cause))
def test_clients_are_told_who_was_late(cause: Cause) -> None:
    made = core(FAST)
    (one,) = sent(made, 1)
    (action,) = made.failed(one.request, 1.0, cause, sent=True, idempotent=False)
    assert isinstance(action, Reject)
    assert action.status == (504 if "TIMEOUT" in cause.name else 502)
    assert action.reason == cause.reason


def test_attempts_end_and_the_same_backend_may_be_tried_again() -> None:
    made = core(FAST, retries=RetryRule(attempts=3))
    (one,) = sent(made, 1)
    (two,) = fail(made, one)
    assert two == Send(one.request, 0, 2)
    (three,) = fail(made, two)
    (end,) = fail(made, three)
    assert isinstance(end, Reject)
    assert end.status == 502


def test_the_budget_bounds_retries() -> None:
    rule = RetryRule(attempts=2, share=0.2, least=1.0, window=10.0)
    made = core(FAST, SLOW, retries=rule, ejection=EjectionRule(failures=10_000, least=10_000))
    retried = 0
    for i in range(1000):
        (one,) = sent(made, 1, now=0.001 * i)
        (action,) = fail(made, one, now=0.001 * i)
        retried += isinstance(action, Send)
        if isinstance(action, Send):
            made.finished(action.request, 0.001 * i)
    # A fifth of 1000, and the ten that `least` saves up.
    assert retried == pytest.approx(210, abs=6)


def test_failures_in_a_row_eject_and_intervals_grow() -> None:
    rule = EjectionRule(failures=3, first=5.0, longest=20.0)
    made = core(FAST, SLOW, ejection=rule, retries=RetryRule(attempts=1))
    now, lengths = 0.0, []
    for failures in (3, 1, 1, 1):  # on trial, one is enough
        for _ in range(failures):
            made.curves_changed({0: FAST}, now)
            (one,) = sent(made, 1, now)
            assert one.backend == 0
            fail(made, one, now)
        assert [made.arrived(now, 0).backend for _ in range(3)] == [1, 1, 1]  # type: ignore[union-attr]
        lengths.append(made.next_deadline() - now)
        now = made.next_deadline()
        made.tick(now)
    assert lengths == [5.0, 10.0, 20.0, 20.0]
    # A success ends the trial; after a time as long as the last one out, intervals start anew.
    (one,) = sent(made, 1, now)
    made.finished(one.request, now)
    now += 21.0
    for _ in range(3):
        (one,) = sent(made, 1, now)
        fail(made, one, now)
    assert made.next_deadline() - now == 5.0


def test_failing_half_the_time_ejects() -> None:
    made = core(FAST, SLOW, ejection=EjectionRule(failures=99, rate=0.5, least=10))
    for i in range(10):
        (one,) = sent(made, 1)
        assert one.backend == 0
        made.finished(one.request, 0.0, status=503 if i % 2 else 200)
    assert sent(made, 1)[0].backend == 1


@pytest.mark.parametrize("status", [500, 503])
def test_the_last_backends_stay_in(status: int) -> None:
    made = core(FAST, neighbours=[[0]], ejection=EjectionRule(failures=1))
    for _ in range(50):
        (one,) = sent(made, 1)
        made.finished(one.request, 0.0, status=status)
    assert sent(made, 1)[0].backend == 0


def test_an_ejected_backend_is_needed_when_the_other_goes_down() -> None:
    made = core(FAST, SLOW, ejection=EjectionRule(failures=1))
    (one,) = sent(made, 1)
    made.finished(one.request, 0.0, status=502)
    assert sent(made, 1)[0].backend == 1
    made.backend_down(1, 1.0)
    assert sent(made, 1)[0].backend == 0


def test_with_none_up_clients_hear_at_once_and_the_held_wait_on() -> None:
    made = core(SMALL)
    sent(made, 2)
    assert isinstance(made.arrived(0.0, 0), Hold)
    made.backend_down(0, 1.0)
    refused = made.arrived(1.0, 0)
    assert isinstance(refused, Reject)
    assert (refused.status, refused.retry_after) == (503, 5.0)
    assert made.cancelled(1, 2.0) == []
    assert made.backend_up(0, 3.0) == [Send(3, 0)]


def test_a_drained_backend_gets_nothing_until_its_drain_ends() -> None:
    made = core(FAST, SLOW)
    (one,) = sent(made, 1)
    made.backend_drain(0, 1.0)
    assert sent(made, 1, 1.0)[0].backend == 1
    assert made.in_flight(0) == 1
    made.finished(one.request, 2.0)
    assert made.in_flight(0) == 0
    made.backend_down(0, 3.0)
    made.backend_up(0, 4.0)  # by its health checks: the drain is the operator's
    assert sent(made, 1, 4.0)[0].backend == 1
    made.backend_undrain(0, 5.0)
    assert sent(made, 1, 5.0)[0].backend == 0


def test_a_backend_that_comes_back_starts_slowly() -> None:
    made = core(FAST, SLOW, slow_start=3)
    made.backend_down(0, 0.0)
    made.backend_up(0, 1.0)
    (one, other) = sent(made, 2, 1.0)
    assert [one.backend, other.backend] == [0, 1]
    made.finished(one.request, 2.0)
    assert [s.backend for s in sent(made, 3, 2.0)] == [0, 0, 1]
