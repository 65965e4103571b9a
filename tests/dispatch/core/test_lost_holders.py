"""Holders that are lost: what waits for them, and for how long, in virtual time."""

import math
from typing import Any

import pytest

from isocline.dispatch.actions import Cause, Fetch, GiveUp, Reason, Start
from isocline.dispatch.coordinator.coordinator import Coordinator
from isocline.dispatch.coordinator.nodes import Nodes
from isocline.dispatch.coordinator.task_ledger import TaskLedger
from isocline.dispatch.core.core import Core
from isocline.dispatch.engines.base import (
    Answers,
    Event,
    Node,
    NodeGone,
    NodeLost,
    NodeUp,
    Raised,
    Silent,
)
from isocline.dispatch.engines.common import calls
from isocline.dispatch.engines.fake import FakeEngine
from isocline.dispatch.errors import ChunkError, NoHolderError, UnreadError
from isocline.dispatch.futures import TaskFuture
from isocline.dispatch.rules import Rules
from isocline.dispatch.scheduler import Scheduler
from isocline.dispatch.submission.payload import Payloads
from isocline.dispatch.submission.task import Task
from isocline.dispatch.telemetry.records import Outcome, Records
from isocline.model.cluster import Rates
from isocline.policies.parse import scheduling_policy as parse
from isocline.policies.scheduling.contract import LOCAL
from isocline.randomness.draws import stream

GRACE = 15.0  # s


class Rig:
    """A run on a fake engine, without a driver: the test tells it what happens, and when."""

    def __init__(
        self, engine: FakeEngine, holder_grace: float = GRACE, *, everywhere: bool = False
    ) -> None:
        self.engine = engine
        self.events: list[Event] = []
        self.records = Records(1000)
        nodes = Nodes()
        racks = [nodes.came_up(node)[1] for node in engine.start(self.events.append)]
        core = Core(
            racks,
            Rates(1.0, 0.5),
            parse("fifo"),
            stream(1),
            Rules(holder_grace=holder_grace, straggler=math.inf),
        )
        ledger = TaskLedger(nodes, self.records, None, 0.0, 0.0)
        self.run = Coordinator(core, engine, nodes, ledger, everywhere=everywhere)
        self.calls = Payloads()
        self.count = 0

    def submit(self, *holders: str) -> TaskFuture[Any]:
        number = self.count
        self.count += 1
        future: TaskFuture[Any] = TaskFuture(str(number), number, lambda _: None)
        function, arguments = self.calls.function(len), self.calls.arguments("len", (), {})
        task = Task(
            number, str(number), function, arguments, "abc", holders, False, None, 0, future
        )
        self.run.submitted(task, self.engine.now)
        return future

    def hear(self, *more: Event) -> None:
        self.events += more
        while self.events:
            self.run.on_engine_event(self.events.pop(0), self.engine.now)

    def advance(self) -> None:
        """To the next thing that happens, and what follows from it."""
        assert self.engine.advance()
        self.hear()

    def wait(self, seconds: float) -> None:
        """Nothing happens for so long but what is due."""
        end = self.engine.now + seconds
        while (due := self.run.next_deadline(self.engine.now)) <= end:
            self.engine.now = max(self.engine.now, due)
            self.run.tick(self.engine.now)
        self.engine.now = end


def test_a_task_whose_data_were_lost_on_their_way_is_run_again() -> None:
    rig = Rig(FakeEngine(2, down=5.0))
    here, helped = rig.submit("n0"), rig.submit("n0")
    rig.engine.kill("n0")
    rig.hear()
    while not (here.done() and helped.done()):
        rig.advance()
    assert here.result() == helped.result() == 3
    assert rig.records.outcomes[Outcome.LOST] == 2  # that of n0, and the one that read from there
    assert rig.records.outcomes[Outcome.RAISED] == 0


def test_a_task_that_reads_nothing_from_a_busy_holder_tries_again_and_then_has_failed() -> None:
    rig = Rig(FakeEngine(2, down=math.inf))
    rig.engine.kill("n0")  # not heard of: it is up as far as the run knows
    (helped,) = [each for each in (rig.submit("n0"), rig.submit("n0")) if each.node == "n1"]
    rig.events.clear()
    while not helped.done():
        rig.advance()
    assert isinstance(helped.exception(), ChunkError)
    assert rig.records.outcomes[Outcome.LOST] == Rules().most_killed


