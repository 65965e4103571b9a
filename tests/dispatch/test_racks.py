"""Three levels live: racks of nodes in what is decided, fetched, measured and explained."""

import math
from collections.abc import Sequence
from typing import Any

import pytest

from isocline.dispatch.actions import Action, Fetch, Start
from isocline.dispatch.coordinator.coordinator import Coordinator
from isocline.dispatch.coordinator.nodes import Nodes
from isocline.dispatch.coordinator.task_ledger import TaskLedger
from isocline.dispatch.core.core import Core
from isocline.dispatch.core.service_times import MeasuredRates
from isocline.dispatch.engines.base import Event, Node, WorkItem
from isocline.dispatch.engines.fake import FakeEngine, Fault, Service
from isocline.dispatch.explain import explain
from isocline.dispatch.futures import TaskFuture
from isocline.dispatch.rules import Rules
from isocline.dispatch.setup import prior
from isocline.dispatch.submission.payload import Payloads
from isocline.dispatch.submission.task import Task
from isocline.dispatch.telemetry.demand import Demand
from isocline.dispatch.telemetry.records import AttemptRecord, Records
from isocline.model.cluster import Rates
from isocline.policies.parse import scheduling_policy as parse
from isocline.policies.scheduling.contract import LOCAL, RACK, REMOTE
from isocline.randomness.draws import stream

RATES = Rates(1.0, 0.4, 0.8)
HELPFUL = ("late_binding", "local_first")
QUIET = Rules(ahead_gap=math.inf, straggler=math.inf)


class Run:
    """A run on a fake engine in virtual time."""

    def __init__(
        self,
        nodes: Sequence[Node],
        policy: str = "late_binding",
        service: Service | None = None,
        *,
        down: float = 1.0,
        fetches: bool = False,
    ) -> None:
        self.asked: list[tuple[str, tuple[str, ...]]] = []  # nodes, and holders that they ask
        self.engine = FakeEngine(
            nodes, service=service, fault=self._begins, down=down, fetches=fetches
        )
        self.events: list[Event] = []
        self.records, self.nodes = Records(10_000), Nodes()
        racks = [self.nodes.came_up(node)[1] for node in self.engine.start(self.events.append)]
        rates = prior(len(set(racks)))
        self.core = Core(racks, rates, parse(policy), stream(1), QUIET, fetches=fetches)
        ledger = TaskLedger(self.nodes, self.records, None, 0.0, 0.0)
        self.run = Coordinator(self.core, self.engine, self.nodes, ledger)
        self.calls = Payloads()
        self.futures: list[TaskFuture[Any]] = []

    def _begins(self, node: str, work: WorkItem) -> Fault | None:
        self.asked.append((node, tuple(work.holders)))
        return None

    def submit(self, *holders: str) -> None:
        number = len(self.futures)
        future: TaskFuture[Any] = TaskFuture(str(number), number, lambda _: None)
        function, arguments = self.calls.function(len), self.calls.arguments("len", (), {})
        chunk = f"c{number}"
        task = Task(number, chunk, function, arguments, chunk, holders, False, None, 0, future)
        self.futures.append(future)
        self.run.submitted(task, self.engine.now)

    def settle(self, events: float = math.inf) -> None:
        """All that happens, or so many events."""
        while events > 0 and (self.engine.advance() or self.events):
            events -= 1
            while self.events:
                self.run.on_engine_event(self.events.pop(0), self.engine.now)
            if self.run.next_deadline(self.engine.now) <= self.engine.now:
                self.run.tick(self.engine.now)

    def ended(self) -> list[AttemptRecord]:
        return list(self.records)


def racked(*racks: str | None) -> list[Node]:
    return [Node(f"n{number}", rack) for number, rack in enumerate(racks)]


def core_of(racks: Sequence[int], policy: str = "late_binding", *, fetches: bool = False) -> Core:
    return Core(racks, RATES, parse(policy), stream(0), QUIET, fetches=fetches)


def of(kind: type[Start] | type[Fetch], actions: list[Action]) -> list[tuple[int, int]]:
    return [(one.task, one.server) for one in actions if isinstance(one, kind)]


# Reading


