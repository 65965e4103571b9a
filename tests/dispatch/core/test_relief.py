"""Tasks behind one that hangs: where and when they start, in virtual time."""

import itertools
import math
from typing import Any

import pytest

from isocline.dispatch.actions import Cancel, Cause, Start
from isocline.dispatch.coordinator.coordinator import Coordinator
from isocline.dispatch.coordinator.nodes import Nodes
from isocline.dispatch.coordinator.task_ledger import TaskLedger
from isocline.dispatch.core.core import Core
from isocline.dispatch.engines.base import Event, WorkItem
from isocline.dispatch.engines.fake import FakeEngine, Fault, Service
from isocline.dispatch.futures import TaskFuture
from isocline.dispatch.rules import Rules
from isocline.dispatch.submission.payload import Payloads
from isocline.dispatch.submission.task import Task
from isocline.dispatch.telemetry.records import Outcome, Records
from isocline.errors import UsageError
from isocline.model.cluster import Rates
from isocline.policies.parse import scheduling_policy as parse
from isocline.randomness.draws import stream

NODES = 3
HANGS = "hangs"
# All that start tasks far from their data, and leave some to their holder.
HELPFUL = ("late_binding", "local_first", "balanced_pandas", "jsq_maxweight", "delay_scheduling")


def fault(_node: str, work: WorkItem) -> Fault | None:
    return Fault.HANG if work.key == HANGS else None


class Run:
    """A run on a fake engine in virtual time; all tasks but those called HANGS take a while.

    The end of each is heard of after a `gap`, s.
    """

    def __init__(
        self,
        policy: str,
        rules: Rules,
        service: Service | None = None,
        *,
        fetches: bool = False,
        gap: float = 0.0,
        nodes: int = NODES,
    ) -> None:
        service = service or Service()
        self.engine = FakeEngine(nodes, service=service, fault=fault, fetches=fetches)
        self.events: list[Event] = []
        self.records, self.nodes = Records(1000), Nodes()
        racks = [self.nodes.came_up(node)[1] for node in self.engine.start(self.events.append)]
        rates = Rates(1.0 / service.local, 1.0 / service.remote)
        core = Core(racks, rates, parse(policy), stream(1), rules, fetches=fetches)
        ledger = TaskLedger(self.nodes, self.records, None, 0.0, 0.0)
        self.coordinator = Coordinator(core, self.engine, self.nodes, ledger)
        self.calls, self.numbers = Payloads(), itertools.count()
        self.gap, self.ticks = gap, 0

    def submit(self, *holders: str, key: str = "") -> TaskFuture[Any]:
        number = next(self.numbers)
        key = key or str(number)
        future: TaskFuture[Any] = TaskFuture(key, number, lambda _: None)
        function, arguments = self.calls.function(len), self.calls.arguments("len", (), {})
        task = Task(number, key, function, arguments, f"c{number}", holders, False, None, 0, future)
        self.coordinator.submitted(task, self.engine.now)
        return future

    def settle(self, until: float = math.inf) -> None:
        """All that happens, and all that is due while nothing does, to that time, s."""
        while True:
            if not self.engine.advance():
                due = self.coordinator.next_deadline(self.engine.now)
                if due >= until:
                    return
                self.engine.now = max(self.engine.now, due)
            elif self.events:
                self.engine.now += self.gap
            while self.events:
                self.coordinator.on_engine_event(self.events.pop(0), self.engine.now)
            if self.coordinator.next_deadline(self.engine.now) <= self.engine.now:
                self.ticks += 1
                self.coordinator.tick(self.engine.now)

    def learn(self) -> None:
        """Ten tasks at each node, one after the other."""
        for _ in range(10):
            for node in self.nodes.names:
                self.submit(node)
            self.settle(self.engine.now)

    def nodes_of(self, futures: list[TaskFuture[Any]]) -> set[str | None]:
        assert all(future.done() for future in futures)
        return {future.node for future in futures}


