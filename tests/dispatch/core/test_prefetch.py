"""Servers that fetch data for tasks to come: which, how much, and whatever happens meanwhile."""

import math
import random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from isocline.dispatch.actions import Action, Fetch, Start
from isocline.dispatch.core.core import Core
from isocline.dispatch.core.starts import PREFETCHED
from isocline.dispatch.rules import Rules
from isocline.errors import UsageError
from isocline.model.cluster import Rates
from isocline.policies.parse import scheduling_policy as parse
from isocline.policies.scheduling.contract import LOCAL, RACK, REMOTE
from isocline.randomness.draws import stream
from tests.dispatch.core.test_core_machine import Machine

SLOW = Rates(1.0, 0.5)  # fetching takes as long as a service
# Those that leave a task with the servers that hold its data until one of them is free; `fifo` and
# the like let it run anywhere, and fetch nothing.
NEAR = ("late_binding", "local_first", "delay_scheduling", "jsq_local_only")


def core_with(
    policy: str = "late_binding", servers: int = 3, rates: Rates = SLOW, most: int = 3
) -> Core:
    rules = Rules(ahead_gap=math.inf, straggler=math.inf, fetch_ahead=most)
    return Core([0] * servers, rates, parse(policy), stream(0), rules, fetches=True)


def submitted(core: Core, tasks: int, holder: int = 0) -> list[Action]:
    """Tasks whose data one server holds."""
    return [
        action for task in range(tasks) for action in core.submitted(task, [holder], 0.01 * task)
    ]


def of(kind: type[Start] | type[Fetch], actions: list[Action]) -> list[tuple[int, int]]:
    return [(one.task, one.server) for one in actions if isinstance(one, kind)]


@pytest.mark.parametrize("policy", NEAR)
def test_idle_servers_fetch_and_then_run_what_waited_elsewhere(policy: str) -> None:
    core = core_with(policy)
    actions = submitted(core, 6)
    assert of(Start, actions) == [(0, 0)]
    fetches = of(Fetch, actions)
    assert {server for _, server in fetches} == {1, 2}
    assert len({task for task, _ in fetches}) == len(fetches)
    task, server = fetches[0]
    begun = core.holds(task, [0, server], 1.0)
    [start] = [action for action in begun if isinstance(action, Start)]
    assert (start.task, start.server, start.level) == (task, server, REMOTE)
    assert start.why.endswith(PREFETCHED)
    core.fetched(task, server, 1.0, 0.9)
    assert core.statistics.fetched == 1
    assert core.statistics.started == [1, 0, 1]


@pytest.mark.parametrize("most", [1, 2, 4])
def test_a_server_fetches_for_so_many_at_once_and_no_more(most: int) -> None:
    core = core_with(most=most, servers=2)
    fetches = of(Fetch, submitted(core, 40))
    assert len(fetches) == most
    assert of(Fetch, core.fetched(*fetches[0], 1.0, 0.9)) != []


def test_the_last_that_waits_is_fetched_for_and_each_once() -> None:
    core = core_with(servers=2, most=1)
    actions = submitted(core, 9)
    [(task, server)] = of(Fetch, actions)
    assert task < 9
    order = [task]
    for _ in range(3):
        core.holds(order[-1], [0, server], 2.0)
        [(following, _)] = of(Fetch, core.fetched(order[-1], server, 2.0, 1.0))
        order.append(following)
    assert order[1:] == [8, 7, 6]


def test_nothing_is_fetched_for_a_few_that_soon_have_their_turn() -> None:
    """Of four services that fetching takes, one and a half are left to the one that waits."""
    core = core_with(servers=2, rates=Rates(1.0, 0.1))
    assert of(Fetch, submitted(core, 3)) == []
    more = [action for task in range(3, 9) for action in core.submitted(task, [0], 1.0)]
    assert of(Fetch, more) != []


@pytest.mark.parametrize("policy", ["late_binding", "local_first"])
def test_where_fetching_fails_servers_read_in_the_task_again(policy: str) -> None:
    core = core_with(policy)
    actions = submitted(core, 60)
    due, failed = of(Fetch, actions), 0
    while due:
        task, server = due.pop()
        due += of(Fetch, core.fetched(task, server, 1.0, None))
        failed += 1
    assert failed < 12
    helped = [action for task in (60, 61, 62) for action in core.submitted(task, [0], 2.0)]
    assert {action.level for action in helped if isinstance(action, Start)} == {REMOTE}


@pytest.mark.parametrize("policy", ["late_binding", "local_first"])
def test_while_it_fetches_a_server_starts_nothing_from_afar(policy: str) -> None:
    core = core_with(policy)
    actions = submitted(core, 200)
    assert of(Start, actions) == [(0, 0)]


def test_what_a_lost_server_fetched_for_others_fetch_for() -> None:
    core = core_with(servers=3, most=1)
    fetches = {server: task for task, server in of(Fetch, submitted(core, 12))}
    core.server_lost(1, 1.0)
    assert core.fetched(fetches[1], 1, 1.5, 0.5) == []  # nobody waits for it any more
    core.holds(fetches[2], [0, 2], 2.0)
    tasks = [fetches[2]]
    while more := of(Fetch, core.fetched(tasks[-1], 2, 2.0, 1.0)):
        [(task, server)] = more
        assert server == 2
        core.holds(task, [0, 2], 2.0)
        tasks.append(task)
    assert fetches[1] in tasks


