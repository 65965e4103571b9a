"""Refusals are no service: who gets the requests, who is ejected, and what is learned."""

import math
from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocline.gateway.core.actions import Cause, Hold, Send
from isocline.gateway.core.build import core_of
from isocline.gateway.core.core import Core
from isocline.gateway.core.curve_feedback import CurveFeedback
from isocline.gateway.core.peer_comparison import hypergeometric_tail
from isocline.learn import Learner
from isocline.model.curves import HyperbolicCurve
from isocline.model.serving_settings import EjectionRule, RefusalRule, RetryRule, Rules
from isocline.policies.parse import parse
from isocline.policies.routing.peak_ewma import LATENCY, STAMP
from tests.builders import fleet
from tests.gateway.core.cores import FAST, SLOW, core, sent
from tests.gateway.refusing import Refuses, World

EQUAL = [HyperbolicCurve(10.0, 5.0)] * 3
ONE_IS_FAST = [HyperbolicCurve(30.0, 5.0), HyperbolicCurve(10.0, 5.0), HyperbolicCurve(10.0, 5.0)]


def always(status: int, *backends: int) -> Refuses:
    return lambda _, backend, __: status if backend in backends else 0


def world(
    curves: list[HyperbolicCurve],
    refuses: Refuses,
    policy: str = "gmsr",
    learned: bool = False,
    retry_after: float | None = None,
    rules: Rules | None = None,
) -> World:
    system = fleet(curves, [0.1], [list(range(len(curves)))])
    learner = Learner(len(curves)) if learned else None
    made = core_of(system, parse(policy), learner=learner, rules=rules)
    return World(made, curves, refuses, retry_after)


# A backend that refuses everything at once


@pytest.mark.parametrize("curves", [EQUAL, ONE_IS_FAST])
@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("policy", ["gmsr", "peak_ewma", "jsq"])
@pytest.mark.parametrize(
    ("status", "retry_after", "most", "clients_see"),
    [
        (429, None, 0.04, 0),
        (429, 5.0, 0.04, 0),
        (503, 5.0, 0.04, 0),
        (503, None, 0.07, 10),
        (404, None, 0.10, 15),
        (401, None, 0.10, 15),
        (500, None, 0.10, 15),
        (501, None, 0.10, 15),
    ],
)
def test_a_backend_that_refuses_at_once_does_not_get_the_requests(
    curves: list[HyperbolicCurve],
    learned: bool,
    policy: str,
    status: int,
    retry_after: float | None,
    most: float,
    clients_see: int,
) -> None:
    made = world(curves, always(status, 0), policy, learned, retry_after).run(150, rate=10.0)
    assert made.share(0) <= most
    assert made.statuses[status] <= clients_see
    assert made.statuses[200] == 150 - made.statuses[status]


@pytest.mark.parametrize(("status", "most"), [(500, 0.35), (404, 0.35)])
def test_two_of_three_that_refuse_leave_one_in_by_the_floor_but_do_not_get_it_all(
    status: int, most: float
) -> None:
    made = world(EQUAL, always(status, 0, 1)).run(600, rate=5.0)
    assert made.share(0) + made.share(1) <= most


def test_a_backend_that_begins_to_refuse_is_out_soon_and_comes_back_when_it_serves() -> None:
    def between(world: World, backend: int, request: int) -> int:
        return 404 if backend == 0 and 500 <= request < 1000 else 0

    made = world(EQUAL, between).run(1000, rate=10.0)
    assert made.statuses[404] <= 25  # of 500 in 50 s: on trial, one or two are enough
    assert made.ejections() >= 1
    before = made.sent[0]
    made.run(1000, rate=10.0)
    assert made.sent[0] - before >= 150  # of 1000, a third had nothing happened


# Clients that ask for what is not there


BAD_CLIENTS: dict[str, Callable[[int], bool]] = {
    "a few": lambda request: hash((request, 1)) % 20 == 0,
    "a third": lambda request: hash((request, 2)) % 3 == 0,
    "most": lambda request: hash((request, 3)) % 3 > 0,
    "all": lambda request: request > 0,
    "in turns": lambda request: request % 2 == 0,
    "by sevens": lambda request: request // 7 % 2 == 0,
    "in bursts": lambda request: request % 500 < 50,
    "after good ones": lambda request: request > 2000,
}