@pytest.mark.parametrize("behind", [1, 6])
@pytest.mark.parametrize("copies", [True, False])
@pytest.mark.parametrize("policy", HELPFUL)
def test_those_behind_one_that_hangs_start_elsewhere(
    policy: str, copies: bool, behind: int
) -> None:
    run = Run(policy, Rules(straggler=2.0 if copies else math.inf))
    run.learn()
    hung = run.submit("n0", key=HANGS)
    waiting = [run.submit("n0") for _ in range(behind)]
    run.settle(run.engine.now + 60.0)
    assert hung.running()
    assert run.nodes_of(waiting) <= {"n1", "n2"}


@pytest.mark.parametrize("copies", [True, False])
def test_so_do_they_where_data_is_fetched_ahead(copies: bool) -> None:
    rules = Rules(straggler=2.0 if copies else math.inf)
    run = Run("late_binding", rules, Service(1.0, 5.0, 9.0), fetches=True)  # reading takes 8 s
    run.learn()
    run.submit("n0", key=HANGS)
    waiting = run.submit("n0")
    run.settle(run.engine.now + 200.0)
    assert run.nodes_of([waiting]) <= {"n1", "n2"}


def test_so_do_they_where_no_task_like_them_has_been_measured() -> None:
    run = Run("late_binding", Rules(straggler=math.inf))
    run.submit("n1")  # the first of its process, which is not measured
    run.submit("n0", key=HANGS)
    waiting = run.submit("n0")
    run.settle(100.0)
    assert run.nodes_of([waiting]) <= {"n1", "n2"}


@pytest.mark.parametrize("copies", [True, False])
@pytest.mark.parametrize("policy", HELPFUL)
def test_so_do_they_where_nothing_has_ended_at_all(policy: str, copies: bool) -> None:
    run = Run(policy, Rules(straggler=2.0 if copies else math.inf))
    run.submit("n0", key=HANGS)
    waiting = [run.submit("n0") for _ in range(4)]
    run.settle(60.0)
    assert run.nodes_of(waiting) <= {"n1", "n2"}


@pytest.mark.parametrize("scale", [0.1, 1.0, 60.0])
def test_without_a_measured_time_a_task_is_taken_to_last_as_the_rates_given_say(
    scale: float,
) -> None:
    run = Run("late_binding", Rules(straggler=math.inf), Service(scale, scale, 2.0 * scale))
    run.submit("n0", key=HANGS)
    waiting = run.submit("n0")
    run.settle(2.0 * scale)
    assert not waiting.running()
    run.settle(20.0 * scale)
    assert run.nodes_of([waiting]) <= {"n1", "n2"}


# Copies, and what comes after them


def run_with_copies(policy: str, rules: Rules | None = None, **how: Any) -> Run:
    """Four nodes: at two of them tasks hang, and the other two run copies of these."""
    run = Run(policy, rules or Rules(), nodes=4, **how)
    run.learn()
    for node in ("n0", "n1"):
        run.submit(node, key=HANGS)
    run.settle(run.engine.now + 40.0)
    assert run.coordinator.core.statistics.copies == 2
    assert all(run.coordinator.core.runs(server) for server in range(4))
    return run


@pytest.mark.parametrize("home", ["n0", "n1", "n2", "n3"])
@pytest.mark.parametrize("policy", HELPFUL)
def test_tasks_that_come_after_copies_get_their_nodes(policy: str, home: str) -> None:
    run = run_with_copies(policy)
    behind = home in ("n0", "n1")
    later = [run.submit(home) for _ in range(6)]
    # One whose data a copy's node holds starts there at once.
    assert behind or later[0].node == home
    run.settle(run.engine.now + 60.0)
    assert run.nodes_of(later) <= {"n2", "n3"}
    assert run.records.outcomes[Outcome.CANCELLED] >= 1
    assert run.records.outcomes[Outcome.LOST] == 0
    assert run.coordinator.running == 2  # of those that hang, neither is given up


@pytest.mark.parametrize("policy", ["random_local", "jsq_local_only"])
def test_a_copy_stays_where_the_policy_starts_nothing_else(policy: str) -> None:
    run = run_with_copies(policy)
    waiting, local = run.submit("n0"), run.submit("n2")
    assert local.node == "n2"
    run.settle(run.engine.now + 60.0)
    assert local.done()
    assert not waiting.done()
    assert run.records.outcomes[Outcome.CANCELLED] == 1  # that at n2