def test_a_node_asks_the_holders_of_its_rack_first() -> None:
    run = Run(racked("r", "s", "r", "s"), "fifo")
    for _ in range(60):
        run.submit("n0", "n1")
    run.settle()
    first = {"n0": "n0", "n1": "n1", "n2": "n0", "n3": "n1"}
    assert {node for node, _ in run.asked} == set(first)
    assert {(node, holders[0]) for node, holders in run.asked} == set(first.items())


def test_holders_keep_their_order_where_all_are_in_one_rack() -> None:
    run = Run(racked("r", "r", "r"), "fifo")
    for _ in range(20):
        run.submit("n1", "n0")
    run.settle()
    assert {holders for _, holders in run.asked} == {("n1", "n0")}


# Reduction to two levels


@pytest.mark.parametrize("policy", HELPFUL)
@pytest.mark.parametrize("fetches", [True, False])
def test_one_rack_of_all_nodes_is_as_none(policy: str, fetches: bool) -> None:
    found = []
    for rack in ("r", None):
        run = Run(racked(*[rack] * 5), policy, Service(1.0, 1.5, 1.5), fetches=fetches)
        for number in range(200):
            run.submit(*(f"n{node}" for node in {number % 3, number % 2}))
            run.settle(number % 8 == 0)
        run.settle()
        found.append((run.ended(), run.asked, run.core.rates))
    assert found[0] == found[1]
    assert len({record.node for record in found[0][0]}) == 5


def test_a_rack_for_each_node_has_no_tasks_in_racks() -> None:
    run = Run(racked(*"abcd"), "local_first", Service(1.0, 1.0, 2.0))
    for _ in range(100):
        run.submit("n0")
    run.settle()
    assert run.core.statistics.started[RACK] == 0
    assert run.core.statistics.started[REMOTE] > 0


# Help


@pytest.mark.parametrize("policy", HELPFUL)
def test_help_comes_from_the_rack_first_and_then_from_afar(policy: str) -> None:
    core = core_of([0, 0, 1], policy)
    actions = [one for task in range(40) for one in core.submitted(task, [0], 0.01 * task)]
    starts = [one for one in actions if isinstance(one, Start)]
    assert [(one.server, one.level) for one in starts] == [(0, LOCAL), (1, RACK), (2, REMOTE)]


def test_racks_that_are_alike_help_only_within() -> None:
    """Two racks with the same hot spot each: no task crosses, as each rack is enough for itself."""
    run = Run(racked("r", "r", "r", "s", "s", "s"), "local_first", Service(1.0, 1.25, 8.0))
    for _ in range(60):
        run.submit("n0")
        run.submit("n3")
    run.settle()
    started = run.core.statistics.started
    assert started[RACK] > 10
    tasks = [sum(record.node in rack for record in run.ended()) for rack in ("n0n1n2", "n3n4n5")]
    assert abs(tasks[0] - tasks[1]) <= 2


def test_data_is_fetched_within_the_rack_first() -> None:
    core = core_of([0, 1, 1, 0], fetches=True)
    actions = [one for task in range(60) for one in core.submitted(task, [task % 2], 0.0)]
    for task, server in of(Fetch, actions):
        assert task % 2 == (server in (1, 2)), "the list of its rack is as long as the other"
    assert {server for _, server in of(Fetch, actions)} == {2, 3}


def test_data_comes_from_another_rack_where_its_own_has_nothing_to_do() -> None:
    core = core_of([0, 1], fetches=True)
    actions = [one for task in range(30) for one in core.submitted(task, [0], 0.0)]
    assert {server for _, server in of(Fetch, actions)} == {1}


@pytest.mark.parametrize("racks", [[0, 1, 1, 0], [0, 0, 1, 1]])
def test_a_copy_of_a_straggler_goes_to_its_rack(racks: list[int]) -> None:
    rules = Rules(ahead_gap=math.inf, straggler=2.0)
    core = Core(racks, RATES, parse("late_binding"), stream(0), rules)
    for task in range(20):
        core.submitted(task, [0], float(task))
        core.finished(task, 0, task + 1.0, 1.0)
    core.submitted(20, [0], 20.0)
    now, actions = 20.0, list[Action]()
    while not actions and now < 100.0:
        now = max(core.next_deadline(now), now + 0.01)
        actions = core.tick(now)
    [copy] = [one for one in actions if isinstance(one, Start)]
    assert (copy.copy, copy.level) == (True, RACK)
    assert racks[copy.server] == 0