@pytest.mark.parametrize("bad", BAD_CLIENTS.values(), ids=BAD_CLIENTS.keys())
@pytest.mark.parametrize("curves", [EQUAL, [*ONE_IS_FAST[:2], HyperbolicCurve(3.0, 5.0)]])
@pytest.mark.parametrize("rate", [0.2, 10.0])
def test_bad_clients_eject_nobody(
    bad: Callable[[int], bool], curves: list[HyperbolicCurve], rate: float
) -> None:
    made = world(curves, lambda _, __, request: 404 if bad(request) else 0)
    assert made.run(3000, rate).ejections() == 0


def test_bad_clients_hold_up_nobody() -> None:
    """Phantoms are for policies alone: no limit counts them."""
    made = core(FAST, slow_start=1)
    for i in range(100):
        (one,) = sent(made, 1, now=0.001 * i)
        made.finished(one.request, 0.001 * i, status=404)
    assert made.workload(0, 0.1)[0] == 0
    assert isinstance(made.arrived(0.1, 0), Send)


@given(st.integers(0, 12), st.integers(0, 12), st.integers(0, 12), st.integers(0, 12))
def test_the_comparison_is_fishers_exact_test(a: int, b: int, c: int, d: int) -> None:
    """Own refused and accepted, peers' refused and accepted."""
    own, peers = a + b, c + d
    ways = [math.comb(own, k) * math.comb(peers, a + c - k) for k in range(a + c + 1)]
    exact = Fraction(sum(ways[a:]), sum(ways)) if sum(ways) else Fraction(1)
    assert hypergeometric_tail(a, own, c, peers) == pytest.approx(float(exact), rel=2e-3)


# Backends that say that they are full


def turn_away(
    made: Core, send: Send, now: float, retry_after: float | None = None, again: bool = True
) -> list[object]:
    return list(made.turned_away(send.request, now, 429, retry_after, again=again))


def test_a_request_goes_elsewhere_where_it_may_and_nobody_twice() -> None:
    made = core(FAST, FAST, SLOW)
    (one,) = sent(made, 1)
    (two,) = turn_away(made, one, 0.1, 5.0)
    (three,) = turn_away(made, two, 0.2, 5.0)  # type: ignore[arg-type]
    assert [one.backend, two.backend, three.backend] == [0, 1, 2]  # type: ignore[attr-defined]
    assert turn_away(made, three, 0.3, 5.0) == []  # type: ignore[arg-type]
    assert made.finished(one.request, 0.4, status=429) == []
    assert [made.in_flight(b) for b in range(3)] == [0, 0, 0]
    assert [made.refusals[b] for b in range(3)] == [{429: 1}] * 3


@pytest.mark.parametrize(
    ("again", "attempts"),
    [(False, 3), (True, 1)],  # its body is not at hand, or it may not be tried again
)
def test_what_may_not_go_again_is_passed_on(again: bool, attempts: int) -> None:
    made = core(FAST, SLOW, retries=RetryRule(attempts=attempts))
    (one,) = sent(made, 1)
    assert turn_away(made, one, 0.1, 5.0, again) == []
    assert made.in_flight(0) == 1  # until the response is complete
    (two,) = sent(made, 1, now=0.2)
    assert two.backend == 1
    made.finished(one.request, 0.3, status=429)
    assert made.refusals[0] == {429: 1}


@pytest.mark.parametrize(("asked", "given"), [(3.0, 3.0), (1e9, 30.0)])
@pytest.mark.parametrize("status", [429, 503])
def test_full_until_then_with_a_ceiling(asked: float, given: float, status: int) -> None:
    made = core(FAST)
    (one,) = sent(made, 1)
    assert made.turned_away(one.request, 1.0, status, asked, again=True) == []
    made.finished(one.request, 1.0, status=status)
    held = made.arrived(1.5, 0)
    assert isinstance(held, Hold)
    assert made.next_deadline() == 1.0 + given
    assert made.tick(1.0 + given) == [Send(held.request, 0, 1)]
    assert made.availability.ejections.records[0].times == 0


def test_503_without_a_time_is_a_failure_and_does_not_close() -> None:
    made = core(FAST, SLOW, ejection=EjectionRule(failures=1))
    (one,) = sent(made, 1)
    assert made.turned_away(one.request, 0.1, 503, None, again=True) == []
    made.finished(one.request, 0.2, status=503)
    assert made.availability.ejections.records[0].times == 1


