"""Coordinator of core and engine: passes events of both on, and carries out decisions.

It has no thread and no clock of its own (`event_loop` has) and is called from one thread only. Each
submitted task ends in the task ledger exactly once.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any, final

from isocline.dispatch.actions import Action, Cancel, Cause, Fetch, GiveUp, Reason, Start
from isocline.dispatch.coordinator.attempts import Attempts
from isocline.dispatch.coordinator.chunk_index import ChunkIndex
from isocline.dispatch.coordinator.nodes import Nodes
from isocline.dispatch.coordinator.task_ledger import TaskLedger
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
from isocline.dispatch.log import LOG
from isocline.dispatch.submission.task import Attempt, Task
from isocline.dispatch.telemetry.records import Outcome

_MOST_WARNED = 8  # names in locations that no node has

# Ticks without an action before a policy counts as one that never starts what waits.
_MOST_IN_VAIN = 100


@final
class Coordinator:
    """Coordinator of one engine and one core.

    Attributes:
        tasks: Unfinished tasks, by number.
        attempts: Attempts at the nodes.
        stopping: Whether no more tasks are started, and the core is no longer used.
    """

    def __init__(
        self,
        core: Core,
        engine: Engine,
        nodes: Nodes,
        book: TaskLedger,
        *,
        everywhere: bool = False,
    ) -> None:
        """Make one; with `everywhere`, a task whose chunk has no holder up may run anywhere."""
        self.tasks: dict[int, Task] = {}
        self.stopping = False
        self.core = core
        self._engine = engine
        self._nodes = nodes
        self._book = book
        self._everywhere = everywhere
        self._heard = -math.inf  # when something last happened, s
        self._in_vain = 0  # ticks since then that led to nothing
        self._promised = math.nan  # next deadline as first asked after the last event or tick, s
        self._warned: set[str] = set()  # names in locations that no node has
        self.attempts = Attempts()
        self._holdings = ChunkIndex()
        # Fetches under way: chunk and node -> tasks, in order.
        self._coming: dict[tuple[str, str], list[int]] = {}

    def elapsed(self, now: float) -> float:
        """Time from the first submission until now, or until the last task has ended, s."""
        return self._book.elapsed(now if self.tasks else None)

    # Calls of users

    def submitted(self, task: Task, now: float) -> None:
        """Handle a new task."""
        task.submitted = now
        self._book.submitted(now)
        if self.stopping:
            self._book.cancelled(task, now)
        elif task.found is None or not self._book.resumed(task, task.found, now):
            self._admit(task, now)

    def cancelled(self, number: int, now: float) -> None:
        """Handle a cancellation; the task may have ended in the meantime."""
        task = self.tasks.get(number)
        if task is None:
            return
        self._leave(task, Outcome.CANCELLED)
        self._book.cancelled(task, now)
        if not self.stopping:
            self._act(self.core.cancelled(number, now), now)
            return
        for attempt in self.attempts.of(task):
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
        return (self._promised if waits else self._heard) + self.core.rules.idle_grace

    def stop(self, now: float) -> None:
        """Start nothing more: tasks that do not run are cancelled."""
        self.stopping = True
        running = self.attempts.running()
        for number in [number for number in self.tasks if number not in running]:
            self.cancelled(number, now)

    def stop_running(self, now: float) -> None:
        """Cancel the attempts that still run."""
        for number in tuple(self.tasks):
            self.cancelled(number, now)

    # Events of the engine

    def heard(self, event: Event, now: float) -> None:
        """Handle one event of the engine."""
        match event:
            case Done():
                self._done(event, now)
            case Raised(number, node, error, text, unread):
                self._set_error(number, raised, node, error, text)
                if unread and self._lost_holder(number):
                    self._ended(number, Outcome.LOST, Cause.UNREAD, now)
                else:
                    self._ended(number, Outcome.RAISED, Cause.RAISED, now)
            case TimedOut(number, node, seconds):
                self._set_error(number, over_limit, node, self._limit(number), seconds)
                self._ended(number, Outcome.TIMED_OUT, Cause.TIMED_OUT, now)
            case Stopped(number):
                self._ended(number, Outcome.LOST, Cause.STOPPED, now)
            case Holds(chunk, name):
                self._tell_holders(self._holdings.came(chunk, name), now)
            case Drops(chunk, name):
                self._tell_holders(self._holdings.dropped(chunk, name), now)
            case Fetched():
                self._fetched(event, now)
            case NodeUp():
                self._node_up(event, now)
            case NodeLost():
                self._node_lost(event, now)
            case NodeGone(name, reason):
                self._nodes.gone(name, reason)

    def _done(self, event: Done, now: float) -> None:
        attempt = self.attempts.get(event.attempt)
        if attempt is None or attempt.task.over:
            self._ended(event.attempt, Outcome.SURPASSED, Cause.STOPPED, now)
            return
        task = attempt.task
        self.attempts.end(attempt, now)
        self._leave(task, Outcome.SURPASSED)
        try:
            if not self.stopping:  # first of all, as the node waits for it
                seconds = None if event.cold else event.seconds
                self._act(self.core.finished(task.number, attempt.server, now, seconds), now)
        finally:  # a result is one, even if nothing can be decided any more
            started = max(now - event.seconds, attempt.given)
            self._book.finished(
                attempt, self._names(task), started, now, event.value, cold=event.cold
            )

    def _ended(self, number: int, outcome: Outcome, cause: Cause, now: float) -> None:
        """Handle an attempt that ended without a result, and that nothing waits for."""
        attempt = self.attempts.get(number)
        if attempt is None:  # it was lost with its node before
            return
        task = attempt.task
        began = self.attempts.end(attempt, now)
        self._book.attempt_ended(attempt, task.over or outcome, began, now)
        if self.stopping:
            self._end_if_last(task, now)
        else:
            told = Cause.STOPPED if task.over else cause
            self._act(self.core.failed(task.number, attempt.server, now, told), now)

    def _limit(self, number: int) -> float | None:
        """Time limit of an attempt's task, s."""
        attempt = self.attempts.get(number)
        return None if attempt is None else attempt.task.limit

    def _set_error(self, number: int, make: Callable[..., BaseException], *facts: Any) -> None:
        attempt = self.attempts.get(number)
        if attempt is not None and not attempt.task.over:
            attempt.task.error = make(attempt.task.key, *facts)

    def _fetched(self, event: Fetched, now: float) -> None:
        place = event.chunk, event.node
        tasks = self._coming.get(place)
        if not tasks:  # its node was lost before
            return
        task = tasks.pop(0)
        if not tasks:
            del self._coming[place]
        if not self.stopping:
            server, seconds = self._nodes.number(event.node), event.seconds
            self._act(self.core.fetched(task, server, now, seconds if event.held else None), now)

    def _node_up(self, event: NodeUp, now: float) -> None:
        server, rack = self._nodes.came_up(event.node)
        self._nodes.changed = now
        if not self.stopping:
            self._act(self.core.server_up(server, now, rack), now)
            self._tell_holders(self._touched_by(event.node.name), now)

    def _node_lost(self, event: NodeLost, now: float) -> None:
        name = event.name
        server = self._nodes.lost(name, event.reason, returns=event.returns)
        self._nodes.changed = now
        self._holdings.lost(name)
        for place in [place for place in self._coming if place[1] == name]:
            del self._coming[place]
        lost = self.attempts.on(server)
        for attempt in lost:
            began = self.attempts.end(attempt, now)
            self._book.attempt_ended(attempt, attempt.task.over or Outcome.LOST, began, now)
        if not self.stopping:
            self._act(self.core.server_lost(server, now), now)
            if self._everywhere:  # some may be held by no node now
                self._tell_holders(self._touched_by(name), now)
            return
        for attempt in lost:
            self._end_if_last(attempt.task, now)

    def _end_if_last(self, task: Task, now: float) -> None:
        """While stopping, end a task with its last attempt."""
        if task.over or task.live:
            return
        self._leave(task, Outcome.CANCELLED)
        if task.error is None:
            self._book.cancelled(task, now)
        else:
            self._book.failed(task, task.error, now)

    def _tell_holders(self, tasks: Iterable[int], now: float) -> None:
        """Tell the core the new holders of the chunks of these tasks."""
        if self.stopping:
            return
        for task in [self.tasks[number] for number in tasks if number in self.tasks]:
            if task.asked:
                task.holders = tuple(self._engine.locations(task.chunk or ""))
            # An action for one may have ended the next.
            if task.over is None and not task.anywhere:
                self._act(self.core.holds(task.number, self._holders(task) or (), now), now)

    # Actions of the core

    def _act(self, actions: list[Action], now: float) -> None:
        self._heard, self._promised = now, math.nan
        for action in actions:
            match action:
                case Start():
                    self._start(action, now)
                case Cancel(number, server):
                    attempt = self.attempts.at(server, number)
                    if attempt is not None:
                        self._stop_attempt(attempt)
                case Fetch(number, server):
                    self._fetch(number, server, now)
                case GiveUp():
                    task = self.tasks[action.task]
                    error = self._given_up(task, action)
                    self._leave(task, Outcome.CANCELLED)
                    self._book.failed(task, error, now)

    def _start(self, start: Start, now: float) -> None:
        task, node = self.tasks[start.task], self._nodes.names[start.server]
        attempt = self.attempts.begin(task, start, now)
        task.future.node = node
        self._book.started(attempt)
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
        self._coming.setdefault((task.chunk, node), []).append(number)
        self._engine.fetch(node, task.chunk, self._names(task))

    def _stop_attempt(self, attempt: Attempt) -> None:
        self._engine.cancel(self._nodes.names[attempt.server], attempt.number)

    # Steps

    def _admit(self, task: Task, now: float) -> None:
        """Admit a task to the core."""
        self.tasks[task.number] = task
        if task.asked:
            task.holders = tuple(self._engine.locations(task.chunk or ""))
        self._holdings.add(task)
        holders, function = self._holders(task), task.function.number
        task.anywhere = holders is None
        if holders == [] and self._engine.fixed:  # it would wait in vain
            error = no_holder(task.key, task.chunk, self._nodes.states(task.holders), None)
            self._leave(task, Outcome.CANCELLED)
            self._book.failed(task, error, now)
            return
        self._warn_of_unknown(task)
        self._act(self.core.submitted(task.number, holders, now, task.job, function), now)

    def _warn_of_unknown(self, task: Task) -> None:
        """Warn once of each unknown name: its task runs at other holders or anywhere, or waits."""
        if task.asked:  # the engine knows nodes whose `NodeUp` is on its way
            return
        for name in self._nodes.unknown(task.holders):
            if name in self._warned or len(self._warned) > _MOST_WARNED:
                continue
            self._warned.add(name)
            if len(self._warned) > _MOST_WARNED:
                LOG.warning("locations: there are more names that no node has")
            else:
                LOG.warning("locations: %s%s", self._nodes.states([name]), self._until_it_joins())

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
        names = self._names(attempt.task)
        return self._nodes.changed > attempt.given or not self._nodes.all_up(names)

    def _given_up(self, task: Task, action: GiveUp) -> BaseException:
        if action.reason is Reason.QUARANTINED:
            return quarantined(task.key, [self._nodes.names[s] for s in action.servers], task.error)
        if action.reason is not Reason.NO_HOLDER:
            return given_up(task.key, action, task.error)
        return no_holder(task.key, task.chunk, self._nodes.states(self._names(task)), task.error)

    def _leave(self, task: Task, live: Outcome) -> None:
        """Remove a task that has ended; attempts at it that are live come to nothing else."""
        task.over = live
        self.attempts.leave(task)
        del self.tasks[task.number]
        self._holdings.remove(task)

    def _names(self, task: Task) -> tuple[str, ...]:
        """Return the nodes that hold a task's chunk, up or not."""
        return () if task.chunk is None else self._holdings.of(task.chunk, task.holders)

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
            if not task.live and not task.anywhere and self._is_touched(task, name)
        ]

    def _is_touched(self, task: Task, name: str) -> bool:
        names = self._names(task)
        lacking = self._everywhere and not self._nodes.up.intersection(self._nodes.known_of(names))
        return lacking or name in names