def test_a_task_with_needs_starts_in_the_rack_of_its_data() -> None:
    core = core_of([0, 1, 0])
    need = (("gpu", 1.0),)
    for server in (1, 2):
        core.equip(server, server, {"gpu": 1.0})
    [start] = core.submitted(0, [0], 0.0, need=need)
    assert isinstance(start, Start)
    assert (start.server, start.level) == (2, RACK)
    # Server 1, in the rack of its own data, takes the second of two that wait for a GPU.
    core.submitted(1, [0], 0.0, need=need)
    for task, holder in ((2, 0), (3, 1)):
        core.submitted(task, [holder], 0.0, need=need)
    [after] = [one for one in core.finished(1, 1, 1.0, 1.0) if isinstance(one, Start)]
    assert (after.task, after.level) == (3, LOCAL)


def test_a_rack_that_joins_counts_although_there_was_one_at_first() -> None:
    core = Core([0, 0], prior(2), parse("local_first"), stream(0), QUIET)
    core.server_up(2, 0.0, rack=1)
    actions = [one for task in range(40) for one in core.submitted(task, [0], 0.0)]
    levels = {one.server: one.level for one in actions if isinstance(one, Start)}
    assert levels == {0: LOCAL, 1: RACK, 2: REMOTE}


# Rates by level


def test_rates_are_measured_by_level() -> None:
    service = Service(1.0, 1.25, 4.0)
    run = Run(racked("r", "r", "s"), "fifo", service)
    for _ in range(900):
        run.submit("n0")
    run.settle()
    found, wanted = run.core.rates, [1.0 / seconds for seconds in service]
    assert found == pytest.approx(wanted, rel=0.12)  # priors weigh as ten tasks
    assert found[LOCAL] > found[RACK] > found[REMOTE]


def test_a_level_that_none_has_measured_keeps_its_ratio_to_the_others() -> None:
    measured = MeasuredRates(prior(2))
    for _ in range(500):
        measured.of(0).observe(LOCAL, 3.0)
    rates = measured.changed()
    assert rates is not None
    assert rates / rates[LOCAL] == pytest.approx([1.0, 2.0**-0.5, 0.5], rel=1e-9)


# Faults


@pytest.mark.parametrize("policy", HELPFUL)
@pytest.mark.parametrize("returns", [True, False])
def test_a_whole_rack_goes_and_each_task_still_ends_once(policy: str, returns: bool) -> None:
    """Each chunk is in two racks, as in HDFS."""
    nodes = racked("r", "r", "s", "s", "t", "t")
    run = Run(nodes, policy, Service(1.0, 1.25, 2.0), down=5.0 if returns else math.inf)
    for number in range(150):
        run.submit(f"n{number % 6}", f"n{(number + 2) % 6}")
    run.settle(40)
    for name in ("n0", "n1"):
        run.engine.kill(name)
    lost_at = run.engine.now
    run.settle()
    assert all(future.done() and not future.exception() for future in run.futures)
    finished = [record.key for record in run.ended() if record.outcome == "finished"]
    assert len(finished) == len(set(finished)) == 150
    later = {record.node for record in run.ended() if record.started > lost_at}
    assert ({"n0", "n1"} <= later) == returns


# Explanations


def test_an_explanation_says_which_levels_are_assumed() -> None:
    demand = Demand()
    for level, node, seconds in (("local", "n0", 1.0), ("remote", "n2", 4.0)):
        demand.finished("x", ["n0"], node, level, seconds)
    nodes = racked("r", "r", "s")
    assumed = explain(demand, nodes, 1.0)
    assert "no task ran in the rack of its data" in assumed.basis
    demand.finished("x", ["n0"], "n1", "rack", 2.0)  # the geometric mean itself
    demand.types[("n0",)] -= 1
    demand.tasks["rack"] = 0
    known = explain(demand, nodes, 1.0)
    assert known.basis == ""
    assert known.capacity_scale == pytest.approx(assumed.capacity_scale)


def test_without_racks_nothing_is_assumed_of_any() -> None:
    demand = Demand()
    for level, node, seconds in (("local", "n0", 1.0), ("remote", "n2", 4.0)):
        demand.finished("x", ["n0"], node, level, seconds)
    assert explain(demand, racked(None, None, None), 1.0).basis == ""
    assert explain(demand, racked("r", "s", "t"), 1.0).basis == ""
