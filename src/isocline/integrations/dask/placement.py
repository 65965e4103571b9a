"""Placement of a Dask scheduler's tasks: keys in, workers out.

All decisions are the dispatch core's, and so those of its policy. Here are keys in place of
numbers, and workers in place of servers: a worker of n threads is n servers. A task that Dask has
placed itself occupies one of its worker's servers, so that the core gives it to nobody else: an
idle one or, if there is none, the next one whose task ends. So what follows from a task that has
ended runs before others begin, as Dask means it to.
"""

import heapq
import math
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import final

from isocline.dispatch.actions import Action, Cancel, Cause, GiveUp, Start
from isocline.dispatch.core.core import Core
from isocline.dispatch.rules import Rules
from isocline.model.cluster import Rates
from isocline.policies.scheduling.contract import LOCAL, SchedulingPolicy
from isocline.policies.scheduling.state.tasks import NONE
from isocline.randomness.draws import Stream

# Dask runs a key once at a time, so no copies of stragglers; a task whose holders are lost is
# handed back at once.
_RULES = Rules(holder_grace=0.0, straggler=math.inf)
_PLACED_BY_DASK = 0  # function of tasks whose times say nothing of ours
_LOOK = 0.1  # s, at least, between two looks for stragglers, each of which wakes the scheduler


@final
@dataclass(slots=True, eq=False)
class _Task:
    """Task that waits here or, with a slot, is at a worker."""

    key: Hashable
    number: int
    is_ours: bool  # not placed by Dask
    slot: int = NONE


@final
@dataclass(slots=True)
class Decisions:
    """Decisions since they were last taken.

    Attributes:
        starts: Worker of each task that is bound.
        recalls: Tasks that wait at a worker behind one that takes too long: take them back.
        dropped: Tasks of which no holder is left: they are Dask's to place.
    """

    starts: dict[Hashable, str] = field(default_factory=dict)
    recalls: list[Hashable] = field(default_factory=list)
    dropped: list[Hashable] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.starts or self.recalls or self.dropped)