def test_data_that_are_lost_again_and_again_are_given_up() -> None:
    core = Core([0, 0], Rates(1.0, 0.5), parse("fifo"), stream(1), Rules(most_killed=3))
    actions = core.submitted(7, [0], 0.0)
    for _ in range(2):
        (start,) = [action for action in actions if isinstance(action, Start)]
        actions = core.failed(7, start.server, 1.0, Cause.UNREAD)
    (last,) = actions
    assert isinstance(last, Start)
    (given_up,) = core.failed(7, last.server, 2.0, Cause.UNREAD)
    assert isinstance(given_up, GiveUp)
    assert given_up.reason is Reason.UNREAD


def test_a_task_waits_as_long_as_a_holder_is_started_again() -> None:
    rig = Rig(FakeEngine(2))
    rig.hear(NodeLost("n0", "killed by SIGKILL", returns=True))
    future = rig.submit("n0")
    rig.wait(20 * GRACE)
    assert not future.done()
    rig.hear(NodeUp(Node("n0")))
    while not future.done():
        rig.advance()
    assert future.result() == 3


@pytest.mark.parametrize("returns", [True, False])
def test_one_that_does_not_come_back_is_waited_for_no_longer_than_the_grace(returns: bool) -> None:
    rig = Rig(FakeEngine(2))
    rig.hear(NodeLost("n0", "killed by SIGKILL", returns=returns))
    future = rig.submit("n0")
    if returns:
        rig.wait(20 * GRACE)
        rig.hear(NodeGone("n0", "20 workers ended during their start"))
    assert not future.done()
    rig.wait(GRACE)
    why = "20 workers ended during their start" if returns else "killed by SIGKILL"
    with pytest.raises(NoHolderError, match=rf"n0 is down \({why}\).*holder_grace=.*everywhere"):
        future.result()


def test_without_a_grace_no_task_waits() -> None:
    rig = Rig(FakeEngine(2), holder_grace=0.0)
    rig.hear(NodeLost("n0", "killed by SIGKILL", returns=True))
    assert isinstance(rig.submit("n0").exception(), NoHolderError)


# Holders that do not answer


def helped_and_not_answered(rig: Rig) -> TaskFuture[Any]:
    """n0 hangs in code that lets nobody read from it; n1 has asked it for a chunk in vain."""
    hung, asked = rig.submit("n0"), rig.submit("n0")
    (helped,) = [each for each in (hung, asked) if each.node == "n1"]
    number = rig.run.attempts.find(1, rig.run.core.runs(1)[0])
    assert number is not None
    unread = Raised(
        number.number, "n1", *calls.failure(UnreadError("", "it fell silent")), unread=True
    )
    rig.engine.cancel("n1", number.number)
    rig.events.clear()
    rig.hear(Silent("n0"), unread)
    return helped


@pytest.mark.parametrize("grace", [0.0, GRACE])
def test_a_task_waits_for_its_only_holder_that_does_not_answer_however_long(grace: float) -> None:
    rig = Rig(FakeEngine(2), holder_grace=grace)
    rig.engine.kill("n0")  # not heard of: as far as the run knows it is up, and runs a task
    helped = helped_and_not_answered(rig)
    rig.wait(20 * GRACE)
    assert not helped.done()
    later = rig.submit("n0")
    rig.wait(20 * GRACE)
    assert not later.done()
    assert rig.run.core.runs(1) == []  # nor does a helper ask for it in vain
    rig.hear(Answers("n0"))
    while not (helped.done() and later.done()):
        rig.advance()
    assert helped.result() == later.result() == 3
    assert rig.records.outcomes[Outcome.RAISED] == 0


def test_a_silent_holder_costs_a_task_no_try_however_often() -> None:
    rig = Rig(FakeEngine(2))
    rig.engine.kill("n0")
    helped = helped_and_not_answered(rig)
    for _ in range(5):
        rig.hear(Answers("n0"))  # between two calls of its compiled code
        (task,) = rig.run.core.runs(1)
        attempt = rig.run.attempts.find(1, task)
        assert attempt is not None
        error = calls.failure(UnreadError("", "it fell silent"))
        rig.engine.cancel("n1", attempt.number)
        rig.events.clear()
        rig.hear(Silent("n0"), Raised(attempt.number, "n1", *error, unread=True))
    assert not helped.done()
    assert rig.records.outcomes[Outcome.LOST] == 6


def test_other_holders_are_read_while_one_does_not_answer() -> None:
    rig = Rig(FakeEngine(2, down=math.inf))
    rig.engine.kill("n0")
    helped = helped_and_not_answered(rig)
    both = [rig.submit("n0", "n1") for _ in range(4)]
    while not all(future.done() for future in both):
        rig.advance()
    assert {future.node for future in both} == {"n1"}
    assert not helped.done()