def test_pauses_grow_while_nothing_is_served_and_begin_anew_after() -> None:
    made, now, pauses = core(FAST, refusals=RefusalRule(1.0, 5.0)), 0.0, []
    for serves in (False, False, False, False, True, False):
        (one,) = sent(made, 1, now)
        if serves:
            made.finished(one.request, now)
            continue
        assert turn_away(made, one, now) == []
        made.finished(one.request, now, status=429)
        held = made.arrived(now, 0)
        assert isinstance(held, Hold)
        pauses.append(made.next_deadline() - now)
        now = made.next_deadline()
        assert made.tick(now) == [Send(held.request, 0, 1)]
        made.cancelled(held.request, now)
    assert pauses == [1.0, 2.0, 4.0, 5.0, 1.0]


def test_a_backend_with_jobs_is_full_at_so_many_until_one_leaves() -> None:
    made = core(FAST)
    several = sent(made, 5)
    assert turn_away(made, several[4], 0.1) == []
    made.finished(several[4].request, 0.2, status=429)
    held = made.arrived(0.3, 0)
    assert isinstance(held, Hold)
    assert made.finished(several[0].request, 0.4) == [Send(held.request, 0, 1)]
    assert isinstance(made.arrived(0.5, 0), Hold)


def test_a_bounded_server_is_kept_full_with_few_refusals() -> None:
    """Of 4 places: what arrives beyond waits here, and is not refused there again and again."""

    def bounded(world: World, backend: int, request: int) -> int:
        return 429 if len(world.jobs[backend]) >= 4 else 0

    curves = [HyperbolicCurve(10.0, 5.0)]  # 4.4/s with 4 jobs
    made = world(curves, bounded).run(400, rate=3.5)
    assert made.statuses[200] >= 390
    assert made.statuses[429] <= 10  # one to find out, and then every half minute some


def test_those_held_meanwhile_do_not_all_come_at_once() -> None:
    made = core(FAST)
    (one,) = sent(made, 1)
    turn_away(made, one, 0.0, 2.0)
    made.finished(one.request, 0.0, status=429)
    held = [made.arrived(1.0, 0) for _ in range(20)]
    assert all(isinstance(each, Hold) for each in held)
    going, together = made.tick(2.0), []
    while going:
        together.append(len(going))
        going = [more for send in going for more in made.finished(send.request, 2.5)]
    assert together == [1, 2, 4, 8, 5]


def test_a_limit_that_nothing_reaches_does_not_grow() -> None:
    made = core(FAST)
    (one,) = sent(made, 1)
    turn_away(made, one, 0.0, 2.0)
    made.finished(one.request, 0.0, status=429)
    made.tick(2.0)
    for i in range(100):
        several = sent(made, 1 + (i > 0), now=3.0 + 0.1 * i)  # up to two at a time
        for one in several:
            made.finished(one.request, 3.0 + 0.1 * i)
    assert made.availability.limits[0] <= 4
    assert all(isinstance(made.arrived(20.0, 0), Send) for _ in range(4))
    made.tick(40.0)
    made.tick(80.0)
    assert made.next_deadline() == math.inf


def test_a_limit_that_is_not_reached_is_forgotten() -> None:
    made = core(FAST)
    several = sent(made, 3)
    assert turn_away(made, several[2], 0.0) == []
    for one in several:
        made.finished(one.request, 1.0, status=200 if one is not several[2] else 429)
    made.tick(made.next_deadline())
    assert made.next_deadline() == math.inf
    sent(made, 50, now=40.0)


def test_429_of_a_client_closes_nothing() -> None:
    made = core(FAST, SLOW, refusals=RefusalRule(too_many_requests="client"))
    (one,) = sent(made, 1)
    assert turn_away(made, one, 0.1, 5.0) == []
    made.finished(one.request, 0.2, status=429)
    assert made.availability.candidates.of(0).backends == [0, 1]
    assert made.refusals[0] == {429: 1}


def test_a_refusal_that_no_data_plane_told_of_early_closes_as_well() -> None:
    made = core(FAST, SLOW)
    (one,) = sent(made, 1)
    made.finished(one.request, 0.1, status=429)
    assert made.availability.candidates.of(0).backends == [1]


def test_what_a_backend_said_is_known_after_a_reload() -> None:
    before, after = core(FAST, SLOW), core(SLOW, FAST)
    (one,) = sent(before, 1)
    turn_away(before, one, 0.0, 20.0)
    after.availability.take_over(before.availability, {0: 1, 1: 0}, 1.0)
    assert after.availability.candidates.of(0).backends == [0]
    after.tick(20.0)
    assert after.availability.candidates.of(0).backends == [0, 1]