@final
class Placement:
    """Binds the tasks of one Dask scheduler to the threads of its workers. Times are in s."""

    def __init__(self, policy: SchedulingPolicy, rates: Rates, rng: Stream) -> None:
        """Initialise, without workers; compiles the policy, which may take seconds."""
        self.local, self.remote = 0, 0  # tasks bound
        self._core = Core((), rates, policy, rng, _RULES)
        self._has_clock = policy.waits
        self._slots: dict[str, list[int]] = {}  # by worker
        self._worker: list[str] = []  # by slot
        self._attempts: list[int] = []  # by slot
        self._free: list[int] = []  # numbers of lost slots, to be used again
        self._tasks: dict[Hashable, _Task] = {}  # by key
        self._numbered: dict[int, _Task] = {}
        # Placed by Dask, without a slot yet, by worker; and the worker of each.
        self._beyond: dict[str, dict[Hashable, None]] = {}
        self._beyond_at: dict[Hashable, str] = {}
        self._functions: dict[str, int] = {}  # by kind of task
        self._last = 0
        self._decisions = Decisions()

    # Workers

    @property
    def workers(self) -> Iterable[str]:
        """Workers that are up."""
        return self._slots.keys()

    def worker_up(self, worker: str, threads: int, now: float) -> None:
        """Add a worker."""
        if worker in self._slots:
            return
        slots = self._slots[worker] = []
        for _ in range(threads):
            slot = self._new_slot()
            slots.append(slot)
            self._worker[slot], self._attempts[slot] = worker, 0
            self._apply(self._core.server_up(slot, now))

    def worker_lost(self, worker: str, now: float) -> None:
        """Remove a worker; its tasks are forgotten, and those that wait for it wait for others."""
        for slot in self._slots.get(worker, ()):
            for number in self._core.runs(slot):
                task = self._numbered.get(number)
                if task is not None and task.key not in self._decisions.starts:  # it was sent
                    self._forget(task)
                    self._core.cancelled(number, now)
        for key in self._beyond.pop(worker, ()):
            del self._beyond_at[key]
        for slot in self._slots.pop(worker, ()):
            for key in list(self._decisions.starts):
                if (task := self._tasks[key]).slot == slot:
                    del self._decisions.starts[key]
                    task.slot = NONE
            self._apply(self._core.server_lost(slot, now))
            heapq.heappush(self._free, slot)

    # Tasks

    def __contains__(self, key: Hashable) -> bool:
        """Whether a task waits here, or is bound by us."""
        task = self._tasks.get(key)
        return task is not None and task.is_ours

    def worker_of(self, key: Hashable) -> str | None:
        """Return the worker that a task is bound to, if any."""
        task = self._tasks.get(key)
        return None if task is None or task.slot == NONE else self._worker[task.slot]

    def has_bound(self, key: Hashable) -> bool:
        """Whether a task is bound by us."""
        task = self._tasks.get(key)
        return task is not None and task.is_ours and task.slot != NONE

    def waits(self, key: Hashable) -> bool:
        """Whether a task waits here."""
        task = self._tasks.get(key)
        return task is not None and task.slot == NONE

    @property
    def waiting(self) -> int:
        """Number of waiting tasks."""
        return self._core.waiting

    def submit(
        self, key: Hashable, holders: Iterable[str], kind: str, now: float, *, first: bool = False
    ) -> None:
        """Submit a task whose data these workers hold.

        Args:
            key: Key of the task, which must not be here.
            holders: Workers, at least one of which is up.
            kind: Kind of task; those of one kind take similarly long.
            now: Time, s.
            first: Whether it goes before all that wait.
        """
        function = self._functions.setdefault(kind, len(self._functions) + 1)
        slots, task = self._slots_of(holders), self._enter(key, is_ours=True)
        self._apply(self._core.submitted(task.number, slots, now, 0, function, first=first))

    def occupy(self, key: Hashable, worker: str, now: float) -> None:
        """Note that Dask has placed a task itself."""
        if key in self._tasks or key in self._beyond_at or worker not in self._slots:
            return
        for slot in self._slots[worker]:
            if not self._attempts[slot]:
                self._occupy(key, slot, now)
                return
        self._beyond.setdefault(worker, {})[key] = None
        self._beyond_at[key] = worker

    def ended(self, key: Hashable, now: float, seconds: float | None, *, done: bool) -> None:
        """Note that a task, placed by anyone, no longer occupies a worker, or no longer waits.

        Args:
            key: Its key; others than those that are here are ignored.
            now: Time, s.
            seconds: Its running time, if known, s.
            done: Whether it has a result.
        """
        if key in self._beyond_at:
            del self._beyond[self._beyond_at.pop(key)][key]
        task = self._tasks.get(key)
        if task is None:
            return
        self._forget(task)
        core, number, slot = self._core, task.number, task.slot
        if slot == NONE:
            self._apply(core.cancelled(number, now))
            return
        self._attempts[slot] -= 1
        if self._beyond_at:
            self._hand_over(slot, now)
        if done:
            self._apply(core.finished(number, slot, now, seconds if task.is_ours else None))
        else:
            core.cancelled(number, now)
            self._apply(core.failed(number, slot, now, Cause.STOPPED))

    def hold(self, key: Hashable, holders: Iterable[str], now: float) -> None:
        """Replace the workers that hold a waiting task's data."""
        self._apply(self._core.holds(self._tasks[key].number, self._slots_of(holders), now))

    # Time

    def tick(self, now: float) -> None:
        """Do what is due."""
        self._apply(self._core.tick(now))

    def next_deadline(self, now: float) -> float:
        """Time at which `tick` may have work, s; inf for never."""
        due = self._core.next_deadline(now)
        return due if self._has_clock else max(due, now + _LOOK)

    def take(self) -> Decisions:
        """Return the decisions since the last call."""
        taken, self._decisions = self._decisions, Decisions()
        return taken

    def take_start(self, key: Hashable) -> str | None:
        """Return the worker that a task was bound to since decisions were last taken, if any."""
        return self._decisions.starts.pop(key, None)

    def decided(self) -> bool:
        """Whether there are decisions to take."""
        return bool(self._decisions)

    # What was measured

    @property
    def gap(self) -> float:
        """Mean time for which a thread is idle between two tasks, s."""
        return self._core.gap

    @property
    def seconds(self) -> tuple[float, float]:
        """Mean duration of a task near its data and far from it, s."""
        local, _, remote = self._core.rates
        return 1.0 / local, 1.0 / remote

    # Steps

    def _occupy(self, key: Hashable, slot: int, now: float) -> None:
        number = self._enter(key, is_ours=False).number
        self._apply(self._core.submitted(number, (slot,), now, 0, _PLACED_BY_DASK, first=True))

    def _hand_over(self, slot: int, now: float) -> None:
        """Let a task that Dask has placed at a worker have the slot that is about to be free."""
        beyond = self._beyond.get(self._worker[slot])
        if beyond:
            key = next(iter(beyond))
            del beyond[key], self._beyond_at[key]
            self._occupy(key, slot, now)

    def _slots_of(self, workers: Iterable[str]) -> list[int]:
        return [slot for worker in workers for slot in self._slots.get(worker, ())]

    def _new_slot(self) -> int:
        """Number of a slot that no worker has."""
        if self._free:
            return heapq.heappop(self._free)
        self._worker.append("")
        self._attempts.append(0)
        return len(self._worker) - 1

    def _enter(self, key: Hashable, *, is_ours: bool) -> _Task:
        self._last += 1
        task = self._tasks[key] = self._numbered[self._last] = _Task(key, self._last, is_ours)
        return task

    def _forget(self, task: _Task) -> None:
        del self._tasks[task.key], self._numbered[task.number]
        if self._decisions.starts:
            self._decisions.starts.pop(task.key, None)

    def _apply(self, actions: Iterable[Action]) -> None:
        for action in actions:
            task = self._numbered.get(action.task)
            if isinstance(action, Start):
                self._attempts[action.server] += 1
                if task is not None:
                    self._start(action, task)
            elif task is not None and isinstance(action, Cancel):
                self._decisions.recalls.append(task.key)
            elif task is not None and isinstance(action, GiveUp):
                self._forget(task)
                self._decisions.dropped.append(task.key)

    def _start(self, start: Start, task: _Task) -> None:
        task.slot = start.server
        if not task.is_ours:
            return
        self._decisions.starts[task.key] = self._worker[start.server]
        if start.level == LOCAL:
            self.local += 1
        else:
            self.remote += 1
