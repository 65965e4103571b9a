"""One actor as the engine sees it: one incarnation of a node, the next has another."""

import pickle
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, final

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from isocline.dispatch.engines.base import Node, Stopped, TimedOut, WorkItem
from isocline.dispatch.engines.common.deadlines import Deadlines
from isocline.dispatch.engines.ray.actor import RayNode, TaskRequest
from isocline.dispatch.engines.ray.chunk_stream import Answers, Hear

if TYPE_CHECKING:
    from ray import ObjectRef

# Calls that do not wait for the attempts.
_CONTROL, _FETCHING = "control", "fetching"
_FETCHES = 8  # at once
_LANES = [f"lane {i}" for i in range(4)]  # of which all but one may be given up at a time
_GROUPS = {_CONTROL: 1, _FETCHING: _FETCHES} | dict.fromkeys(_LANES, 1)


@final
class ActorHandle:
    """Used under the engine's lock.

    Attributes:
        node: What it is called, and its rack.
        place: The id of its Ray node.
        pinged: A call that is not answered yet, made as there was no other.
    """

    def __init__(
        self, node: Node, place: str, cpus: float, loader: bytes | None, patience: float
    ) -> None:
        self.node = node
        self.place = place
        self.pinged = False
        self._attempts: dict[int, WorkItem] = {}  # in order
        self._watch = Deadlines(node.name, patience)
        # Without a restart by Ray, which would hide that attempts were lost.
        actor: Any = ray.remote(concurrency_groups=_GROUPS)(RayNode)
        self._actor = actor.options(
            num_cpus=cpus,
            max_restarts=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(place, soft=False),
        ).remote(node.name, loader)
        self._answers: dict[str, Answers] = {}  # by lane
        self._lane = 0  # of all that were opened
        self._open()

    @property
    def idle(self) -> bool:
        """Whether it has no attempt."""
        return not self._attempts

    def ask(self, hear: Hear) -> None:
        """Hear when it is there, or that it is gone."""
        ready = self._actor.ready.options(concurrency_group=_CONTROL).remote()
        self._current.expect(ready, hear)

    def run(self, work: WorkItem, number: int, chunk: "ObjectRef[Any] | None", hear: Hear) -> None:
        """Put an attempt at the end of its queue, and hear what comes of it.

        Args:
            work: The attempt; again, if its lane was given up.
            number: Its function's.
            chunk: If it is Ray's.
            hear: With its ending, or nothing if its lane was given up.
        """
        attempt, held = work.attempt, self.node.name in work.holders
        if number not in self._known:
            self._known.add(number)
            self._learn.remote(number, work.function)
        self._attempts[attempt] = work
        self._watch.added(attempt, work.limit, time.monotonic())
        order = TaskRequest(
            attempt, number, work.arguments, work.chunk, held, work.limit, self._lane
        )
        code = pickle.dumps(order, pickle.HIGHEST_PROTOCOL)
        ref = self._run.remote(code) if chunk is None else self._run.remote(code, [chunk])
        self._current.expect(ref, hear)

    def fetch(self, chunk: "ObjectRef[Any]") -> "ObjectRef[float]":
        """Have it fetch a chunk while it runs attempts."""
        answer: ObjectRef[float] = self._actor.fetch.options(concurrency_group=_FETCHING).remote(
            [chunk]
        )
        return answer

    def forget(self, number: int) -> None:
        """A function is not used again."""
        if number in self._known:
            self._known.remove(number)
            self._forget.remote(number)

    def cancel(self, attempt: int) -> "ObjectRef[bool] | None":
        """Have an attempt stopped; the answer is whether its lane has been given up.

        By a call of ours: `ray.cancel` is lost on a task that is just about to begin, as often as
        it is repeated (Ray 2.60). None: it is not there.
        """
        if not self._watch.cancelled(attempt, time.monotonic()):
            return None
        more = bool(self._free())
        answer: ObjectRef[bool] = self._actor.cancel.options(concurrency_group=_CONTROL).remote(
            attempt, more
        )
        return answer

    def waits(self, attempt: int) -> bool:
        """Whether an attempt is there that is not the first."""
        return attempt in self._attempts and next(iter(self._attempts)) != attempt

    def give_up(self) -> Sequence[WorkItem]:
        """Leave a lane to the attempt that does not end; those that are to be run again."""
        self._current.close()
        self._lane += 1
        self._open()
        return tuple(self._attempts.values())

    def drop(self, attempt: int) -> bool:
        """Hear no more of an attempt; False if it had been dropped before."""
        self._attempts.pop(attempt, None)
        return self._watch.ended(attempt, time.monotonic())

    def overdue(self) -> TimedOut | Stopped | None:
        """How the attempt that it runs is to be counted, if it does not stop it."""
        return self._watch.overdue(time.monotonic())

    def kill(self) -> None:
        """End it, now."""
        with suppress(Exception):  # it is gone already, or Ray is
            ray.kill(self._actor)
        for answers in self._answers.values():
            answers.close()

    def join(self, patience: float) -> None:
        """After `kill`: wait until no more is heard of it, for so many s at most."""
        for answers in self._answers.values():
            answers.join(patience)

    def _free(self) -> list[str]:
        """Lanes that were not given up, or have ended what they were left to."""
        return [lane for lane in _LANES if lane not in self._answers or self._answers[lane].over]

    def _open(self) -> None:
        """Begin a lane, to which the methods go from now on."""
        lane = self._free()[0]
        self._current = self._answers[lane] = Answers(self.node.name)
        self._known: set[int] = set()  # functions that were sent in this lane
        # Kept, as Ray makes another each time that one is looked up.
        self._run, self._learn, self._forget = (
            method.options(concurrency_group=lane)
            for method in (self._actor.run, self._actor.learn, self._actor.forget)
        )
