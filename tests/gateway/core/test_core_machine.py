"""The core under any order of events: no request twice, none forgotten, no bound broken."""

import math

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from isocline.gateway.core.actions import Action, Cause, Close, Hold, Reject, Send
from isocline.gateway.core.build import core_of
from isocline.gateway.core.request import Profile
from isocline.learn import Learner
from isocline.model.curves import HyperbolicCurve, TableCurve
from isocline.model.serving_settings import (
    EjectionRule,
    HoldingRule,
    RefusalRule,
    RetryRule,
    Rules,
    SharingRule,
)
from isocline.policies.parse import parse
from tests.builders import fleet

NEIGHBOURS = [[0, 1, 2], [2], [1, 3]]
# Two measured curves, which hold at most 3 and 2 jobs.
CURVES = [
    TableCurve(((1, 1.0), (3, 2.0))),
    HyperbolicCurve(3.0, 2.0),
    TableCurve(((1, 2.0), (2, 3.0), (4, 1.0))),
    HyperbolicCurve(2.0, 1.0),
]
FLOOR, ATTEMPTS = 0.5, 3


class Machine(RuleBasedStateMachine):
    """Keeps beside the core what a data plane would know."""

    @initialize(
        policy=st.sampled_from(
            [
                "gmsr",
                "gmsr_hold",
                "gmsr_secant",
                "power_of_d",
                "peak_ewma",
                "round_robin",
            ]
        ),
        learned=st.booleans(),
        slow_start=st.sampled_from([0, 3]),
        shared=st.booleans(),
    )
    def start(self, policy: str, learned: bool, slow_start: int, shared: bool) -> None:
        rules = Rules(
            HoldingRule(seconds=4.0, most=3),
            EjectionRule(failures=2, least=4, window=3.0, first=2.0, longest=8.0, floor=FLOOR),
            RetryRule(attempts=ATTEMPTS, share=0.5, least=1.0, window=5.0),
            RefusalRule(first=0.5, longest=4.0),
            oldest_report=3.0,
            sharing=SharingRule("x-tenant", {"a": 3.0}, "x-priority") if shared else None,
            slow_start=slow_start,
        )
        learner = Learner(4) if learned else None
        system = fleet(CURVES, [0.5, 0.5, 0.5], NEIGHBOURS)
        self.core = core_of(system, parse(policy), rules=rules, learner=learner)
        self.now = 100.0
        self.sent: dict[int, int] = {}  # request -> backend
        self.held: dict[int, float] = {}  # request -> deadline
        self.attempts: dict[int, int] = {}
        self.frontend: dict[int, int] = {}
        self.ended: set[int] = set()
        self.slow, self.learned = slow_start, learned

    def note(self, actions: list[Action]) -> None:
        for action in actions:
            number = action.request
            assert number not in self.ended
            match action:
                case Send():
                    assert number not in self.sent
                    self.held.pop(number, None)
                    self.sent[number] = action.backend
                    assert action.backend in NEIGHBOURS[self.frontend[number]]
                    self.attempts[number] = self.attempts.get(number, 0) + 1
                    assert action.attempt == self.attempts[number] <= ATTEMPTS
                    seen = self.core.availability.candidates
                    assert seen.usable(action.backend)
                case Hold():
                    assert number not in self.sent
                    assert number not in self.held
                    assert action.deadline > self.now
                    self.held[number] = action.deadline
                    if action.displaced:
                        assert action.displaced.request in self.held
                        self.note([action.displaced])
                case Reject():
                    assert number not in self.sent
                    self.held.pop(number, None)
                    assert action.status in (502, 503, 504)
                    assert action.retry_after is None or action.retry_after >= 0.0
                    self.ended.add(number)
                case Close():
                    assert number not in self.sent
                    self.ended.add(number)

    @rule(
        frontend=st.integers(0, 2),
        priority=st.sampled_from([0, 0, 0, -1, 2]),
        tenant=st.sampled_from(["", "a", "b"]),
    )
    def arrive(self, frontend: int, priority: int, tenant: str) -> None:
        number = self.core.arrivals + 1
        self.frontend[number] = frontend
        action = self.core.arrived(self.now, frontend, Profile(priority, tenant))
        assert action.request == number
        self.note([action])

    def some_sent(self, pick: int) -> int:
        return sorted(self.sent)[pick % len(self.sent)]

    @precondition(lambda self: self.sent)
    @rule(pick=st.integers(0, 99), status=st.sampled_from([200, 200, 404, 429, 500, 503]))
    def finish(self, pick: int, status: int) -> None:
        number = self.some_sent(pick)
        del self.sent[number]
        self.ended.add(number)
        self.note(self.core.finished(number, self.now, status=status))

    @precondition(lambda self: self.sent)
    @rule(
        pick=st.integers(0, 99),
        status=st.sampled_from([429, 503]),
        retry_after=st.sampled_from([None, 0.0, 1.0, 100.0]),
        again=st.booleans(),
    )
    def turn_away(self, pick: int, status: int, retry_after: float | None, again: bool) -> None:
        number = self.some_sent(pick)
        before = self.sent[number]
        told = self.core.turned_away(number, self.now, status, retry_after, again=again)
        if told:
            assert again
            first = told[0]
            assert isinstance(first, Send)
            assert first.request == number
            assert first.backend != before
            del self.sent[number]
        if status == 429 or retry_after:
            seen = self.core.availability.candidates
            assert seen.full[before]
        self.note(told)

    @precondition(lambda self: self.sent)
    @rule(
        pick=st.integers(0, 99),
        cause=st.sampled_from(list(Cause)),
        sent=st.booleans(),
        idempotent=st.booleans(),
        started=st.booleans(),
    )
    def fail(self, pick: int, cause: Cause, sent: bool, idempotent: bool, started: bool) -> None:
        number = self.some_sent(pick)
        del self.sent[number]
        actions = self.core.failed(
            number, self.now, cause, sent=sent, idempotent=idempotent, started=started
        )
        first = actions[0]
        assert first.request == number
        if started:
            assert isinstance(first, Close)
        elif (sent and not idempotent) or not cause.retriable:
            assert isinstance(first, Reject)
            assert first.status == cause.status
        self.note(actions)

    @precondition(lambda self: self.sent or self.held)
    @rule(pick=st.integers(0, 99))
    def cancel(self, pick: int) -> None:
        known = sorted((*self.sent, *self.held))
        number = known[pick % len(known)]
        self.sent.pop(number, None)
        self.held.pop(number, None)
        self.ended.add(number)
        self.note(self.core.cancelled(number, self.now))

    @rule(backend=st.integers(0, 3), jobs=st.integers(0, 9), late=st.floats(0.0, 2.0))
    def report(self, backend: int, jobs: int, late: float) -> None:
        self.note(self.core.reported(backend, self.now, jobs, self.now - late))

    @rule(
        backend=st.integers(0, 3),
        kind=st.sampled_from(["up", "up", "down", "drain", "undrain", "undrain"]),
    )
    def change(self, backend: int, kind: str) -> None:
        self.note(getattr(self.core, f"backend_{kind}")(backend, self.now))

    @rule(backend=st.integers(0, 3), share=st.sampled_from([0.05, 0.3, 0.5, 1.0]))
    def limit(self, backend: int, share: float) -> None:
        self.note(self.core.share_changed(backend, share, self.now))

    @rule(backend=st.integers(0, 3), weight=st.sampled_from([0.1, 1.0, 3.0]))
    def weigh(self, backend: int, weight: float) -> None:
        self.note(self.core.weight_changed(backend, weight, self.now))

    @rule(seconds=st.floats(0.0, 3.0))
    def wait(self, seconds: float) -> None:
        """As a timer would, tick at each deadline on the way."""
        until = self.now + seconds
        while (due := self.core.next_deadline()) <= until:
            self.now = max(self.now, due)
            self.note(self.core.tick(self.now))
            assert self.core.next_deadline() > self.now
        self.now = until

    @invariant()
    def counts_are_right(self) -> None:
        if not hasattr(self, "core"):
            return
        at = list(self.sent.values())
        for backend in range(4):
            assert self.core.in_flight(backend) == at.count(backend)
            jobs, age = self.core.workload(backend, self.now)
            assert jobs >= at.count(backend)
            assert age >= 0.0
            if math.isinf(age):
                assert jobs == at.count(backend)
        for frontend in range(3):
            waiting = [r for r in self.held if self.frontend[r] == frontend]
            assert self.core.held(frontend) == len(waiting) <= 3

    @invariant()
    def none_is_held_beyond_its_deadline(self) -> None:
        if hasattr(self, "core"):
            assert all(deadline >= self.now for deadline in self.held.values())
            assert self.core.next_deadline() <= min(self.held.values(), default=math.inf)

    @invariant()
    def none_waits_for_nothing(self) -> None:
        """Who is held has no open backend; gmsr_hold alone may want to wait."""
        if not hasattr(self, "core") or self.core.policy_runtime.policy.may_hold:
            return
        for frontend in range(3):
            if self.core.held(frontend):
                assert not self.core.availability.candidates.of(frontend).backends

    @invariant()
    def the_floor_is_kept(self) -> None:
        if not hasattr(self, "core"):
            return
        seen = self.core.availability.candidates
        for neighbours in NEIGHBOURS:
            serving = sum(map(seen.in_service, neighbours))
            usable = sum(map(seen.usable, neighbours))
            assert usable >= min(serving, max(1, math.ceil(FLOOR * serving)))

    @invariant()
    def peaks_are_not_passed_by_own_requests(self) -> None:
        if hasattr(self, "core") and not self.learned:
            at = list(self.sent.values())
            assert at.count(0) <= 3
            assert at.count(2) <= 2

    def teardown(self) -> None:
        """Everything comes to an end: nothing is left, and nothing was forgotten."""
        if not hasattr(self, "core"):
            return
        while self.sent:
            self.finish(0, 200)
        self.wait(20.0)
        while self.sent:
            self.finish(0, 200)
        assert not self.held
        assert self.ended == set(range(1, self.core.arrivals + 1))
        assert all(self.core.workload(b, self.now)[0] == 0 for b in range(4))


TestCore = Machine.TestCase
TestCore.settings = settings(
    max_examples=60,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
