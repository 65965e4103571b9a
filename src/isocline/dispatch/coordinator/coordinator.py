"""Coordinator of core and engine: passes events to the core, and carries out its actions.

Thread and clock belong to `event_loop`; all calls come from that one thread. Each submitted task
ends in the task ledger exactly once.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any, final

from isocline.dispatch.actions import Action, Cancel, Cause, Fetch, GiveUp, Reason, Start
from isocline.dispatch.coordinator.nodes import Nodes
from isocline.dispatch.coordinator.task_holders import TaskHolders
from isocline.dispatch.coordinator.task_ledger import TaskLedger
from isocline.dispatch.core.attempts import Attempt
from isocline.dispatch.core.core import Core
from isocline.dispatch.engines.base import (
    Answers,
    Done,
    Drops,
    Engine,
    Event,
    Fetched,
    Holds,
    Node,
    NodeGone,
    NodeLost,
    NodeUp,
    Raised,
    Silent,
    Stopped,
    TimedOut,
    WorkItem,
)
from isocline.dispatch.errors import (
    given_up,
    input_failed,
    no_holder,
    no_room,
    over_limit,
    quarantined,
    raised,
)
from isocline.dispatch.futures import TaskFuture
from isocline.dispatch.inputs import Input, InputData
from isocline.dispatch.log import LOG
from isocline.dispatch.submission.inputs import fill_input
from isocline.dispatch.submission.task import Task
from isocline.dispatch.telemetry.records import Outcome

# Ticks without an action after which a policy counts as one that never starts the waiting tasks.
_MOST_IN_VAIN = 100


@final
class Coordinator:
    """Coordinator of one engine and one core.

    Attributes:
        tasks: Unfinished tasks whose inputs are available, by number.
        blocked: Unfinished tasks that wait for inputs, by number.
        attempts: The core's registry of attempts.
        stopping: Whether no more tasks are started; the core is then no longer used.
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
        """Initialise; with `everywhere`, a task whose chunk has no holder up may run anywhere."""
        self.tasks: dict[int, Task] = {}
        self.blocked: dict[int, Task] = {}
        self.stopping = False
        self.core = core
        self._engine = engine
        self._nodes = nodes
        self._ledger = ledger
        self._everywhere = everywhere
        self._last_action = -math.inf  # time of the core's last action, s
        self._in_vain = 0  # ticks since then without an action
        self._promised = (
            math.nan
        )  # core's next deadline, first asked after the last event or tick, s
        self.attempts = core.attempts
        core.failures.may_return = self.may_return
        self._ended: dict[int, Task] = {}  # ended tasks with attempts still under way
        self._holders = TaskHolders(nodes, everywhere=everywhere)
        self._chunks = self._holders.chunks
        # Fetches under way: (chunk, node) -> tasks, in order.
        self._fetches: dict[tuple[str, str], list[int]] = {}

    def elapsed(self, now: float) -> float:
        """Time from the first submission until now, or until the end of the last task, s."""
        return self._ledger.elapsed(now if self.unfinished else None)

    @property
    def unfinished(self) -> int:
        """Number of unfinished tasks."""
        return len(self.tasks) + len(self.blocked)

    @property
    def running(self) -> int:
        """Number of unfinished tasks with at least one attempt."""
        return sum(number in self.tasks for number in self.attempts.of)

    # Calls of users

    def submitted(self, task: Task, now: float) -> None:
        """Handle a new task."""
        task.submitted = now
        self._ledger.submitted(now)
        if self.stopping:
            self._ledger.cancelled(task, now)
        elif task.found is None or not self._ledger.resumed(task, task.found, now):
            if task.missing:
                self.blocked[task.number] = task
            else:
                self._admit(task, now)

    def input_ended(self, number: int, future: TaskFuture[Any], now: float) -> None:
        """Handle the end of a task whose result is an input of another, which may have ended."""
        task = self.blocked.get(number)
        if task is None:
            return
        if future.cancelled():
            self.cancelled(number, now)
            return
        error = future.exception() or fill_input(future)
        if error is not None:
            del self.blocked[number]
            self._ledger.failed(task, input_failed(task.key, future.key, error), now)
            return
        task.missing -= 1
        if not task.missing:
            del self.blocked[number]
            self._admit(task, now)

    def cancelled(self, number: int, now: float) -> None:
        """Handle a cancellation; the task may already have ended."""
        if blocked := self.blocked.pop(number, None):
            self._ledger.cancelled(blocked, now)
            return
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
        """Whether a holder of a task's chunk is being restarted, or is silent."""
        task = self.tasks.get(number)
        returning = self.core.rules.holder_grace > 0
        return task is not None and self._holders.expected(task, returning=returning)

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
        """Time at which waiting tasks are given up because the policy starts none, s; mostly inf.

        That is `idle_grace` s after the last action or, if the policy asked for a tick, after its
        deadline when first asked; a policy with many ticks in vain gets no further time.
        """
        if not self.core.stalled:
            return math.inf
        if math.isnan(self._promised):
            self._promised = self.core.next_deadline(now)
        waits = self._promised < math.inf and self._in_vain < _MOST_IN_VAIN
        return (self._promised if waits else self._last_action) + self.core.rules.idle_grace

    def stop(self, now: float) -> None:
        """Start no more tasks, and cancel those that are not running."""
        self.stopping = True
        running = {here[0].start.task for here in self.attempts.at.values() if here}
        waiting = [number for number in self.tasks if number not in running]
        for number in [*self.blocked, *waiting]:
            self.cancelled(number, now)

    def stop_running(self, now: float) -> None:
        """Cancel all running attempts."""
        for number in tuple(self.tasks):
            self.cancelled(number, now)

    # Events of the engine

    def on_engine_event(self, event: Event, now: float) -> None:
        """Handle an event of the engine."""
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
                recalled = attempt and (attempt.withdrawn or attempt.began == math.inf)
                outcome = Outcome.CANCELLED if recalled else Outcome.LOST
                self._attempt_ended(number, outcome, Cause.STOPPED, now)
            case Holds(chunk, name):
                self._update_holders(self._chunks.add_holder(chunk, name), now)
            case Drops(chunk, name):
                self._update_holders(self._chunks.drop_holder(chunk, name), now)
            case Fetched():
                self._fetched(event, now)
            case _:
                self._on_node_event(event, now)

    def _on_node_event(
        self, event: NodeUp | NodeLost | NodeGone | Silent | Answers, now: float
    ) -> None:
        match event:
            case NodeUp():
                self._node_up(event, now)
            case NodeLost():
                self._node_lost(event, now)
            case NodeGone(name, reason):
                self._nodes.gone(name, reason)
            case Silent(name):
                self._fell_silent(name, now)
            case Answers(name):
                self._answers(name, now)

    def _raised(self, event: Raised, now: float) -> None:
        number = event.attempt
        self._set_error(number, raised, event.node, event.error, event.text)
        cause = self._unread(number) if event.unread else Cause.RAISED
        outcome = Outcome.RAISED if cause is Cause.RAISED else Outcome.LOST
        self._attempt_ended(number, outcome, cause, now)

    def _unread(self, number: int) -> Cause:
        """Return the cause of an attempt's failure to read its chunk.

        A silent holder does not count against the task, which waits for it or reads elsewhere. If
        the holder was lost, or is running a task, the task is retried a few times.
        """
        attempt = self.attempts.get(number)
        if attempt is None:
            return Cause.RAISED
        task = self._task_of(attempt)
        if self._holders.were_silent(task, attempt.given):
            return Cause.STOPPED
        busy = any(self.attempts.at.get(holder) for holder in self._holders.known(task))
        lost = self._holders.were_lost(task, attempt.given)
        return Cause.UNREAD if busy or lost else Cause.RAISED

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
            else:  # first, as the node is waiting for the next command
                seconds = None if event.cold else event.seconds
                self._act(self.core.finished(task.number, server, now, seconds), now)
        finally:  # the result counts even if the core fails
            self._forget_if_last(task)
            started = max(now - event.seconds, attempt.given)
            self._ledger.finished(
                task, attempt, self._holders.names(task), started, now, event.value, cold=event.cold
            )

    def _attempt_ended(self, number: int, outcome: Outcome, cause: Cause, now: float) -> None:
        """Handle an attempt that ended without a result."""
        attempt = self.attempts.get(number)
        if attempt is None:  # already lost with its node
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
        if not tasks:  # its node is already lost
            return
        task = tasks.pop(0)
        if not tasks:
            del self._fetches[fetch]
        if not self.stopping:
            server, seconds = self._nodes.number(event.node), event.seconds if event.held else None
            known = self.tasks.get(task)
            silent = known and self._holders.were_silent(known, now - event.seconds)
            self._act(self.core.fetched(task, server, now, seconds, counts=not silent), now)

    def _node_up(self, event: NodeUp, now: float) -> None:
        server, rack = self._nodes.came_up(event.node)
        self._nodes.changed = now
        equip(self.core, self._nodes, event.node)
        if not self.stopping:
            self._act(self.core.server_up(server, now, rack), now)
            self._update_holders(self._waiting_for(event.node.name), now)

    def _fell_silent(self, name: str, now: float) -> None:
        """Have a silent node's chunks read elsewhere; tasks without another holder wait for it."""
        if self._nodes.fell_silent(name, now):
            LOG.warning(
                "node %s does not answer: it is stopped, or runs code that blocks all other "
                "threads; until it answers, its data is read elsewhere, or tasks wait for it",
                name,
            )
        server = self._nodes.number(name)
        if not self.stopping and not self.attempts.at.get(server):
            self._act(self.core.server_lost(server, now), now)  # it would start nothing, either
        self._update_holders(self._affected_by(name), now)

    def _answers(self, name: str, now: float) -> None:
        if not self._nodes.answers(name) or self.stopping:
            return
        server = self._nodes.number(name)
        self._act(self.core.server_up(server, now, self._nodes.rack(name)), now)
        self._update_holders(self._affected_by(name), now)

    def _node_lost(self, event: NodeLost, now: float) -> None:
        name = event.name
        near = [number for number, task in self.tasks.items() if self._holders.reads(task, name)]
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
            self._update_holders(near, now)
            if self._everywhere:  # some chunks may no longer have a holder
                self._update_holders(self._waiting_for(name), now)
        for task in tasks:
            self._forget_if_last(task)

    def _end_if_last(self, task: Task, now: float) -> None:
        """While stopping, end a task when its last attempt has ended."""
        if task.over or task.number in self.attempts.of:
            return
        self._leave(task, Outcome.CANCELLED)
        if task.error is None:
            self._ledger.cancelled(task, now)
        else:
            self._ledger.failed(task, task.error, now)

    def _update_holders(self, tasks: Iterable[int], now: float) -> None:
        """Pass the present holders of these tasks' chunks to the core."""
        if self.stopping:
            return
        for task in [self.tasks[number] for number in tasks if number in self.tasks]:
            if task.engine_locates:
                task.holders = tuple(self._engine.locations(task.chunk or ""))
            # An action for one task may have ended the next.
            if task.over is None and not task.anywhere:
                self._act(self.core.holds(task.number, self._holders.present(task), now), now)

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
        assert attempt is not None  # no event is handled between a decision and its action
        task.attempts = attempt.nth
        task.future.node = node
        self._ledger.started(task, attempt)
        work = WorkItem(
            attempt.number,
            task.key,
            task.function.pickled,
            task.arguments,
            task.chunk,
            self._holders.to_ask(task, node),
            task.limit,
            tuple(map(_data_of, task.inputs)) if task.inputs else (),
            None if task.future.input is None else task.future.input.number,
        )
        self._engine.run(node, work)

    def _fetch(self, number: int, server: int, now: float) -> None:
        task, node = self.tasks.get(number), self._nodes.names[server]
        if task is not None and task.inputs and task.chunk is None:  # they come with the attempt
            holders = dict.fromkeys((*self._holders.present(task), server))
            self._act(self.core.holds(number, tuple(holders), now), now)
            self._act(self.core.fetched(number, server, now, None, counts=False), now)
            return
        if task is None or task.chunk is None:  # an earlier action may have ended it
            self._act(self.core.fetched(number, server, now, None), now)
            return
        self._fetches.setdefault((task.chunk, node), []).append(number)
        self._engine.fetch(node, task.chunk, self._holders.to_ask(task, node))

    def _stop_attempt(self, attempt: Attempt) -> None:
        self._engine.cancel(self._nodes.names[attempt.start.server], attempt.number)

    # Steps

    def _admit(self, task: Task, now: float) -> None:
        """Admit a task to the core."""
        self.tasks[task.number] = task
        if task.engine_locates:
            task.holders = tuple(self._engine.locations(task.chunk or ""))
        self._chunks.add(task)
        holders, function = self._holders.servers(task), task.function.number
        task.anywhere = holders is None
        # It would wait forever.
        if holders == [] and self._engine.fixed and not self._holders.known(task):
            error = no_holder(task.key, task.chunk, self._nodes.states(task.holders), None)
            self._leave(task, Outcome.CANCELLED)
            self._ledger.failed(task, error, now)
            return
        if task.need and not self._nodes.could_hold(task.need):
            self._leave(task, Outcome.CANCELLED)
            self._ledger.failed(
                task, no_room(task.key, task.need, self._nodes.most(task.need)), now
            )
            return
        if not task.engine_locates:  # the engine knows nodes before their `NodeUp` is handled
            given = self._nodes.resolved(task.holders)
            self._nodes.warn_of_unknown(given, self._until_it_joins)
        submitted = self.core.submitted(task.number, holders, now, task.job, function, task.need)
        self._act(submitted, now)

    def _until_it_joins(self) -> str:
        """Describe what happens to tasks whose locations name no known node."""
        if self._engine.fixed:
            return ""
        if self._everywhere:
            return "; until a node of that name joins, its tasks run at any node"
        grace = self.core.rules.holder_grace
        return f"; its tasks wait {grace:g} s for a node of that name to join"

    def _given_up(self, task: Task, action: GiveUp) -> BaseException:
        if action.reason is Reason.QUARANTINED:
            return quarantined(task.key, [self._nodes.names[s] for s in action.servers], task.error)
        if action.reason is not Reason.NO_HOLDER:
            return given_up(task.key, action, task.error)
        return no_holder(
            task.key, task.chunk, self._nodes.states(self._holders.names(task)), task.error
        )

    def _leave(self, task: Task, live: Outcome) -> None:
        """Remove an ended task; `live` is the outcome for its attempts still under way."""
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
        """Forget an ended task when its last attempt has ended."""
        if task.number not in self.attempts.of:
            self._ended.pop(task.number, None)

    def _affected_by(self, name: str) -> list[int]:
        """Return the tasks whose local servers change with a node's state."""
        return [n for n, task in self.tasks.items() if self._holders.depends_on(task, name)]

    def _waiting_for(self, name: str) -> list[int]:
        """Return the waiting tasks among those affected by a node."""
        return [n for n in self._affected_by(name) if n not in self.attempts.of]


def equip(core: Core, nodes: Nodes, node: Node) -> None:
    """Tell a core the resources of a node's site, if it has any."""
    if node.resources:
        core.equip(nodes.number(node.name), nodes.site(node.name), dict(node.resources))


def _data_of(given: Input) -> InputData:
    assert given.data is not None  # the task waited for it
    return InputData(given.number, given.data, given.shared)
