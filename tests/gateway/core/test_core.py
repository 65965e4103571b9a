"""What the core decides, case by case."""

import heapq
import math

import pytest

from isocline.errors import PolicyError, UsageError
from isocline.gateway.core.actions import Cause, Hold, Reject, Send
from isocline.gateway.core.build import core_of
from isocline.gateway.core.notices import OF_POLICY
from isocline.gateway.serve.worker_core import rehearse
from isocline.learn import Learner
from isocline.model.curves import HyperbolicCurve
from isocline.model.serving_settings import EjectionRule, HoldingRule, RetryRule, Rules
from isocline.policies.parse import parse
from tests.builders import fleet
from tests.gateway.core.cores import FAST, SLOW, SMALL, core, sent

QUICK = HyperbolicCurve(30.0, 2.0)

# N as it is known


def test_jobs_go_where_the_marginal_rate_is_greatest() -> None:
    made = core(FAST, SLOW)
    backends = [send.backend for send in sent(made, 20)]
    # 480 / (N + 12)^2 falls below 30 / 25 at N = 8.
    assert backends[:9] == [0] * 9
    assert 1 in backends[9:]
    assert made.workload(0, 0.0) == (backends.count(0), math.inf)


def test_a_report_adds_what_others_have_there() -> None:
    made = core(FAST, SLOW)
    first = sent(made, 3)
    assert made.reported(0, 1.0, jobs=10) == []
    assert made.workload(0, 1.5) == (10, 0.5)
    made.arrived(2.0, 0)  # to 1, as 0 has 10
    assert made.workload(1, 2.0)[0] == 1
    made.finished(first[0].request, 2.0)
    assert made.workload(0, 2.0)[0] == 9
    assert made.in_flight(0) == 2


def test_an_estimate_is_never_below_own_requests() -> None:
    made = core(FAST)
    sent(made, 5)
    made.reported(0, 1.0, jobs=0)
    assert made.workload(0, 1.0)[0] == 5


def test_what_was_sent_since_a_measurement_is_not_in_it() -> None:
    made = core(FAST)
    sent(made, 4, now=1.0)
    sent(made, 3, now=2.0)
    made.reported(0, now=2.5, jobs=9, measured=1.5)
    assert made.workload(0, 2.5) == (9 + 3, 1.0)


def test_reports_that_come_out_of_order_are_ignored() -> None:
    made = core(FAST)
    made.reported(0, now=2.0, jobs=7, measured=1.9)
    made.reported(0, now=2.1, jobs=3, measured=1.8)
    assert made.workload(0, 2.1)[0] == 7


def test_a_report_that_is_too_old_is_forgotten() -> None:
    made = core(FAST, oldest_report=10.0)
    sent(made, 2)
    made.reported(0, 1.0, jobs=30)
    assert made.next_deadline() == 11.0
    made.tick(10.9)
    assert made.workload(0, 10.9)[0] == 30
    made.tick(11.0)
    assert made.workload(0, 11.0) == (2, math.inf)
    assert made.next_deadline() == math.inf


def test_what_another_core_has_in_flight_is_counted() -> None:
    made = core(FAST, SLOW)
    made.carried_over(0, 0.0, 20)
    assert made.arrived(0.0, 0).backend == 1  # type: ignore[union-attr]
    made.carried_over(0, 1.0, -20)
    assert made.workload(0, 1.0)[0] == 0


# Holding


def test_past_the_peak_of_a_measured_curve_requests_wait() -> None:
    made = core(SMALL, holding=HoldingRule(seconds=5.0, most=2))
    first, second = sent(made, 2)
    held = made.arrived(1.0, 0)
    assert held == Hold(3, 6.0)
    assert made.arrived(2.0, 0) == Hold(4, 7.0)
    refused = made.arrived(3.0, 0)
    assert isinstance(refused, Reject)
    assert (refused.status, refused.retry_after) == (503, 2.0)
    assert "2 requests waiting already, the first for 2.0 s" in refused.reason
    assert made.next_deadline() == 6.0
    assert made.finished(first.request, 4.0) == [Send(3, 0)]
    assert made.next_deadline() == 7.0
    late = made.tick(7.0)
    assert [(a.request, a.status) for a in late] == [(4, 504)]  # type: ignore[union-attr]
    assert made.held(0) == 0
    assert made.finished(second.request, 8.0) == []


