"""Models at backends under any order of events: no memory exceeded, no request forgotten.

Beside the core are servers that obey its calls, or fail to, and know what they hold.
"""

import math

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from isocline.gateway.core.actions import Action, Cause, Close, Hold, Reject, Send
from isocline.gateway.core.model_memory import ModelCall
from isocline.model.serving_settings import HoldingRule, RetryRule
from tests.gateway.core.residencies import asks, entry, residency_core

SIZES = {"s1": 1.0, "s2": 1.0, "s3": 1.0, "s4": 1.0, "big": 2.0}
CAPACITIES: list[float | None] = [2.0, 3.0, None, 1.0]
PINNED = [["s1"], [], [], []]
BOUNDED = (0, 1, 3)


class Machine(RuleBasedStateMachine):
    """Keeps what each server really has, and the requests it serves."""

    @initialize(
        unloads=st.booleans(),
        policy=st.sampled_from(["gmsr", "gmsr_secant", "round_robin"]),
        everything=st.booleans(),
    )
    def start(self, unloads: bool, policy: str, everything: bool) -> None:
        self.core = residency_core(
            CAPACITIES,
            entries=[entry("s?"), entry("big", size=2.0)],
            pinned=PINNED,
            unloads=unloads,
            policy=policy,
            holding=HoldingRule(seconds=4.0, most=6),
            retries=RetryRule(attempts=3, share=1.0, least=100.0),
        )
        self.unloads = unloads
        self.now = 10.0
        self.has: list[set[str]] = [set(it) for it in PINNED]
        self.doubtful: list[set[str]] = [set() for _ in CAPACITIES]  # perhaps there
        self.calls: dict[int, ModelCall] = {}  # by backend
        self.model: dict[int, str] = {}
        self.sent: dict[int, int] = {}
        self.held: dict[int, float] = {}
        self.ended: set[int] = set()
        self.up = [True] * len(CAPACITIES)
        if not everything:
            self.change(2, "down")

    def note(self, actions: list[Action]) -> None:
        for action in actions:
            number = action.request
            assert number not in self.ended
            match action:
                case Send():
                    assert number not in self.sent
                    self.held.pop(number, None)
                    self.sent[number] = action.backend
                case Hold():
                    assert number not in self.sent
                    self.held[number] = action.deadline
                    if action.displaced:
                        self.note([action.displaced])
                case Reject() | Close():
                    assert number not in self.sent
                    self.held.pop(number, None)
                    self.ended.add(number)
        self.take_calls()

    def take_calls(self) -> None:
        for backend, call in self.core.take_calls(self.now):
            assert backend not in self.calls
            self.calls[backend] = call
            if (
                call.loads
            ):  # a server that drops by itself may have dropped another than was thought
                assert not self.unloads or call.model not in self.has[backend]
            else:  # none uses it
                assert call.model not in PINNED[backend]
                assert call.model not in {
                    self.model[r] for r, b in self.sent.items() if b == backend
                }

    @rule(model=st.sampled_from([*SIZES, "other"]))
    def arrive(self, model: str) -> None:
        number = self.core.arrivals + 1
        self.model[number] = model
        action = asks(self.core, model, self.now)
        assert action.request == number
        self.note([action])

    @precondition(lambda self: self.sent)
    @rule(pick=st.integers(0, 99))
    def finish(self, pick: int) -> None:
        """A server that has the model serves; else it says that it has not."""
        number = sorted(self.sent)[pick % len(self.sent)]
        backend, model = self.sent.pop(number), self.model[number]
        if backend in BOUNDED and model in SIZES and model not in self.has[backend]:
            told = self.core.model_missing(number, self.now, again=True)
            if told:
                self.note(told)
                return
        self.ended.add(number)
        self.note(self.core.finished(number, self.now))

    @precondition(lambda self: self.sent)
    @rule(pick=st.integers(0, 99), cause=st.sampled_from(list(Cause)))
    def fail(self, pick: int, cause: Cause) -> None:
        number = sorted(self.sent)[pick % len(self.sent)]
        del self.sent[number]
        self.note(self.core.failed(number, self.now, cause, sent=True, idempotent=True))

    @precondition(lambda self: self.sent or self.held)
    @rule(pick=st.integers(0, 99))
    def cancel(self, pick: int) -> None:
        known = sorted((*self.sent, *self.held))
        number = known[pick % len(known)]
        self.sent.pop(number, None)
        self.held.pop(number, None)
        self.ended.add(number)
        self.note(self.core.cancelled(number, self.now))

    @precondition(lambda self: self.calls)
    @rule(pick=st.integers(0, 99), how=st.sampled_from(["done", "done", "done", "no", "unknown"]))
    def answer(self, pick: int, how: str) -> None:
        backend = sorted(self.calls)[pick % len(self.calls)]
        call = self.calls.pop(backend)
        if how == "done":
            if call.loads:
                self.load(backend, call.model)
            else:
                self.has[backend].discard(call.model)
                self.doubtful[backend].discard(call.model)
            self.note(self.core.call_ended(backend, call, self.now))
        else:
            if how == "unknown" and call.loads:
                self.doubtful[backend].add(call.model)
            self.note(self.core.call_failed(backend, call, self.now, how == "unknown"))

    def load(self, backend: int, model: str) -> None:
        """A server that gets no calls to unload drops others by itself, but none in use."""
        self.has[backend].add(model)
        self.doubtful[backend].discard(model)
        capacity = CAPACITIES[backend]
        assert capacity is not None
        if not self.unloads:
            used = {self.model[r] for r, b in self.sent.items() if b == backend}
            there = self.has[backend] | self.doubtful[backend]
            for other in sorted(there - used - {model} - set(PINNED[backend])):
                if self.taken(backend) > capacity:
                    self.has[backend].discard(other)
                    self.doubtful[backend].discard(other)
        assert self.taken(backend) <= capacity

    def taken(self, backend: int) -> float:
        return sum(SIZES[model] for model in self.has[backend] | self.doubtful[backend])

    @rule(backend=st.sampled_from(BOUNDED), complete=st.booleans())
    def tell(self, backend: int, complete: bool) -> None:
        if self.up[backend] and not self.doubtful[backend]:
            names = sorted(self.has[backend])
            told = self.core.models_told(backend, names, self.now, self.now, complete)
            self.note(told)

    @rule(backend=st.sampled_from(BOUNDED), pick=st.integers(0, 9))
    def drop(self, backend: int, pick: int) -> None:
        """A server drops one behind the router's back."""
        loose = sorted(self.has[backend] - set(PINNED[backend]))
        if loose:
            self.has[backend].remove(loose[pick % len(loose)])

    @rule(
        backend=st.integers(0, len(CAPACITIES) - 1),
        kind=st.sampled_from(["up", "up", "down", "drain", "undrain"]),
    )
    def change(self, backend: int, kind: str) -> None:
        if kind == "down":  # it starts again, with nothing but what it always has
            self.up[backend] = False
            self.has[backend], self.doubtful[backend] = set(PINNED[backend]), set()
            self.calls.pop(backend, None)
        elif kind == "up":
            self.up[backend] = True
        self.note(getattr(self.core, f"backend_{kind}")(backend, self.now))

    @rule(seconds=st.floats(0.0, 3.0))
    def wait(self, seconds: float) -> None:
        until = self.now + seconds
        while (due := self.core.next_deadline()) <= until:
            self.now = max(self.now, due)
            self.note(self.core.tick(self.now))
        self.now = until

    @invariant()
    def what_is_resident_or_comes_fits(self) -> None:
        if not hasattr(self, "core"):
            return
        assert self.core.residency is not None
        for memory in self.core.residency.memories:
            if memory.capacity is not None and self.unloads:
                assert memory.taken <= memory.capacity

    @invariant()
    def counts_are_right(self) -> None:
        if not hasattr(self, "core"):
            return
        assert self.core.residency is not None
        at = list(self.sent.values())
        for backend in range(len(CAPACITIES)):
            assert self.core.in_flight(backend) == at.count(backend)
        waiting = sum(self.core.residency.waiters.counts)
        assert waiting + self.core.held(0) == len(self.held)
        assert waiting == sum(math.isinf(deadline) for deadline in self.held.values())

    @invariant()
    def who_waits_for_a_load_has_one_coming(self) -> None:
        if not hasattr(self, "core"):
            return
        assert self.core.residency is not None
        for backend, memory in enumerate(self.core.residency.memories):
            if self.core.residency.waiters.counts[backend]:
                assert any(call.loads for call in memory.calls)

    def teardown(self) -> None:
        """Everything comes to an end: nothing is left, and nothing was forgotten."""
        if not hasattr(self, "core"):
            return
        for _ in range(1000):
            if self.calls:
                self.answer(0, "done")
            elif self.sent:
                self.finish(0)
            elif self.held:
                self.wait(5.0)
            else:
                break
        assert not self.held
        assert not self.sent
        assert self.ended == set(range(1, self.core.arrivals + 1))
        assert self.core.residency is not None
        copies = (it for memory in self.core.residency.memories for it in memory.copies.values())
        assert not any(copy.in_use for copy in copies)


TestResidency = Machine.TestCase
TestResidency.settings = settings(
    max_examples=15,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