def test_a_task_without_data_gets_a_copys_node_at_once() -> None:
    core, now = core_that_measured(2, Rules()), 1000.0
    core.submitted(100, [0], now)
    (copy,) = core.tick(now + 20.0)
    assert isinstance(copy, Start)
    cancel, start = core.submitted(101, None, now + 21.0)
    assert cancel == Cancel(100, 1)
    assert isinstance(start, Start)
    assert (start.task, start.server, start.pipelined) == (101, 1, False)
    assert core.runs(1) == [100, 101]  # until the copy has stopped
    assert core.failed(100, 1, now + 22.0, Cause.STOPPED) == []
    assert core.runs(1) == [101]
    assert core.finished(101, 1, now + 23.0, 1.0) == []
    assert core.runs(0) == [100]


def test_a_copy_that_is_done_before_it_stops_has_its_result_counted() -> None:
    core, now = core_that_measured(2, Rules()), 1000.0
    core.submitted(100, [0], now)
    core.tick(now + 20.0)
    core.submitted(101, None, now + 21.0)
    assert core.finished(100, 1, now + 21.1, 1.0) == [Cancel(100, 0)]
    assert core.runs(1) == [101]
    assert core.failed(100, 0, now + 22.0, Cause.STOPPED) == []
    assert core.statistics.copies_first == 1


def test_a_copy_that_is_the_last_attempt_gives_way_to_nobody() -> None:
    core, now = core_that_measured(2, Rules()), 1000.0
    core.submitted(100, [0], now)
    core.tick(now + 20.0)
    core.server_lost(0, now + 21.0)
    assert core.submitted(101, None, now + 22.0) == []
    (start,) = core.finished(100, 1, now + 23.0, 1.0)
    assert isinstance(start, Start)
    assert start.task == 101


def test_a_task_whose_last_attempt_dies_while_its_copy_gives_way_starts_again() -> None:
    core, now = core_that_measured(2, Rules()), 1000.0
    core.submitted(100, [0, 1], now)
    ((slow,),) = [core.attempts.of[100]]
    here = slow.start.server
    core.tick(now + 20.0)
    core.submitted(101, None, now + 21.0)
    core.server_lost(here, now + 21.5)
    assert core.failed(100, 1 - here, now + 22.0, Cause.STOPPED) == []
    (again,) = core.finished(101, 1 - here, now + 23.0, 1.0)
    assert isinstance(again, Start)
    assert (again.task, again.copy) == (100, False)


def test_a_task_that_hangs_is_copied_few_times_however_often_others_come() -> None:
    run = Run("late_binding", Rules(), nodes=2)
    run.learn()
    hung = run.submit("n0", key=HANGS)
    for _ in range(500):
        run.submit("n1")
        run.settle(run.engine.now + 3.0)
    assert hung.running()
    assert 3 <= run.coordinator.core.statistics.copies <= 12  # as often as its time has doubled


def test_a_look_is_taken_four_times_in_a_service_and_only_while_a_task_waits() -> None:
    run = Run("late_binding", Rules(straggler=math.inf))
    run.learn()
    run.submit("n0", key=HANGS)
    run.ticks, began = 0, run.engine.now
    run.settle(began + 1000.0)
    assert run.ticks == 0
    waiting = run.submit("n0")
    run.settle(run.engine.now + 1000.0)
    assert waiting.done()
    assert 1 <= run.ticks <= 4 * (run.engine.now - began) + 1
    assert run.coordinator.next_deadline(run.engine.now) == math.inf