def test_levels_are_those_of_the_racks() -> None:
    rules = Rules(ahead_gap=math.inf, straggler=math.inf)
    rates = Rates(1.0, 0.4, 0.6)
    core = Core([0, 0, 1], rates, parse("late_binding"), stream(0), rules, fetches=True)
    actions = submitted(core, 12)
    levels = {}
    for task, server in of(Fetch, actions):
        for action in core.holds(task, [0, server], 1.0):
            if isinstance(action, Start):
                levels[action.server] = action.level
    assert levels == {1: RACK, 2: REMOTE}


def test_what_fetching_takes_is_measured_as_part_of_a_remote_task() -> None:
    core = core_with(servers=2)
    [(task, server), *_] = of(Fetch, submitted(core, 9))
    before = core.measured.of(0).mean(REMOTE)
    core.fetched(task, server, 8.0, 8.0)
    assert core.measured.of(0).mean(REMOTE) > before
    assert core.measured.of(0).count[LOCAL] == 0


def test_where_reading_is_as_quick_as_hearing_nothing_is_fetched() -> None:
    core, now = core_with(servers=2, rates=Rates(1.0, 0.8)), 0.0
    for task in range(100, 150):
        core.submitted(task, [0], now)
        now += 1.5  # of which the service is one: half a second later than reading takes
        core.finished(task, 0, now, 1.0)
    actions = submitted(core, 50)
    assert of(Fetch, actions) == []
    assert (REMOTE, 1) in [(one.level, one.server) for one in actions if isinstance(one, Start)]


@pytest.mark.parametrize("policy", NEAR)
def test_fetched_for_is_the_first_server_for_which_most_wait(policy: str) -> None:
    """As counted anew from the queues after each event."""
    rng = random.Random(3)
    core, fetched = core_with(policy, servers=7), 0
    running: list[tuple[int, int]] = []
    coming: list[tuple[int, int]] = []
    holders: dict[int, list[int]] = {}
    unfinished: set[int] = set()

    def note(actions: list[Action]) -> None:
        nonlocal fetched
        waiting = [count for count, _ in core.snapshot().queues[:7]]
        longest = waiting.index(max(waiting))
        for task, server in of(Fetch, actions):
            assert task in core.snapshot().lists[longest]
            assert server != longest
            fetched += 1
        coming.extend(of(Fetch, actions))
        running.extend(of(Start, actions))

    for task in range(400):
        holders[task] = rng.sample(range(7 if task % 3 else 3), 2)
        unfinished.add(task)
        note(core.submitted(task, holders[task], 0.1 * task))
        if running and rng.random() < 0.8:
            done, server = running.pop(rng.randrange(len(running)))
            unfinished.remove(done)
            note(core.finished(done, server, 0.1 * task, 1.0))
        if coming and rng.random() < 0.5:
            ready, server = coming.pop(rng.randrange(len(coming)))
            if ready in unfinished:
                holders[ready].append(server)
                note(core.holds(ready, holders[ready], 0.1 * task))
            note(core.fetched(ready, server, 0.1 * task, 1.0))
    assert fetched > 50


def test_a_negative_number_of_fetches_is_refused() -> None:
    with pytest.raises(UsageError, match="fetch_ahead is -1"):
        Rules(fetch_ahead=-1)


class Fetching(Machine):
    """The core under any order of events, with servers that fetch."""

    fetches = True

    def __init__(self) -> None:
        super().__init__()
        self.coming: list[tuple[int, int]] = []

    def note(self, actions: list[Action]) -> None:
        rest: list[Action] = []
        for action in actions:
            if isinstance(action, Fetch):
                task, server = action
                data = self.holders[task]
                assert task in self.open
                assert server in self.up
                assert data is not None
                assert server not in data
                assert not self.serve(task)
                self.coming.append((task, server))
            elif isinstance(action, Start) and action.why.endswith(PREFETCHED):
                assert action.level != LOCAL
                rest.append(action._replace(level=LOCAL))
            else:
                rest.append(action)
        for _, server in self.coming:
            at = sum(other == server for _, other in self.coming)
            assert at <= self.core.rules.fetch_ahead
        super().note(rest)

    @precondition(lambda self: self.coming)
    @rule(data=st.data(), came=st.booleans())
    def come_to_hold(self, data: st.DataObject, came: bool) -> None:
        task, server = data.draw(st.sampled_from(self.coming))
        holders = self.holders[task]
        if came and task in self.open and holders is not None:
            holders.add(server)
            self.note(self.core.holds(task, sorted(holders), self.now))
        self.coming.remove((task, server))
        self.note(self.core.fetched(task, server, self.now, 0.3 if came else None))

    @precondition(lambda self: self.up)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        before = set(self.up)
        self.coming, known = [], self.coming
        super().lose(data)
        gone = before - self.up
        self.coming += [entry for entry in known if entry[1] not in gone]


Fetching.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestFetching = Fetching.TestCase
