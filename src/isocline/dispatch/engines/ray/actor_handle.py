"""Handle to an actor, which is one incarnation of a node."""

import pickle
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, final

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from isocline.dispatch.engines.base import Ending, Stopped, TimedOut, WorkItem
from isocline.dispatch.engines.common.deadlines import Deadlines
from isocline.dispatch.engines.common.node_inputs import SentInputs
from isocline.dispatch.engines.common.remote_node import TaskRequest
from isocline.dispatch.engines.ray.actor import RayNode
from isocline.dispatch.engines.ray.answers import Answers, Hear
from isocline.dispatch.engines.ray.membership import ActorSlot
from isocline.dispatch.inputs import InputData

if TYPE_CHECKING:
    from ray import ObjectRef

# Concurrency groups of calls that do not wait for attempts.
_CONTROL, _FETCHING = "control", "fetching"
_FETCHES = 8  # most concurrent fetches
_SLOTS = [f"slot {i}" for i in range(4)]  # at most all but one are given up at a time
_GROUPS = {_CONTROL: 1, _FETCHING: _FETCHES} | dict.fromkeys(_SLOTS, 1)


@final
class ActorHandle:
    """Handle to an actor; used under the engine's lock.

    Attributes:
        node: Name and rack.
        site: Id of the Ray node.
        pinged: Whether a call that tests the actor is unanswered.
    """

    def __init__(self, slot: ActorSlot, cpus: float, loader: bytes | None, patience: float) -> None:
        node = slot.node
        self.node, self.site = node, slot.site
        self.pinged = False
        self._attempts: dict[int, WorkItem] = {}  # in order
        self._deadlines = Deadlines(node.name, patience)
        # Without restarts by Ray, which would hide the loss of attempts.
        actor: Any = ray.remote(concurrency_groups=_GROUPS)(RayNode)
        self._actor = actor.options(
            num_cpus=cpus,
            max_restarts=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(slot.site, soft=False),
            **_reserving(slot.reserved),
        ).remote(node.name, loader)
        self._answers: dict[str, Answers] = {}  # by slot
        self._slot = 0  # number of the present slot, of all ever opened
        self._open()

    @property
    def idle(self) -> bool:
        """Whether the actor has no attempt."""
        return not self._attempts

    def ask(self, hear: Hear) -> None:
        """Call the actor; `hear` is called when it is up or gone."""
        ready = self._actor.ready.options(concurrency_group=_CONTROL).remote()
        self._current.expect(ready, hear)

    def run(
        self,
        work: WorkItem,
        number: int,
        chunk: "ObjectRef[Any] | None",
        put: "Callable[[InputData], ObjectRef[bytes]]",
        hear: Hear,
    ) -> None:
        """Queue an attempt at the actor.

        Args:
            work: The attempt; it may be one repeated because its slot was given up.
            number: Number of its function.
            chunk: Reference of its chunk, if Ray stores it.
            put: Puts an input into Ray's store, once.
            hear: Called with its end, or with nothing if its slot was given up.
        """
        attempt, held = work.attempt, self.node.name in work.holders
        if number not in self._known:
            self._known.add(number)
            self._learn.remote(number, work.function)
        for given in self._inputs.to_send(work):
            self._keep.remote(given.number, put(given), given.shared)
        self._attempts[attempt] = work
        self._deadlines.added(attempt, work.limit, time.monotonic())
        request = TaskRequest(
            attempt, number, work.arguments, work.chunk, held, work.limit, work.keep
        )
        code = pickle.dumps((self._slot, request), pickle.HIGHEST_PROTOCOL)
        ref = self._run.remote(code) if chunk is None else self._run.remote(code, [chunk])
        self._current.expect(ref, hear)

    def fetch(self, chunk: "ObjectRef[Any]") -> "ObjectRef[float]":
        """Make the actor fetch a chunk while it runs attempts."""
        answer: ObjectRef[float] = self._actor.fetch.options(concurrency_group=_FETCHING).remote(
            [chunk]
        )
        return answer

    def forget(self, number: int) -> None:
        """Make the actor remove a function."""
        if number in self._known:
            self._known.remove(number)
            self._forget.remote(number)

    def release(self, number: int) -> None:
        """Make the actor drop an input, if it has it."""
        if self._inputs.drop(number):
            self._drop.remote(number)

    def ended(self, ending: Ending) -> None:
        """Record how an attempt ended, before it is dropped."""
        self._inputs.ended(ending)

    def cancel(self, attempt: int) -> "ObjectRef[bool] | None":
        """Stop an attempt; the answer tells whether its slot was given up. None: it is unknown.

        This is a call of the actor, because `ray.cancel` has no effect on a task that is about to
        begin, however often it is repeated (Ray 2.60).
        """
        if not self._deadlines.cancelled(attempt, time.monotonic()):
            return None
        more = bool(self._free())
        answer: ObjectRef[bool] = self._actor.cancel.options(concurrency_group=_CONTROL).remote(
            attempt, more
        )
        return answer

    def waits(self, attempt: int) -> bool:
        """Whether an attempt is queued behind another."""
        return attempt in self._attempts and next(iter(self._attempts)) != attempt

    def give_up(self) -> Sequence[WorkItem]:
        """Abandon a slot to an attempt that does not end; returns the attempts to repeat."""
        self._current.close()
        self._slot += 1
        self._open()
        return tuple(self._attempts.values())

    def drop(self, attempt: int) -> bool:
        """Drop an attempt without reporting its end; returns False if it was already dropped."""
        self._attempts.pop(attempt, None)
        return self._deadlines.ended(attempt, time.monotonic())

    def overdue(self) -> TimedOut | Stopped | None:
        """Return the event for the running attempt if it is overdue."""
        return self._deadlines.overdue(time.monotonic())

    def kill(self) -> None:
        """Kill the actor now."""
        with suppress(Exception):  # the actor, or Ray, is already gone
            ray.kill(self._actor)
        for answers in self._answers.values():
            answers.close()

    def join(self, patience: float) -> None:
        """Wait after `kill` for the last answers, for at most `patience` s."""
        for answers in self._answers.values():
            answers.join(patience)

    def _free(self) -> list[str]:
        """Return the slots that are not given up, or whose abandoned attempt has ended."""
        return [slot for slot in _SLOTS if slot not in self._answers or self._answers[slot].over]

    def _open(self) -> None:
        """Open a slot for all further calls."""
        slot = self._free()[0]
        self._current = self._answers[slot] = Answers(self.node.name)
        self._known: set[int] = set()  # functions sent in this slot
        self._inputs = SentInputs()  # in this slot
        # Kept, as Ray makes a new object at each lookup.
        actor = self._actor
        self._run, self._learn, self._forget, self._keep, self._drop = (
            method.options(concurrency_group=slot)
            for method in (actor.run, actor.learn, actor.forget, actor.keep, actor.drop)
        )


def _reserving(amounts: Mapping[str, float]) -> dict[str, Any]:
    """Options by which Ray reserves these amounts for an actor."""
    own = {"GPU": "num_gpus", "memory": "memory"}
    options: dict[str, Any] = {own[name]: amounts[name] for name in amounts if name in own}
    return options | {"resources": {name: amounts[name] for name in amounts if name not in own}}