def test_the_limit_can_be_left_to_the_policy() -> None:
    assert len(sent(core(SMALL, stop_at_peak=False), 10)) == 10


def test_who_has_waited_longest_goes_first_whichever_frontend() -> None:
    made = core(SMALL, neighbours=[[0], [0]])
    running = sent(made, 2)
    made.arrived(1.0, 1)
    made.arrived(2.0, 0)
    assert made.finished(running[0].request, 3.0) == [Send(3, 0)]
    assert made.finished(running[1].request, 4.0) == [Send(4, 0)]


def test_a_lower_report_and_a_better_curve_let_requests_go() -> None:
    made = core(SMALL)
    made.reported(0, 0.0, jobs=5)
    assert isinstance(made.arrived(1.0, 0), Hold)
    assert made.reported(0, 2.0, jobs=1) == [Send(1, 0)]
    assert isinstance(made.arrived(3.0, 0), Hold)
    assert made.curves_changed({0: FAST}, 4.0) == [Send(2, 0)]


def test_a_policy_that_holds_is_offered_the_request_again() -> None:
    made = core(FAST, policy="gmsr_hold:level=2.0")
    running: list[Send] = []
    while isinstance(action := made.arrived(0.1 * len(running), 0), Send):
        running.append(action)
    # 480 / (N + 12)^2 = 2 at N = 3.49.
    assert len(running) == 4
    assert [a.request for a in made.finished(running[0].request, 9.0)] == [action.request]


def test_who_gives_up_waiting_is_forgotten() -> None:
    made = core(SMALL)
    running = sent(made, 2)
    made.arrived(1.0, 0)
    assert made.cancelled(3, 2.0) == []
    assert made.finished(running[0].request, 3.0) == []
    with pytest.raises(KeyError):
        made.cancelled(3, 4.0)


def test_a_request_is_finished_once() -> None:
    made = core(FAST)
    (one,) = sent(made, 1)
    made.finished(one.request, 1.0)
    with pytest.raises(KeyError):
        made.finished(one.request, 1.0)


# Learning, and the rest


@pytest.mark.parametrize("policy", ["gmsr", "gmsr_secant"])
def test_curves_are_learned_and_used(policy: str) -> None:
    """One backend finishes ten times as fast; nothing else tells them apart."""
    system = fleet([SLOW, SLOW], [1.0])
    made = core_of(system, parse(policy), learner=Learner(2), rules=Rules(stop_at_peak=False))
    running: list[tuple[float, Send]] = []
    for step in range(3000):
        now = 0.0501 * step
        while running and running[0][0] <= now:
            due, one = heapq.heappop(running)
            made.finished(one.request, due)
        made.tick(now)
        action = made.arrived(now, 0)
        assert isinstance(action, Send)
        heapq.heappush(running, (now + (0.1 if action.backend == 0 else 1.0), action))
    late = [made.arrived(now, 0).backend for _ in range(3)]  # type: ignore[union-attr]
    assert late == [0, 0, 0]
    assert made.feedback
    fitted = made.feedback.learner.fitted(0)
    assert float(fitted.rate(1.0)) == pytest.approx(10.0, rel=0.2)


@pytest.mark.parametrize("policy", ["gmsr", "gmsr_secant", "gmsr_ahead:lag=0.3", "gmsr_hold"])
def test_other_curves_are_used_as_if_they_had_been_there_from_the_start(policy: str) -> None:
    changed, other = core(FAST, SLOW, FAST, policy=policy), core(FAST, QUICK, SLOW, policy=policy)
    changed.curves_changed({2: SLOW, 1: QUICK}, 0.0)
    for made in (changed, other):
        made.reported(0, 0.0, jobs=9)
    assert changed.explain(0) == other.explain(0)
    for step in range(200):
        now = 0.02 * step
        one, two = changed.arrived(now, 0), other.arrived(now, 0)
        assert isinstance(one, Send)
        assert one == two
        if step % 3 == 0:
            for made in (changed, other):
                made.finished(one.request, now)
    assert changed.explain(0) == other.explain(0)


