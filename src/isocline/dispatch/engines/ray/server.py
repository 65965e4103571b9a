"""One actor as the engine sees it: one incarnation of a node, the next has another."""

import pickle
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, final

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from isocline.dispatch.engines.contract import Node, Stopped, TimedOut
from isocline.dispatch.engines.processes.watch import Watch
from isocline.dispatch.engines.ray.node import Order, RayNode

if TYPE_CHECKING:
    from concurrent.futures import Future

    from ray import ObjectRef

# Calls that do not wait for the attempts.
_CONTROL, _FETCHING = "control", "fetching"
_FETCHES = 8  # at once


@final
class Server:
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
        self._attempts: dict[int, ObjectRef[Any]] = {}  # in order
        self._futures: dict[int, Future[Any]] = {}  # of those that have ended out of turn
        self._known: set[int] = set()
        self._watch = Watch(node.name, patience)
        # Without a restart by Ray, which would hide that attempts were lost.
        actor: Any = ray.remote(concurrency_groups={_CONTROL: 1, _FETCHING: _FETCHES})(RayNode)
        self._actor = actor.options(
            num_cpus=cpus,
            max_restarts=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(place, soft=False),
        ).remote(node.name, loader)

    @property
    def idle(self) -> bool:
        """Whether it has no attempt."""
        return not self._attempts

    def ready(self) -> "ObjectRef[None]":
        """Fulfilled when it is there."""
        answer: ObjectRef[None] = self._actor.ready.options(concurrency_group=_CONTROL).remote()
        return answer

    def run(self, order: Order, code: bytes, chunk: "ObjectRef[Any] | None") -> "ObjectRef[bytes]":
        """Put an attempt at the end of its queue."""
        if order.function not in self._known:
            self._known.add(order.function)
            self._actor.learn.remote(order.function, code)
        ref = self._attempts[order.attempt] = self._actor.run.remote(
            pickle.dumps(order, pickle.HIGHEST_PROTOCOL), *([] if chunk is None else [[chunk]])
        )
        self._watch.added(order.attempt, order.limit, time.monotonic())
        return ref

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
            self._actor.forget.remote(number)

    def cancel(self, attempt: int) -> bool:
        """Have an attempt stopped; True if it has not begun, and will not.

        By a call of ours: `ray.cancel` is lost on a task that is just about to begin, as often as
        it is repeated (Ray 2.60).
        """
        if not self._watch.cancelled(attempt, time.monotonic()):
            return False
        self._actor.cancel.options(concurrency_group=_CONTROL).remote(attempt)
        waits: bool = next(iter(self._attempts)) != attempt
        return waits

    def ended(self, attempt: int, future: "Future[Any]") -> Iterator[tuple[int, "Future[Any]"]]:
        """An attempt has ended; those whose turn it now is, with what came of them.

        A node works its attempts off in order, but Ray does not always tell of them in order.
        """
        if attempt in self._attempts:
            self._futures[attempt] = future
        while (first := next(iter(self._attempts), None)) in self._futures:
            assert first is not None
            yield first, self._futures.pop(first)
            self.drop(first)

    def drop(self, attempt: int) -> None:
        """Hear no more of an attempt."""
        self._attempts.pop(attempt, None)
        self._watch.ended(attempt, time.monotonic())

    def overdue(self) -> TimedOut | Stopped | None:
        """How the attempt that it runs is to be counted, if it does not stop it."""
        return self._watch.overdue(time.monotonic())

    def kill(self) -> None:
        """End it, now."""
        with suppress(Exception):  # it is gone already, or Ray is
            ray.kill(self._actor)
