"""More servers than the arrays had: what a policy knows of those that were there it still knows."""

import math
from functools import partial

import numpy as np
import pytest

from isocline.dispatch.actions import Action, Start
from isocline.dispatch.core.core import Core
from isocline.dispatch.rules import Rules
from isocline.model.cluster import Rates
from isocline.policies.parse import scheduling_policy as parse
from isocline.policies.scheduling.contract import LOCAL, ClusterSetting
from isocline.policies.scheduling.state.least_workload import initial_winners
from isocline.policies.scheduling.state.local_load import FACTS, LOAD
from isocline.randomness.draws import stream

BUSY, SOME, IDLE = 0, 1, 2
RATES = partial(Rates, 1.0, 0.25)


def worked(policy: str, servers: int, rack_rate: float | None = None) -> tuple[Core, float]:
    """One server has always had local tasks, one half of the time, and the others none."""
    rules = Rules(measure=False, ahead_gap=math.inf, straggler=math.inf)
    core, now = Core([0] * servers, RATES(rack_rate), parse(policy), stream(0), rules), 0.0
    if servers > IDLE + 1:  # only room for one that is to come later
        core.server_lost(servers - 1, now)
    for task in range(0, 200, 2):
        core.submitted(task, [BUSY], now)
        if task % 4 == 0:
            core.submitted(task + 1, [SOME], now)
        now += 1.0
        core.finished(task, BUSY, now, 1.0)
        if task % 4 == 0:
            core.finished(task + 1, SOME, now, 1.0)
    return core, now


def loads(core: Core) -> list[float]:
    return list(core.snapshot().memory[LOAD::FACTS][: IDLE + 1])


def test_measured_loads_are_those_of_a_core_that_had_the_column() -> None:
    moved, now = worked("late_binding", IDLE + 1)
    stayed, _ = worked("late_binding", IDLE + 2)
    assert loads(moved) == loads(stayed)
    assert loads(moved)[BUSY] > 0.9
    assert loads(moved)[SOME] < 0.7
    for core in (moved, stayed):
        core.server_up(IDLE + 1, now)
    assert len(moved.snapshot().racks) > len(stayed.snapshot().racks)
    assert loads(moved) == loads(stayed)


def test_who_was_busy_helps_no_more_readily_after_the_move() -> None:
    """A server of load 0.9 or more helps only for forty tasks at a slowdown of four."""
    for comes_up in (False, True):
        core, now = worked("late_binding", IDLE + 1)
        core.server_lost(SOME, now)
        if comes_up:
            core.server_up(9, now)
            core.server_lost(9, now)
        core.submitted(1000, [BUSY], now)
        starts = [
            (action.server, action.level)
            for task in range(1001, 1031)
            for action in core.submitted(task, [IDLE], now)
            if isinstance(action, Start)
        ]
        assert starts == [(IDLE, LOCAL)]
        starts = [
            (action.server, action.level)
            for action in core.finished(1000, BUSY, now, 0.0)
            if isinstance(action, Start)
        ]
        assert starts == []


@pytest.mark.parametrize("rack_rate", [None, 0.5])
def test_workloads_are_those_of_the_queues_after_the_move(rack_rate: float | None) -> None:
    """Values that follow from the queues are computed anew for the new columns."""
    core, now = worked("balanced_pandas", IDLE + 1, rack_rate)
    for task in range(300, 340):
        core.submitted(task, [task % 2], now)
    core.server_up(9, now, rack=0 if rack_rate is None else 1)
    found = core.snapshot()
    rack, memory = np.array(found.racks, np.int32), np.array(found.memory)
    setting = ClusterSetting(rack, int(rack.max()) + 1, np.array(RATES(rack_rate).levels))
    leaf = initial_winners(setting)[memory.size : memory.size + rack.size]
    length = np.array([length for _, length in found.queues], float).reshape(-1, rack.size)
    rates = [1.0, 0.25] if rack_rate is None else [1.0, rack_rate, 0.25]
    expected = (length / np.array(rates)[:, None]).sum(axis=0)
    assert expected[BUSY] > 1.0
    assert memory[leaf].tolist() == expected.tolist()


@pytest.mark.parametrize("policy", ["late_binding", "fifo", "local_first", "jsq_maxweight"])
def test_those_that_wait_are_all_there_after_the_move_and_in_order(policy: str) -> None:
    """Tasks of two jobs at three servers, some without data, when a ninth joins."""
    rules = Rules(measure=False, ahead_gap=math.inf, straggler=math.inf, relief=math.inf)
    core = Core([0] * 3, RATES(None), parse(policy), stream(0), rules)
    count, started = 300, list[int]()
    for task in range(count):
        holders = None if task % 10 == 9 else [task % 3]
        started += tasks(core.submitted(task, holders, 0.0, job=task % 2, function=task % 2))
    assert sorted(started) == [0, 1, 2]
    before = core.snapshot()
    started += tasks(core.server_up(8, 1.0))
    after = core.snapshot()
    assert after.waiting == before.waiting - (len(started) - 3)
    assert after.row_space == before.row_space
    while core.in_flight:
        for server in (0, 1, 2, 8):
            for task in core.runs(server):
                started += tasks(core.finished(task, server, 2.0, 1.0))
    assert sorted(started) == list(range(count))
    if policy in ("late_binding", "fifo"):  # which take the oldest of a list
        for kind in range(6):
            alike = [task for task in started if task % 6 == kind and task % 10 != 9]
            assert alike == sorted(alike)


def tasks(actions: list[Action]) -> list[int]:
    """Tasks that start."""
    return [action.task for action in actions if isinstance(action, Start)]
