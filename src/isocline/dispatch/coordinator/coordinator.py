"""Coordinator of core and engine: passes events of both on, and carries out decisions.

It has no thread and no clock of its own (`event_loop` has) and is called from one thread only. Each
submitted task ends in the task ledger exactly once.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any, final

from isocline.dispatch.actions import Action, Cancel, Cause, Fetch, GiveUp, Reason, Start
from isocline.dispatch.coordinator.chunk_index import ChunkIndex
from isocline.dispatch.coordinator.nodes import Nodes
from isocline.dispatch.coordinator.task_ledger import TaskLedger
from isocline.dispatch.core.attempts import Attempt
from isocline.dispatch.core.core import Core
from isocline.dispatch.engines.base import (
    Done,
    Drops,
    Engine,
    Event,
    Fetched,
    Holds,
    NodeGone,
    NodeLost,
    NodeUp,
    Raised,
    Stopped,
    TimedOut,
    WorkItem,
)
from isocline.dispatch.errors import given_up, no_holder, over_limit, quarantined, raised
from isocline.dispatch.submission.task import Task
from isocline.dispatch.telemetry.records import Outcome

# Ticks without an action before a policy counts as one that never starts what waits.
_MOST_IN_VAIN = 100


@final
class Coordinator:
    """Coordinator of one engine and one core.

    Attributes:
        tasks: Unfinished tasks, by number.
        attempts: The core's registry of attempts.
        stopping: Whether no more tasks are started, and the core is no longer used.
    """

    def __init__(
        self,
        core: Core,
        engine: Engine,
        nodes: Nodes,
        ledger: TaskLedger,
        *,
        everywhere: bool = False,
    ) -> None:
        """Make one; with `everywhere`, a task whose chunk has no holder up may run anywhere."""
        self.tasks: dict[int, Task] = {}
        self.stopping = False
        self.core = core
        self._engine = engine
        self._nodes = nodes
        self._ledger = ledger
        self._everywhere = everywhere
        self._last_action = -math.inf  # when the core last decided anything, s
        self._in_vain = 0  # ticks since then that led to nothing
        self._promised = math.nan  # next deadline as first asked after the last event or tick, s
        self.attempts = core.attempts
        core.failures.may_return = self.may_return
        self._ended: dict[int, Task] = {}  # those of which attempts are still under way
        self._chunks = ChunkIndex()
        # Fetches under way: chunk and node -> tasks, in order.
        self._fetches: dict[tuple[str, str], list[int]] = {}

    def elapsed(self, now: float) -> float:
        """Time from the first submission until now, or until the last task has ended, s."""
        return self._ledger.elapsed(now if self.tasks else None)

    @property
    def running(self) -> int:
        """Number of unfinished tasks with one or more attempts."""
        return sum(number in self.tasks for number in self.attempts.of)

    # Calls of users

    def submitted(self, task: Task, now: float) -> None:
        """Handle a new task."""
        task.submitted = now
        self._ledger.submitted(now)
        if self.stopping:
            self._ledger.cancelled(task, now)
        elif task.found is None or not self._ledger.resumed(task, task.found, now):
            self._admit(task, now)

    def cancelled(self, number: int, now: float) -> None:
        """Handle a cancellation; the task may have ended in the meantime."""
        task = self.tasks.get(number)
        if task is None:
            return
        self._leave(task, Outcome.CANCELLED)
        self._ledger.cancelled(task, now)
        if not self.stopping:
            self._act(self.core.cancelled(number, now), now)
            return
        for attempt in self.attempts.of.get(number, ()):
            self._stop_attempt(attempt)

    def may_return(self, number: int) -> bool:
        """Whether a node that holds a task's chunk is being started again."""
        task = self.tasks.get(number)
        return task is not None and self._nodes.returns(self._names(task))

    # Time

    def tick(self, now: float) -> None:
        """Do all due work."""
        if self.stopping:
            return
        actions = self.core.tick(now)
        self._in_vain, self._promised = (0 if actions else self._in_vain + 1), math.nan
        if actions:
            self._act(actions, now)
        if self._stalls_at(now) <= now:
            self._act(self.core.give_up_unpicked(), now)

    def next_deadline(self, now: float) -> float:
        """Next time at which `tick` has work, s; inf if never."""
        if self.stopping:
            return math.inf
        return min(self.core.next_deadline(now), self._stalls_at(now))

    def _stalls_at(self, now: float) -> float:
        """Time at which tasks that the policy does not start are given up, s; mostly inf.

        It has `idle_grace` s from the last event, or from the time at which it wanted to be called
        next when it was first asked; one that is called in vain again and again has no more.
        """
        if not self.core.stalled:
            return math.inf
        if math.isnan(self._promised):
            self._promised = self.core.next_deadline(now)
        waits = self._promised < math.inf and self._in_vain < _MOST_IN_VAIN
        return (self._promised if waits else self._last_action) + self.core.rules.idle_grace

    def stop(self, now: float) -> None:
        """Start nothing more: tasks that do not run are cancelled."""
        self.stopping = True
        running = {here[0].start.task for here in self.attempts.at.values() if here}
        for number in [number for number in self.tasks if number not in running]:
            self.cancelled(number, now)

    def stop_running(self, now: float) -> None:
        """Cancel the attempts that still run."""
        for number in tuple(self.tasks):
            self.cancelled(number, now)

    # Events of the engine

    def on_engine_event(self, event: Event, now: float) -> None:
        """Handle one event of the engine."""
        match event:
            case Done():
                self._done(event, now)
            case Raised():
                self._raised(event, now)
            case TimedOut(number, node, seconds):
                self._set_error(number, over_limit, node, self._limit(number), seconds)
                self._attempt_ended(number, Outcome.TIMED_OUT, Cause.TIMED_OUT, now)
            case Stopped(number):
                attempt = self.attempts.get(number)
                recalled = attempt is not None and attempt.began == math.inf
                outcome = Outcome.CANCELLED if recalled else Outcome.LOST
                self._attempt_ended(number, outcome, Cause.STOPPED, now)
            case Holds(chunk, name):
                self._update_holders(self._chunks.add_holder(chunk, name), now)
            case Drops(chunk, name):
                self._update_holders(self._chunks.drop_holder(chunk, name), now)
            case Fetched():
                self._fetched(event, now)
            case NodeUp():
                self._node_up(event, now)
            case NodeLost():
                self._node_lost(event, now)
            case NodeGone(name, reason):
                self._nodes.gone(name, reason)

    def _raised(self, event: Raised, now: float) -> None:
        number = event.attempt
        self._set_error(number, raised, event.node, event.error, event.text)
        if event.unread and (self._lost_holder(number) or self._busy_holder(number)):
            self._attempt_ended(number, Outcome.LOST, Cause.UNREAD, now)
        else:
            self._attempt_ended(number, Outcome.RAISED, Cause.RAISED, now)

    def _done(self, event: Done, now: float) -> None:
        attempt = self.attempts.get(event.attempt)
        task = None if attempt is None else self.tasks.get(attempt.start.task)
        if attempt is None or task is None:
            self._attempt_ended(event.attempt, Outcome.SURPASSED, Cause.STOPPED, now)
            return
        self._leave(task, Outcome.SURPASSED)
        server = attempt.start.server
        try:
            if self.stopping:
                self.attempts.end(server, task.number, now)
            else:  # first of all, as the node waits for it
                seconds = None if event.cold else event.seconds
                self._act(self.core.finished(task.number, server, now, seconds), now)
        finally:  # a result is one, even if nothing can be decided any more
            self._forget_if_last(task)
            started = max(now - event.seconds, attempt.given)
            self._ledger.finished(
                task, attempt, self._names(task), started, now, event.value, cold=event.cold
            )

    def _attempt_ended(self, number: int, outcome: Outcome, cause: Cause, now: float) -> None:
        """Handle an attempt that ended without a result, and that nothing waits for."""
        attempt = self.attempts.get(number)
        if attempt is None:  # it was lost with its node before
            return
        task, server = self._task_of(attempt), attempt.start.server
        began = min(attempt.began, now)
        self._ledger.attempt_ended(task, attempt, task.over or outcome, began, now)
        if self.stopping:
            self.attempts.end(server, task.number, now)
            self._end_if_last(task, now)
        else:
            cause = Cause.STOPPED if task.over else cause
            self._act(self.core.failed(task.number, server, now, cause), now)
        self._forget_if_last(task)

    def _limit(self, number: int) -> float | None:
        """Time limit of an attempt's task, s."""
        attempt = self.attempts.get(number)
        return None if attempt is None else self._task_of(attempt).limit

    def _set_error(self, number: int, make: Callable[..., BaseException], *facts: Any) -> None:
        attempt = self.attempts.get(number)
        task = None if attempt is None else self.tasks.get(attempt.start.task)
        if task is not None:
            task.error = make(task.key, *facts)

    def _fetched(self, event: Fetched, now: float) -> None:
        fetch = event.chunk, event.node
        tasks = self._fetches.get(fetch)
        if not tasks:  # its node was lost before
            return
        task = tasks.pop(0)
        if not tasks:
            del self._fetches[fetch]
        if not self.stopping:
            server, seconds = self._nodes.number(event.node), event.seconds
            self._act(self.core.fetched(task, server, now, seconds if event.held else None), now)

    def _node_up(self, event: NodeUp, now: float) -> None:
        server, rack = self._nodes.came_up(event.node)
        self._nodes.changed = now
        if not self.stopping:
            self._act(self.core.server_up(server, now, rack), now)
            self._update_holders(self._touched_by(event.node.name), now)

    def _node_lost(self, event: NodeLost, now: float) -> None:
        name = event.name
        server = self._nodes.lost(name, event.reason, returns=event.returns)
        self._nodes.changed = now
        self._chunks.lose(name)
        for fetch in [fetch for fetch in self._fetches if fetch[1] == name]:
            del self._fetches[fetch]
        tasks = []
        for attempt in self.attempts.at.get(server, ()):
            task = self._task_of(attempt)
            began = min(attempt.began, now)
            self._ledger.attempt_ended(task, attempt, task.over or Outcome.LOST, began, now)
            tasks.append(task)
        if self.stopping:
            self.attempts.lose(server)
            for task in tasks:
                self._end_if_last(task, now)
        else:
            self._act(self.core.server_lost(server, now), now)
            if self._everywhere:  # some may be held by no node now
                self._update_holders(self._touched_by(name), now)
        for task in tasks:
            self._forget_if_last(task)

    def _end_if_last(self, task: Task, now: float) -> None:
        """While stopping, end a task with its last attempt."""
        if task.over or task.number in self.attempts.of:
            return
        self._leave(task, Outcome.CANCELLED)
        if task.error is None:
            self._ledger.cancelled(task, now)
        else:
            self._ledger.failed(task, task.error, now)

    def _update_holders(self, tasks: Iterable[int], now: float) -> None:
        """Pass the new holders of the chunks of these tasks to the core."""
        if self.stopping:
            return
        for task in [self.tasks[number] for number in tasks if number in self.tasks]:
            if task.engine_locates:
                task.holders = tuple(self._engine.locations(task.chunk or ""))
            # An action for one may have ended the next.
            if task.over is None and not task.anywhere:
                self._act(self.core.holds(task.number, self._holders(task) or (), now), now)

    # Actions of the core

    def _act(self, actions: list[Action], now: float) -> None:
        self._last_action, self._promised = now, math.nan
        for action in actions:
            match action:
                case Start():
                    self._start(action)
                case Cancel(number, server):
                    attempt = self.attempts.find(server, number)
                    if attempt is not None:
                        self._stop_attempt(attempt)
                case Fetch(number, server):
                    self._fetch(number, server, now)
                case GiveUp():
                    task = self.tasks[action.task]
                    error = self._given_up(task, action)
                    self._leave(task, Outcome.CANCELLED)
                    self._ledger.failed(task, error, now)

    def _start(self, start: Start) -> None:
        task, node = self.tasks[start.task], self._nodes.names[start.server]
        attempt = self.attempts.find(start.server, start.task)
        assert attempt is not None  # no event comes between a start and its action
        task.attempts = attempt.nth
        task.future.node = node
        self._ledger.started(task, attempt)
        work = WorkItem(
            attempt.number,
            task.key,
            task.function.pickled,
            task.arguments,
            task.chunk,
            self._names(task),
            task.limit,
        )
        self._engine.run(node, work)

    def _fetch(self, number: int, server: int, now: float) -> None:
        task, node = self.tasks.get(number), self._nodes.names[server]
        if task is None or task.chunk is None:  # an action before this one may have ended it
            self._act(self.core.fetched(number, server, now, None), now)
            return
        self._fetches.setdefault((task.chunk, node), []).append(number)
        self._engine.fetch(node, task.chunk, self._names(task))

    def _stop_attempt(self, attempt: Attempt) -> None:
        self._engine.cancel(self._nodes.names[attempt.start.server], attempt.number)

    # Steps

    def _admit(self, task: Task, now: float) -> None:
        """Admit a task to the core."""
        self.tasks[task.number] = task
        if task.engine_locates:
            task.holders = tuple(self._engine.locations(task.chunk or ""))
        self._chunks.add(task)
        holders, function = self._holders(task), task.function.number
        task.anywhere = holders is None
        if holders == [] and self._engine.fixed:  # it would wait in vain
            error = no_holder(task.key, task.chunk, self._nodes.states(task.holders), None)
            self._leave(task, Outcome.CANCELLED)
            self._ledger.failed(task, error, now)
            return
        if not task.engine_locates:  # the engine knows nodes whose `NodeUp` is on its way
            self._nodes.warn_of_unknown(task.holders, self._until_it_joins)
        self._act(self.core.submitted(task.number, holders, now, task.job, function), now)

    def _until_it_joins(self) -> str:
        """Describe the fate of tasks whose locations name no other node."""
        if self._engine.fixed:
            return ""
        if self._everywhere:
            return "; until one of that name joins, its tasks run at any node"
        grace = self.core.rules.holder_grace
        return f"; its tasks wait {grace:g} s for one of that name to join"

    def _lost_holder(self, number: int) -> bool:
        """Whether an attempt could not read its chunk because a holder was lost meanwhile."""
        attempt = self.attempts.get(number)
        if attempt is None:
            return False
        names = self._names(self._task_of(attempt))
        return self._nodes.changed > attempt.given or not self._nodes.all_up(names)

    def _busy_holder(self, number: int) -> bool:
        """Whether a holder of an attempt's chunk runs a task.

        It may do so in code that lets no other thread answer, and that is no fault of this task,
        which waits for it again.
        """
        attempt = self.attempts.get(number)
        if attempt is None:
            return False
        holders = self._nodes.known_of(self._names(self._task_of(attempt)))
        return any(self.attempts.at.get(holder) for holder in holders)

    def _given_up(self, task: Task, action: GiveUp) -> BaseException:
        if action.reason is Reason.QUARANTINED:
            return quarantined(task.key, [self._nodes.names[s] for s in action.servers], task.error)
        if action.reason is not Reason.NO_HOLDER:
            return given_up(task.key, action, task.error)
        return no_holder(task.key, task.chunk, self._nodes.states(self._names(task)), task.error)

    def _leave(self, task: Task, live: Outcome) -> None:
        """Remove a task that has ended; `live` is the outcome of its attempts under way."""
        task.over = live
        del self.tasks[task.number]
        if task.number in self.attempts.of:
            self._ended[task.number] = task
        self._chunks.remove(task)

    def _task_of(self, attempt: Attempt) -> Task:
        """Return an attempt's task, ended or not."""
        number = attempt.start.task
        return self.tasks.get(number) or self._ended[number]

    def _forget_if_last(self, task: Task) -> None:
        """Forget an ended task with its last attempt."""
        if task.number not in self.attempts.of:
            self._ended.pop(task.number, None)

    def _names(self, task: Task) -> tuple[str, ...]:
        """Return the nodes that hold a task's chunk, up or not."""
        return () if task.chunk is None else self._chunks.of(task.chunk, task.holders)

    def _holders(self, task: Task) -> list[int] | None:
        """Return the servers at which a task is local; None: at all of them, whichever are up."""
        if task.chunk is None:
            return None
        servers = self._nodes.known_of(self._names(task))
        if not self._everywhere or self._nodes.up.intersection(servers):
            return servers
        return sorted(self._nodes.up) if servers else None

    def _touched_by(self, name: str) -> list[int]:
        """Return the waiting tasks whose local servers change now that a node has come or gone."""
        return [
            number
            for number, task in self.tasks.items()
            if number not in self.attempts.of and not task.anywhere and self._is_touched(task, name)
        ]

    def _is_touched(self, task: Task, name: str) -> bool:
        names = self._names(task)
        lacking = self._everywhere and not self._nodes.up.intersection(self._nodes.known_of(names))
        return lacking or name in names