def test_a_share_of_a_backend_is_learned_as_the_whole() -> None:
    """Half of the jobs are another router's: we see half of the completions."""
    system = fleet([SLOW], [1.0])
    made = core_of(system, parse("gmsr"), learner=Learner(1))
    now = 0.0
    for _ in range(2000):
        (one,) = sent(made, 1, now)
        made.reported(0, now, jobs=2)
        now += 0.5  # two jobs share 4 jobs/s: each takes half a second
        made.finished(one.request, now)
    made.tick(now)
    assert made.feedback
    assert float(made.feedback.learner.fitted(0).rate(2.0)) == pytest.approx(4.0, rel=0.1)


def test_explanations_name_open_backends_and_scores() -> None:
    made = core(FAST, SLOW)
    sent(made, 2)
    (first, second) = made.explain(0)
    assert first == pytest.approx((0, 2, 1.0 / float(FAST.marginal(2.0))))
    assert second == pytest.approx((1, 0, 1.0 / float(SLOW.marginal(0.0))))


def outside(candidates, view, now, rng):  # type: ignore[no-untyped-def]
    return 7


def test_a_policy_that_leaves_the_graph_is_an_error() -> None:
    from isocline.policies.custom import custom

    made = core_of(fleet([FAST, SLOW], [1.0]), custom("mine", outside))
    assert made.arrived(0.0, 0) == Reject(1, 500, "the routing policy failed")
    (notice,) = made.take_notices()
    assert notice.backend == OF_POLICY
    assert "not in `candidates`" in notice.text
    made.arrived(1.0, 0)
    assert not made.take_notices()  # the same once more
    assert made.in_flight(0) == made.in_flight(1) == 0
    with pytest.raises(PolicyError, match="not in `candidates`"):
        rehearse(core_of(fleet([FAST, SLOW], [1.0]), custom("mine", outside)))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: HoldingRule(seconds=0.0), "holding: seconds is 0.0; give a time in seconds"),
        (lambda: HoldingRule(most=-1), "most is -1; give a number of requests"),
        (lambda: EjectionRule(rate=1.5), "rate is 1.5; give a share from 0 to 1"),
        (lambda: EjectionRule(floor=-0.1), "floor is -0.1"),
        (lambda: EjectionRule(failures=0), "failures is 0; give 1 or more"),
        (lambda: RetryRule(attempts=0), "attempts is 0; give 1 for no retries"),
        (lambda: RetryRule(least=math.inf), "least is inf; give a rate"),
        (lambda: Rules(oldest_report=math.nan), "oldest_report is nan"),
        (lambda: Rules(slow_start=-1), "slow_start is -1; give 0 for none"),
    ],
)
def test_rules_out_of_range_are_refused(make: object, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        make()  # type: ignore[operator]


def test_what_waited_at_an_earlier_core_waits_no_longer_than_it_would_have() -> None:
    rule = HoldingRule(seconds=10.0, most=9)
    before, after = core(SMALL, holding=rule), core(SMALL, holding=rule)
    sent(before, 2)
    held = [before.arrived(float(t), 0) for t in (0, 1, 2)]
    assert all(isinstance(it, Hold) for it in held)
    sent(after, 2)
    waiting = before.release([0])
    assert [it.number for it in waiting] == [it.request for it in held]
    assert before.held(0) == 0
    assert before.tick(100.0) == []
    moved = [after.moved(it, 6.0, 0) for it in waiting]
    assert [it.deadline for it in moved if isinstance(it, Hold)] == [10.0, 11.0, 12.0]
    assert after.waiting_queue.wait(0, 7.0) == 7.0  # since the first arrived
    (late,) = after.tick(10.5)
    assert isinstance(late, Reject)
    assert late.status == 504
    (then,) = after.finished(1, 10.6)
    assert isinstance(then, Send)
    assert then.request == moved[1].request


def test_a_request_that_failed_at_a_backend_stays_with_the_core_that_knows_it() -> None:
    made = core(SMALL, SMALL, holding=HoldingRule(seconds=10.0, most=9))
    failed = next(it for it in sent(made, 4) if it.backend == 0)
    made.backend_down(0, 1.0)
    fresh = made.arrived(1.0, 0)
    outcome, *_ = made.failed(failed.request, 1.0, Cause.CONNECT, sent=False, idempotent=True)
    assert isinstance(fresh, Hold)
    assert isinstance(outcome, Hold)
    assert [it.number for it in made.release([0])] == [fresh.request]
    assert made.held(0) == 1