@pytest.mark.parametrize(
    ("policy", "rules"),
    [
        ("random_local", Rules(straggler=math.inf)),  # by definition
        ("jsq_local_only", Rules(straggler=math.inf)),
        ("late_binding", Rules(relief=math.inf)),
        ("late_binding", Rules(straggler=math.inf, relief=math.inf)),
        ("late_binding", Rules(straggler=math.inf, measure=False)),
    ],
)
def test_nothing_starts_elsewhere_where_that_is_ruled_out(policy: str, rules: Rules) -> None:
    run = Run(policy, rules)
    run.learn()
    run.submit("n0", key=HANGS)
    waiting = run.submit("n0")
    run.settle(run.engine.now + 1000.0)
    assert not waiting.done()


def test_a_factor_below_one_is_refused() -> None:
    with pytest.raises(UsageError, match=r"relief is 0\.5; give a factor of 1 or more"):
        Rules(relief=0.5)


def test_a_policy_that_says_how_long_a_task_waits_has_the_say() -> None:
    run = Run("delay_scheduling:wait=100", Rules(straggler=math.inf))
    run.learn()
    run.submit("n0", key=HANGS)
    waiting, now = run.submit("n0"), run.engine.now
    run.settle(now + 90.0)
    assert not waiting.running()
    run.settle(now + 120.0)
    assert waiting.done()


def test_a_task_with_a_holder_that_goes_on_waits_for_it() -> None:
    core, now = core_that_measured(3), 1000.0
    for task, server in ((100, 0), (101, 1)):
        core.submitted(task, [server], now)
    assert core.submitted(102, [0, 1], now) == []
    for _ in range(8):  # those at 1 last a second each, that at 0 hangs
        now += 1.0
        assert not [action for action in core.tick(now) if isinstance(action, Start)]
        core.submitted(200 + int(now), [1], now)
        [begun] = core.finished(core.runs(1)[0], 1, now, 1.0)
        assert isinstance(begun, Start)
        assert begun.server == 1


def core_that_measured(servers: int, rules: Rules | None = None, gap: float = 0.0) -> Core:
    """A core whose tasks have taken a second each, and each server was idle for a gap between."""
    rules = rules or Rules(straggler=math.inf)
    core = Core([0] * servers, Rates(1.0, 0.5), parse("late_binding"), stream(0), rules)
    for task in range(64):
        server = task % servers
        core.submitted(task, [server], float(task))
        core.finished(task, server, task + 1.0 + gap, 1.0)
    return core


@pytest.mark.parametrize("straggler", [2.0, math.inf])
def test_one_pipelined_behind_a_task_that_hangs_is_recalled(straggler: float) -> None:
    core, now = core_that_measured(2, Rules(straggler=straggler), gap=0.5), 1000.0
    for task in range(100, 104):
        core.submitted(task, [0], now)
    hung, behind = core.runs(0)
    helped = [task for task in (102, 103) if core.runs(1) == [task]]
    recalled: list[Cancel] = []
    while not recalled:
        assert now < 1100.0
        now += 0.25
        if core.runs(1):
            core.finished(core.runs(1)[0], 1, now, 2.0)
        recalled = [action for action in core.tick(now) if isinstance(action, Cancel)]
    assert recalled == [Cancel(behind, 0)]
    assert [a for a in core.tick(now + 1.0) if isinstance(a, Cancel)] == []  # it was asked once
    core.failed(behind, 0, now + 1.0, Cause.STOPPED)
    assert core.runs(0) == [hung]  # nothing is pipelined behind it any more
    done = set(helped)
    while core.waiting or core.runs(1):
        assert now < 1200.0
        now += 0.25
        for task in core.runs(1):
            core.finished(task, 1, now, 2.0)
            done.add(task)
        core.tick(now)
    assert behind in done
    assert core.runs(0) == [hung]


def test_a_recalled_attempt_counts_as_cancelled() -> None:
    run = Run("late_binding", Rules(straggler=math.inf), gap=0.2)
    run.learn()
    run.learn()
    run.submit("n0", key=HANGS)
    waiting = [run.submit("n0") for _ in range(9)]
    assert len(run.coordinator.core.runs(0)) == 2
    run.settle(run.engine.now + 100.0)
    assert run.nodes_of(waiting) <= {"n1", "n2"}
    assert run.records.outcomes[Outcome.CANCELLED] == 1
    assert run.records.outcomes[Outcome.LOST] == 0