def test_where_the_loader_reaches_all_data_it_reads_in_place_of_a_silent_holder() -> None:
    rig = Rig(FakeEngine(2, down=math.inf), everywhere=True)
    rig.engine.kill("n0")
    helped_and_not_answered(rig)
    (start,) = rig.run.core.runs(1)  # at once
    attempt = rig.run.attempts.find(1, start)
    assert attempt is not None
    assert attempt.level == LOCAL


def test_a_silent_node_that_runs_nothing_begins_nothing_until_it_answers() -> None:
    rig = Rig(FakeEngine(2))
    rig.hear(Silent("n0"))
    futures = [rig.submit("n1", "n0") for _ in range(2)]
    assert rig.run.core.runs(0) == []
    while not all(future.done() for future in futures):
        rig.advance()
    assert {future.node for future in futures} == {"n1"}
    rig.hear(Answers("n0"))
    assert rig.submit("n0").node == "n0"


def test_a_holder_that_does_not_answer_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig(FakeEngine(2))
    for _ in range(3):
        rig.hear(Silent("n0"), Answers("n0"))
    (record,) = caplog.records
    assert "node n0 does not answer" in record.getMessage()


def test_fetches_from_a_silent_holder_do_not_end_fetching() -> None:
    def fetches_after(failures: int, *, counts: bool) -> bool:
        rules = Rules(straggler=math.inf)
        core = Core([0, 0], Rates(1.0, 0.5), parse("late_binding"), stream(1), rules, fetches=True)
        task = 0
        core.submitted(task, [0], 0.0)
        for _ in range(failures):
            fetch: list[Fetch] = []
            while not fetch:
                task += 1
                fetch = [
                    action for action in core.submitted(task, [0], 0.0) if isinstance(action, Fetch)
                ]
                if task > 200:
                    return False
            core.fetched(fetch[0].task, fetch[0].server, 0.0, None, counts=counts)
        return True

    assert fetches_after(20, counts=False)
    assert not fetches_after(20, counts=True)


# Names that no node has


def test_a_name_that_no_node_has_is_said_at_once_with_the_likely_one() -> None:
    rig = Rig(FakeEngine(3))
    with pytest.raises(
        NoHolderError,
        match=r"chunk 'abc': there is no node 'n00', did you mean 'n0'\?; the nodes are n0, n1, n2",
    ):
        rig.submit("n00").result()
    with pytest.raises(NoHolderError, match="it has no locations; correct the locations"):
        rig.submit().result()
    assert not rig.run.tasks


@pytest.mark.parametrize(
    ("everywhere", "then"),
    [
        (False, "its tasks wait 600 s for a node of that name to join"),
        (True, "until a node of that name joins, its tasks run at any node"),
    ],
)
def test_where_nodes_may_join_a_wrong_name_is_said_before_any_task_waits_for_it(
    everywhere: bool, then: str, caplog: pytest.LogCaptureFixture
) -> None:
    engine = FakeEngine(2, speed=math.inf)
    engine.fixed = False
    with Scheduler(
        engine, locations=lambda _: ["n00"], holder_grace=600.0, everywhere=everywhere
    ) as scheduler:
        future = scheduler.submit(len, "a")
        scheduler.statistics()  # by then the driver has taken the task
        (record,) = caplog.records
        assert everywhere or not future.done()
        future.cancel()
    assert "no node 'n00', did you mean 'n0'?; the nodes are n0, n1" in record.getMessage()
    assert then in record.getMessage()


def test_many_wrong_names_are_not_all_said(caplog: pytest.LogCaptureFixture) -> None:
    with Scheduler(
        FakeEngine(2, speed=math.inf), locations=lambda chunk: ["n1", f"m{chunk}"]
    ) as scheduler:
        assert len(list(scheduler.map(len, map(str, range(100))))) == 100
    *named, last = caplog.records
    assert len(named) == 8
    assert last.getMessage() == "locations: there are further unknown names of nodes"


def test_a_wrong_name_beside_a_right_one_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    with Scheduler(FakeEngine(2, speed=math.inf), locations=lambda _: ["n1", "n11"]) as scheduler:
        assert list(scheduler.map(len, ["a", "b"])) == [1, 1]
    (record,) = caplog.records
    assert "there is no node 'n11', did you mean 'n1'?" in record.getMessage()
