"""Handle to one actor: one incarnation of a node, the next has another."""

import pickle
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, final

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from isocline.dispatch.engines.base import Node, Stopped, TimedOut, WorkItem
from isocline.dispatch.engines.common.deadlines import Deadlines
from isocline.dispatch.engines.common.remote_node import TaskRequest
from isocline.dispatch.engines.ray.actor import RayNode
from isocline.dispatch.engines.ray.answers import Answers, Hear

if TYPE_CHECKING:
    from ray import ObjectRef

# Calls that do not wait for the attempts.
_CONTROL, _FETCHING = "control", "fetching"
_FETCHES = 8  # at once
_SLOTS = [f"slot {i}" for i in range(4)]  # of which all but one may be given up at a time
_GROUPS = {_CONTROL: 1, _FETCHING: _FETCHES} | dict.fromkeys(_SLOTS, 1)


@final
class ActorHandle:
    """Handle to an actor, used under the engine's lock.

    Attributes:
        node: Its name and rack.
        place: Id of its Ray node.
        pinged: Whether a call that only tests the actor is unanswered.
    """

    def __init__(
        self, node: Node, place: str, cpus: float, loader: bytes | None, patience: float
    ) -> None:
        self.node = node
        self.place = place
        self.pinged = False
        self._attempts: dict[int, WorkItem] = {}  # in order
        self._deadlines = Deadlines(node.name, patience)
        # Without a restart by Ray, which would hide that attempts were lost.
        actor: Any = ray.remote(concurrency_groups=_GROUPS)(RayNode)
        self._actor = actor.options(
            num_cpus=cpus,
            max_restarts=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(place, soft=False),
        ).remote(node.name, loader)
        self._answers: dict[str, Answers] = {}  # by slot
        self._slot = 0  # of all that were opened
        self._open()

    @property
    def idle(self) -> bool:
        """Whether the actor has no attempt."""
        return not self._attempts

    def ask(self, hear: Hear) -> None:
        """Call the actor, to be notified when it is up or gone."""
        ready = self._actor.ready.options(concurrency_group=_CONTROL).remote()
        self._current.expect(ready, hear)

    def run(self, work: WorkItem, number: int, chunk: "ObjectRef[Any] | None", hear: Hear) -> None:
        """Queue an attempt at the actor, and pass its end on.

        Args:
            work: The attempt; repeated if its slot was given up.
            number: Number of its function.
            chunk: Reference of its chunk, if it is Ray's.
            hear: Called with its end, or with nothing if its slot was given up.
        """
        attempt, held = work.attempt, self.node.name in work.holders
        if number not in self._known:
            self._known.add(number)
            self._learn.remote(number, work.function)
        self._attempts[attempt] = work
        self._deadlines.added(attempt, work.limit, time.monotonic())
        request = TaskRequest(attempt, number, work.arguments, work.chunk, held, work.limit)
        code = pickle.dumps((self._slot, request), pickle.HIGHEST_PROTOCOL)
        ref = self._run.remote(code) if chunk is None else self._run.remote(code, [chunk])
        self._current.expect(ref, hear)

    def fetch(self, chunk: "ObjectRef[Any]") -> "ObjectRef[float]":
        """Have the actor fetch a chunk while it runs attempts."""
        answer: ObjectRef[float] = self._actor.fetch.options(concurrency_group=_FETCHING).remote(
            [chunk]
        )
        return answer

    def forget(self, number: int) -> None:
        """Have the actor remove a function."""
        if number in self._known:
            self._known.remove(number)
            self._forget.remote(number)

    def cancel(self, attempt: int) -> "ObjectRef[bool] | None":
        """Stop an attempt; the answer is whether its slot has been given up.

        It is a call of the actor, as `ray.cancel` is lost on a task that is just about to begin, as
        often as it is repeated (Ray 2.60). None: it is not there.
        """
        if not self._deadlines.cancelled(attempt, time.monotonic()):
            return None
        more = bool(self._free())
        answer: ObjectRef[bool] = self._actor.cancel.options(concurrency_group=_CONTROL).remote(
            attempt, more
        )
        return answer

    def waits(self, attempt: int) -> bool:
        """Whether an attempt is there but not the first."""
        return attempt in self._attempts and next(iter(self._attempts)) != attempt

    def give_up(self) -> Sequence[WorkItem]:
        """Leave a slot to an attempt that does not end; returns the attempts to be run again."""
        self._current.close()
        self._slot += 1
        self._open()
        return tuple(self._attempts.values())

    def drop(self, attempt: int) -> bool:
        """Drop an attempt, without a notice of its end; False if it was dropped before."""
        self._attempts.pop(attempt, None)
        return self._deadlines.ended(attempt, time.monotonic())

    def overdue(self) -> TimedOut | Stopped | None:
        """Return the end of the running attempt if it is overdue."""
        return self._deadlines.overdue(time.monotonic())

    def kill(self) -> None:
        """Kill the actor now."""
        with suppress(Exception):  # it is gone already, or Ray is
            ray.kill(self._actor)
        for answers in self._answers.values():
            answers.close()

    def join(self, patience: float) -> None:
        """Wait after `kill` until no more answers come, for so many s at most."""
        for answers in self._answers.values():
            answers.join(patience)

    def _free(self) -> list[str]:
        """Return the slots that are not given up, or have ended the attempt they were left to."""
        return [slot for slot in _SLOTS if slot not in self._answers or self._answers[slot].over]

    def _open(self) -> None:
        """Open a slot, which gets all calls from now on."""
        slot = self._free()[0]
        self._current = self._answers[slot] = Answers(self.node.name)
        self._known: set[int] = set()  # functions that were sent in this slot
        # Kept, as Ray makes another each time that one is looked up.
        self._run, self._learn, self._forget = (
            method.options(concurrency_group=slot)
            for method in (self._actor.run, self._actor.learn, self._actor.forget)
        )
