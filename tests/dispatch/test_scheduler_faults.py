"""Core, engine and book together, under random faults in virtual time: each task ends once."""

import itertools
from collections import Counter
from typing import Any

import cloudpickle
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from isocline.dispatch.coordinator.coordinator import Coordinator
from isocline.dispatch.coordinator.nodes import Nodes
from isocline.dispatch.coordinator.task_ledger import TaskLedger
from isocline.dispatch.core.core import Core
from isocline.dispatch.engines.base import Event, WorkItem
from isocline.dispatch.engines.fake import FakeEngine, Fault, FaultError
from isocline.dispatch.errors import ChunkError, NoHolderError, QuarantinedError, TimeLimitError
from isocline.dispatch.futures import TaskFuture
from isocline.dispatch.rules import Rules
from isocline.dispatch.submission.payload import Payloads
from isocline.dispatch.submission.task import Task
from isocline.dispatch.telemetry.records import Outcome, Records
from isocline.model.cluster import Rates
from isocline.policies.parse import scheduling_policy as parse
from isocline.randomness.draws import stream

NODES = ["n0", "n1", "n2", "n3"]
FAULTS = [None, None, None, None, Fault.DIE, Fault.RAISE, Fault.HANG]
LIMIT = 7.0  # s


class Machine(RuleBasedStateMachine):
    """A driver without a thread: it hears what the engine says, some time later."""

    @initialize(
        policy=st.sampled_from(["local_first", "late_binding", "fifo"]),
        retries=st.integers(0, 2),
        holder_grace=st.sampled_from([0.0, 3.0]),
        everywhere=st.booleans(),
        faults=st.lists(st.sampled_from(FAULTS), min_size=1, max_size=20),
    )
    def start(
        self,
        policy: str,
        retries: int,
        holder_grace: float,
        everywhere: bool,
        faults: list[Fault | None],
    ) -> None:
        coming = itertools.cycle(faults)
        self.heard: list[Event] = []

        def fault(_node: str, _work: WorkItem) -> Fault | None:
            return next(coming)

        self.engine = FakeEngine(4, fault=fault, keeps=True)
        nodes = Nodes()
        racks = [nodes.came_up(node)[1] for node in self.engine.start(self.heard.append)]
        rules = Rules(retries=retries, holder_grace=holder_grace)
        core = Core(racks, Rates(1.0, 0.5), parse(policy), stream(1), rules)
        self.records = Records(10_000)
        self.ledger = TaskLedger(nodes, self.records, None, 0.0, 0.0)
        self.run = Coordinator(core, self.engine, nodes, self.ledger, everywhere=everywhere)
        self.calls = Payloads()
        self.futures: dict[int, TaskFuture[Any]] = {}
        self.told: Counter[int] = Counter()

    @rule(holders=st.lists(st.sampled_from([*NODES, "never"]), max_size=3), hold=st.booleans())
    def submit(self, holders: list[str], hold: bool) -> None:
        number = len(self.futures)
        future: TaskFuture[Any] = TaskFuture(str(number), number, lambda _number: None)
        future.add_done_callback(lambda _future: self.told.update([number]))
        self.futures[number] = future
        chunk = str(number % 5) if hold else None
        function = self.calls.function(lambda *values: values[-1])
        arguments = self.calls.arguments("f", (number,), {})
        names = tuple(holders) if hold else ()
        task = Task(number, str(number), function, arguments, chunk, names, False, LIMIT, 0, future)
        self.run.submitted(task, self.engine.now)

    @precondition(lambda self: self.futures)
    @rule(pick=st.integers(0, 1000))
    def cancel(self, pick: int) -> None:
        number = pick % len(self.futures)
        if self.futures[number].cancel():
            self.run.cancelled(number, self.engine.now)

    @rule(steps=st.integers(1, 6))
    def advance(self, steps: int) -> None:
        """Time passes, and nobody listens yet."""
        for _ in range(steps):
            self.engine.advance()

    @rule(node=st.sampled_from(NODES))
    def kill(self, node: str) -> None:
        self.engine.kill(node)

    @rule()
    def hear(self) -> None:
        while self.heard:
            self.run.on_engine_event(self.heard.pop(0), self.engine.now)
        if self.run.next_deadline(self.engine.now) <= self.engine.now:
            self.run.tick(self.engine.now)

    @rule()
    def stop(self) -> None:
        """Not often: it is the end of most else."""
        if len(self.futures) > 15:
            self.run.stop(self.engine.now)

    @invariant()
    def counts_are_right(self) -> None:
        if not hasattr(self, "run"):
            return
        open_ = [number for number, future in self.futures.items() if not future.done()]
        assert sorted(self.run.tasks) == open_
        at_nodes = {task for tasks in self.run.core.snapshot().running.values() for task in tasks}
        assert self.run.running == len(at_nodes.intersection(open_))
        assert sum(self.ledger.ended.values()) == len(self.futures) - len(open_)
        assert all(count == 1 for count in self.told.values())
        assert len(self.told) == len(self.futures) - len(open_)

    def teardown(self) -> None:
        """All comes to an end, in bounded time, and what it came to is true."""
        if not hasattr(self, "run"):
            return
        self.hear()
        for _ in range(5000):
            if not self.run.tasks:
                break
            if not self.engine.advance():
                self.engine.now += 1.0  # a holder's grace
            self.hear()
        self.counts_are_right()
        assert not self.run.tasks
        for number, future in self.futures.items():
            self.check(number, future)

    def check(self, number: int, future: TaskFuture[Any]) -> None:
        ran = [ran.outcome for ran in self.records if ran.key == str(number)]
        if future.cancelled():
            assert Outcome.FINISHED not in ran
            return
        error = future.exception(0)
        if error is None:
            assert future.result() == number
        assert ran.count(Outcome.FINISHED) == (error is None)
        if isinstance(error, QuarantinedError):
            assert ran.count(Outcome.LOST) >= 3
        elif isinstance(error, TimeLimitError):
            assert Outcome.TIMED_OUT in ran
        elif error is not None:
            assert isinstance(error, NoHolderError | ChunkError | FaultError)
            lost = isinstance(error, ChunkError) and ran.count(Outcome.LOST) >= 3
            assert lost or isinstance(error, NoHolderError) or Outcome.RAISED in ran


TestRun = Machine.TestCase
TestRun.settings = settings(
    max_examples=50,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def test_pickles_of_the_same_function_are_made_once() -> None:
    calls = Payloads()

    def function() -> None: ...

    assert calls.function(function) is calls.function(function)
    assert cloudpickle.loads(calls.function(function).pickled)() is None