def test_ejections_before_a_reload_are_not_counted_again() -> None:
    before, after = core(FAST, SLOW), core(SLOW, FAST)
    before.availability.ejections.eject(0, 0.0)
    after.availability.take_over(before.availability, {0: 1, 1: 0}, 1.0)
    assert after.availability.candidates.of(0).backends == [0]  # it stays ejected
    assert [it.times for it in after.availability.ejections.records] == [0, 0]


# Nothing is learned from it


def occupied(feedback: CurveFeedback | None) -> list[tuple[int, int, float, float]]:
    """(backend, jobs, completions, s) wherever there is something, but idle."""
    assert feedback is not None
    feedback.flush()
    seen = feedback.learner.observed.occupied
    return [
        (b, n, round(float(seen.done[b, n]), 3), round(float(seen.seconds[b, n]), 3))
        for b in range(seen.done.shape[0])
        for n in range(1, seen.done.shape[1])
        if seen.seconds[b, n] > 1e-3 or seen.done[b, n] > 0
    ]


@pytest.mark.parametrize("status", [404, 429, 500])
def test_a_refusal_leaves_no_time_and_no_completion_where_it_was(status: int) -> None:
    def history(refusals: bool) -> Core:
        system = fleet([FAST], [0.1], [[0]])
        rules = Rules(refusals=RefusalRule(too_many_requests="client"))
        made = core_of(system, parse("gmsr"), rules=rules, learner=Learner(1))
        (one,) = sent(made, 1, 10.0)
        for i in range(3):
            if refusals:
                (other,) = sent(made, 1, 10.02 + 0.05 * i)
                made.finished(other.request, 10.06 + 0.05 * i, status=status)
        made.finished(one.request, 10.3)
        return made

    assert occupied(history(True).feedback) == occupied(history(False).feedback) != []


@pytest.mark.parametrize("status", [500, 501, 505])
def test_bad_requests_that_all_backends_answer_with_5xx_eject_nobody(status: int) -> None:
    made = world(EQUAL, lambda _, __, request: status if request % 3 else 0).run(300, rate=10.0)
    assert made.statuses[status] == 200
    assert made.ejections() == 0


def test_a_backend_on_trial_is_not_ejected_by_what_its_peers_refuse_as_well() -> None:
    made = core(FAST, SLOW, ejection=EjectionRule(failures=1))
    for i in range(60):
        (one,) = sent(made, 1, float(i))
        made.finished(one.request, float(i), status=500 if i % 3 else 200)
    (one,) = sent(made, 1, 100.0)
    made.failed(one.request, 100.0, Cause.RESET, sent=True, idempotent=False)
    assert made.availability.ejections.records[one.backend].times == 1
    for i in range(60):  # the peer alone
        (other,) = sent(made, 1, 101.0)
        made.finished(other.request, 101.0, status=500 if i % 3 else 200)
    made.tick(106.0)
    back = 0
    while back < 5:
        (again,) = sent(made, 1, 107.0)
        bad = again.backend == one.backend
        made.finished(again.request, 107.0, status=500 if bad else 200)
        back += bad
    assert made.availability.ejections.records[one.backend].times == 1


def test_latencies_that_policies_hear_of_are_those_of_served_requests() -> None:
    """The policy takes a peak at once, so that any later and longer one would be in its memory."""
    made = core(FAST, policy="peak_ewma")
    for stay, status in enumerate((200, 404, 429, 500), start=1):
        (one,) = sent(made, 1, 100.0 * stay)
        made.finished(one.request, 101.0 * stay, status=status)
        made.tick(100.0 * stay + 99.0)
    memory = made.policy_runtime.view.memory[0]
    assert (memory[LATENCY], memory[STAMP]) == (1.0, 101.0)


def test_what_happened_before_a_refused_request_came_is_not_counted_otherwise() -> None:
    """Clocks are coarse: a job ends, another comes and is refused, all at one instant."""

    def history(refused: bool) -> list[float]:
        made = core_of(fleet([SLOW], [1.0]), parse("gmsr"), learner=Learner(1))
        several = [send.request for send in sent(made, 3)]
        made.finished(several[0], 1.0)
        made.finished(several[1], 1.0)
        if refused:
            (fourth,) = sent(made, 1, now=1.0)
            made.finished(fourth.request, 1.0, status=404)
        made.finished(several[2], 2.0)
        assert made.feedback is not None
        made.feedback.flush()
        return list(made.feedback.learner.observed.occupied.seconds[0, 1:5])

    assert history(True) == pytest.approx(history(False), abs=1e-9)
