"""Snapshot of a core, for tests and diagnosis."""

from dataclasses import dataclass, replace
from typing import final

from isocline.dispatch.core.state import Counts, State


@final
@dataclass(frozen=True)
class CoreSnapshot:
    """State of a core at one moment, as plain data; servers and tasks by the caller's numbers.

    Queues and lists are those of the policy: of M columns for servers those of server m are number
    m, of policies with several queues for each server also m + M, m + 2 M and so on. Without late
    binding a queue's tasks stand in its list; with it each task stands in the lists of all its
    holders.
    """

    running: dict[int, tuple[int, ...]]  # by server that is up: the running task, the pipelined one
    unplaceable: tuple[int, ...]  # tasks without a holder that is up, in order of their admission
    waiting: int  # tasks that wait for a server, each once, without unplaceable ones
    queues: tuple[tuple[int, int], ...]  # of each: waiting tasks, and length as the policy has it
    lists: tuple[tuple[int, ...], ...]  # waiting tasks of each in order; then of each job's
    memory: tuple[float, ...]  # of the policy, see `policies.scheduling`
    racks: tuple[int, ...]  # of each column for a server; there may be more columns than servers
    row_space: int  # tasks for which there is space
    list_space: int  # entries of lists for which there is space
    counts: Counts  # a copy


def snapshot(state: State) -> CoreSnapshot:
    """Copy the state of a core."""
    arrays, counts = state.policy_state, state.counts
    return CoreSnapshot(
        running={
            server: tuple(attempt.start.task for attempt in attempts)
            for server, attempts in state.attempts.at.items()
        },
        unplaceable=tuple(state.unplaceable.tasks()),
        waiting=state.waiting,
        queues=arrays.queues(),
        lists=arrays.lists(),
        memory=tuple(arrays.view.memory.tolist()),
        racks=tuple(arrays.setting.rack.tolist()),
        row_space=arrays.view.tasks.fact.shape[0],
        list_space=arrays.view.lists.entry.size,
        counts=replace(counts, started=list(counts.started)),
    )
