"""A server that is lost while tasks wait: all at once as task by task, and in time."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isocline.dispatch.actions import Action, GiveUp, Start
from isocline.dispatch.core.admission import admit, unqueue
from isocline.dispatch.core.core import Core
from isocline.dispatch.core.kernels.state import MOST_HOLDERS, REQUEUE, SERVER_LOST
from isocline.dispatch.core.resize import waiting_for
from isocline.dispatch.core.snapshot import CoreSnapshot
from isocline.dispatch.rules import Rules
from isocline.model.cluster import Rates
from isocline.policies.parse import scheduling_policy as parse
from isocline.policies.scheduling import ALL
from isocline.randomness.draws import stream

Lose = Callable[[Core, int, float], list[Action]]
POLICIES = [*ALL, "local_first:count=waiting"]


def one_by_one(core: Core, server: int, now: float) -> list[Action]:
    """Each task that waited for the server is taken back, then each comes by itself."""
    state, arrays, failures = core.state, core.state.policy_state, core.failures
    actions: list[Action] = []
    again = []
    for attempt in state.attempts.lose(server):
        task = attempt.start.task
        core.statistics.lost += 1
        if state.is_unserved(task) and attempt.began < math.inf:
            actions += failures.blame(task, server)
        if state.is_unserved(task):
            again.append(arrays.spec(attempt.row))
    moved = []
    for row in waiting_for(arrays, server).tolist():
        _, holders = arrays.spec(row)
        moved.append((unqueue(state, row), holders))
    state.drop_holder(server)
    state.forget_prefetches(server)
    arrays.event(SERVER_LOST, server)
    for spec, holders in [*reversed(moved), *reversed(again)]:
        actions += admit(state, spec, holders, now, REQUEUE) + failures.overdue(now)
    return actions + failures.overdue(now)


def at_once(core: Core, server: int, now: float) -> list[Action]:
    return core.server_lost(server, now)


def found(core: Core) -> CoreSnapshot:
    """All of the state but the space that arrays have, and what a policy remembers."""
    return replace(core.snapshot(), row_space=0, list_space=0, memory=())


def system(policy: str, servers: int, *, racks: bool, ahead: bool, fetches: bool) -> Core:
    rules = Rules(
        ahead_gap=0.0 if ahead else math.inf, straggler=math.inf, holder_grace=3.0 * racks
    )
    rates = Rates(1.0, 0.4, 0.7 if racks else None)
    rack = [server % 3 for server in range(servers)]
    core = Core(rack, rates, parse(policy), stream(3), rules, fetches=fetches)
    if ahead:  # as if it had been measured
        core.state.learning.pipelining_gap = 0.8
    return core


class Run:
    """One core under events that another gets, too; `log` is what it did."""

    def __init__(self, core: Core, lose: Lose, seed: int):
        self.core, self.lose = core, lose
        self.rng = np.random.default_rng(seed)
        self.now, self.tasks = 1.0, 0
        self.running: list[tuple[int, int]] = []
        self.up = set(core.snapshot().running)
        self.log: list[Any] = []

    def note(self, actions: list[Action]) -> None:
        starts = [a for a in actions if isinstance(a, Start)]
        self.running += [(a.task, a.server) for a in starts]
        # Those that have no server left may be given up before others start, or after.
        self.log.append([a for a in actions if not isinstance(a, GiveUp)])
        self.log.append(sorted(a.task for a in actions if isinstance(a, GiveUp)))

    def submit(self, count: int, servers: int, jobs: int) -> None:
        for _ in range(count):
            anywhere = self.rng.random() < 0.15
            most = int(self.rng.integers(1, 4))
            holders = self.rng.choice(servers, min(most, servers), replace=False).tolist()
            job = int(self.rng.integers(jobs))
            local = None if anywhere else holders
            self.note(self.core.submitted(self.tasks, local, self.now, job, job % 2))
            self.tasks += 1

    def work(self, count: int) -> None:
        for _ in range(count):
            if not self.running:
                return
            task, server = self.running.pop(int(self.rng.integers(len(self.running))))
            self.now += 0.1
            self.note(self.core.finished(task, server, self.now, 0.1))

    def go(self, server: int) -> None:
        if server in self.up:
            self.up.remove(server)
            self.running = [(task, at) for task, at in self.running if at != server]
            self.note(self.lose(self.core, server, self.now))
        else:
            self.up.add(server)
            self.note(self.core.server_up(server, self.now, server % 3))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), st.sampled_from([1, 7, 40])),
        st.tuples(st.just("work"), st.integers(1, 12)),
        st.tuples(st.just("go"), st.integers(0, 4)),
    ),
    min_size=3,
    max_size=12,
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    steps=STEPS,
    seed=st.integers(0, 2**32 - 1),
    racks=st.booleans(),
    ahead=st.booleans(),
    fetches=st.booleans(),
    jobs=st.sampled_from([1, 3]),
)
@pytest.mark.parametrize("policy", POLICIES)
def test_all_at_once_is_as_task_by_task(
    policy: str, steps: list[tuple[str, int]], seed: int, racks: bool, ahead: bool, fetches: bool,
    jobs: int,
) -> None:  # fmt: skip
    cores = [system(policy, 5, racks=racks, ahead=ahead, fetches=fetches) for _ in range(2)]
    runs = [Run(core, lose, seed) for core, lose in zip(cores, (at_once, one_by_one), strict=True)]
    for what, much in [("submit", 40), *steps, ("go", 0), ("work", 1000)]:
        for run in runs:
            if what == "submit":
                run.submit(much, 5, jobs)
            elif what == "work":
                run.work(much)
            else:
                run.go(much)
        one, two = runs
        assert one.log == two.log
        assert found(one.core) == found(two.core)
    assert not one.running


@pytest.mark.parametrize("policy", ["late_binding", "random_local"])
def test_tasks_without_data_among_more_servers_than_are_local_to_one(policy: str) -> None:
    servers = MOST_HOLDERS + 8
    results = []
    for lose in (at_once, one_by_one):
        run = Run(system(policy, servers, racks=False, ahead=False, fetches=False), lose, 0)
        for task in range(300):
            run.note(run.core.submitted(task, None if task % 3 else [task % servers], 1.0))
        for server in (0, 5, servers - 1):
            run.go(server)
        run.work(1000)
        counts = run.core.statistics
        results.append((run.log, counts.finished, counts.given_up))
    assert results[0] == results[1]
    assert results[0][1] + results[0][2] == 300


@pytest.mark.parametrize("policy", ["late_binding", "jsq_local_only"])
def test_many_tasks_are_moved_and_none_is_forgotten(policy: str) -> None:
    """So many that lists, and tasks' numbers, run out of room on the way."""
    run = Run(system(policy, 5, racks=False, ahead=False, fetches=False), at_once, 1)
    run.submit(20_000, 5, 3)
    run.go(2)
    waiting, given_up = run.core.waiting, run.core.statistics.given_up
    assert waiting + given_up + run.core.in_flight == 20_000
    assert 1_000 < given_up < 3_000  # those held by that server only: 0.85 / 3 / 5 of all
    run.work(20_000)
    assert run.core.statistics.finished == 20_000 - given_up
    assert run.core.waiting == 0
