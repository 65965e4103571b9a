"""Snapshot of a core, for tests and diagnosis."""

from dataclasses import dataclass, replace
from typing import final

from isocline.dispatch.core.state import Counts, State


@final
@dataclass(frozen=True)
class CoreSnapshot:
    """State of a core at one moment, as plain data, with the caller's numbers of servers and tasks.

    Queues and lists are the policy's: with M columns for servers, server m has queue m and, under
    policies with several queues per server, also m + M, m + 2 M and so on. Without late binding, a
    queue's tasks are in its list; with it, each task is in the lists of all its holders.
    """

    running: dict[int, tuple[int, ...]]  # by server that is up: running task, pipelined one
    unplaceable: tuple[int, ...]  # unplaceable tasks, in order of admission
    waiting: int  # number of waiting tasks, without unplaceable ones
    queues: tuple[tuple[int, int], ...]  # of each: waiting tasks; length as the policy sees it
    lists: tuple[tuple[int, ...], ...]  # waiting tasks of each, in order; then of each job's lists
    memory: tuple[float, ...]  # the policy's memory, see `policies.scheduling`
    racks: tuple[int, ...]  # rack of each column; there may be more columns than servers
    row_space: int  # number of tasks for which there is space
    list_space: int  # number of list entries for which there is space
    counts: Counts  # a copy
    reserved: tuple[int, ...] = ()  # tasks that wait for resources, in order


def snapshot(state: State) -> CoreSnapshot:
    """Copy the state of a core."""
    arrays, counts = state.policy_state, state.counts
    return CoreSnapshot(
        running={
            server: tuple(attempt.start.task for attempt in attempts)
            for server, attempts in state.attempts.at.items()
        },
        unplaceable=tuple(state.unplaceable.of),
        waiting=state.waiting,
        queues=arrays.queues(),
        lists=arrays.lists(),
        memory=tuple(arrays.view.memory.tolist()),
        racks=tuple(arrays.setting.rack.tolist()),
        row_space=arrays.view.tasks.fact.shape[0],
        list_space=arrays.view.lists.entry.size,
        counts=replace(counts, started=list(counts.started)),
        reserved=tuple(state.resources.waiting),
    )
