"""Resizing of the core's arrays for other servers or racks, with requeueing of displaced tasks."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from isocline.dispatch.actions import Action
from isocline.dispatch.core.kernels import state
from isocline.dispatch.core.policy_state import PolicyState
from isocline.dispatch.core.running_tasks import RunningTasks
from isocline.dispatch.core.state import State
from isocline.dispatch.core.waiting_tasks import (
    all_waiting,
    described,
    waiting_for,
    withdraw,
    without,
)
from isocline.policies.scheduling.state.tasks import NONE


def fits(board: PolicyState, server: int, rack: int) -> bool:
    """Whether the policy state has a column for this server, in this rack."""
    if server >= board.setting.size:
        return False
    return not board.has_racks or int(board.setting.rack[server]) == rack


def wider_state(board: PolicyState, racks: Mapping[int, int], servers: RunningTasks) -> PolicyState:
    """Build a policy state with columns for these servers; the policy keeps its memory."""
    old = board.setting
    last = max(racks)
    size = old.size if last < old.size else 2 * (last + 1)
    rack = np.full(size, racks[last], np.int32)
    for server, its in racks.items():
        rack[server] = its
    count = int(rack.max()) + 1 if board.has_racks else 1
    setting = replace(old, rack=rack, racks=count)
    wider = PolicyState(setting, board.policy, board.rng, has_racks=board.has_racks)
    # From the last place on, as a set of idle servers is closed up by its last member.
    for server in range(size - 1, -1, -1):
        if server not in servers.at:
            wider.event(state.DOWN, server)
    known = board.policy.remembers * old.size
    wider.view.memory[:known] = board.view.memory[:known]
    return wider


def seat(board: PolicyState, wider: PolicyState, servers: RunningTasks) -> dict[int, int]:
    """Enter the running tasks into the wider policy state.

    Returns:
        Their new numbers by the old.
    """
    numbers: dict[int, int] = {}
    for server, attempts in servers.at.items():
        for i, attempt in enumerate(attempts):
            what = state.SET_PIPELINED if i else state.START_COPY
            number = numbers.get(attempt.number, NONE)
            if number == NONE:
                wider.describe(*board.described(attempt.number))
            wider.event(what, server, number)
            numbers[attempt.number] = wider.given() if number == NONE else number
            attempt.number = numbers[attempt.number]
    return numbers


def leave(table: State, server: int, now: float) -> list[Action]:
    """Remove a lost server; tasks that waited for it are requeued elsewhere, in their order."""
    board = table.board
    # All are withdrawn before any is requeued: the queue of a server that is down must be empty.
    numbers = waiting_for(board, server)
    withdraw(board, numbers)
    table.waiting -= int(numbers.size)
    table.no_longer_holds(server)
    table.no_longer_comes(server)
    board.event(state.DOWN, server)
    up = tuple(table.servers.at)
    again, orphans = without(board, numbers, server, table.anywhere, up)
    # The last first, each before all others, so that they keep their order.
    for number in reversed(orphans.tolist()):
        table.orphaned(described(board, number)[0], now)
    board.set_moved(again[::-1], up)
    return _come_again(table, now)


def _come_again(table: State, now: float) -> list[Action]:
    """Requeue withdrawn tasks before all others, each before the one that came before."""
    board, numbers = table.board, table.board.floor.moved[1:]
    actions: list[Action] = []
    came = 0
    while came < numbers.size:
        board.event(state.REQUEUE, 0, 0, now, table.learning.ahead)
        before, came = came, board.moved()
        table.waiting += came - before
        holders, _, _ = board.facts(int(numbers[came - 1]))
        actions += table.has_come(holders, now)
    return actions


def move(table: State, now: float) -> list[Action]:
    """Move everything to a policy state with more columns."""
    old = table.board
    table.board = wider_state(old, table.racks, table.servers)
    table.shares.moved(table.board)
    for server in table.fetching.coming():
        table.board.floor.coming[server] += 1
    table.go_by_rates(anew=True)
    seat(old, table.board, table.servers)
    for attempts in table.servers.at.values():
        for attempt in attempts:
            if attempt.task in table.number:
                table.number[attempt.task] = attempt.number
    table.waiting = 0
    actions: list[Action] = []
    for number in all_waiting(old).tolist():
        description, holders = described(old, number)
        actions += table.come(description, holders, now)
    return actions
