"""Actor of a node, in its own process."""

import pickle
import time
from typing import TYPE_CHECKING, Any, NamedTuple, final

import ray
from ray.exceptions import RayError, RayTaskError

from isocline.dispatch.engines.base import Ending
from isocline.dispatch.engines.common.attempt import Read, performed
from isocline.dispatch.engines.common.errors import UnreadError
from isocline.dispatch.engines.common.remote_functions import Functions, Loader
from isocline.dispatch.engines.ray.chunk_stream import Answer
from isocline.dispatch.engines.ray.chunks import is_final
from isocline.dispatch.engines.ray.execution_slots import ExecutionSlots

if TYPE_CHECKING:
    from ray import ObjectRef


class TaskRequest(NamedTuple):
    """Request to an actor for one attempt, pickled.

    Requests and answers are pickled here, as Ray takes 0.1 ms more for anything but bytes.
    """

    attempt: int
    function: int
    arguments: bytes
    chunk: str | None
    held: bool  # a loader's chunk: the scheduler says that the node holds it
    limit: float | None  # s
    lane: int  # of all that were opened; see `ExecutionSlots`


@final
class RayNode:
    """Actor that runs one task at a time, in the order of the calls; control calls do not wait."""

    def __init__(self, name: str, loader: bytes | None) -> None:
        self._name = name
        self._loader: Loader | None = pickle.loads(loader) if loader else None
        self._functions = Functions()
        self._lanes = ExecutionSlots()

    def ready(self) -> None:
        """Return once the actor is up."""

    def cancel(self, attempt: int, more: bool) -> bool:
        """Stop an attempt, or prevent its begin; see `ExecutionSlots`."""
        return self._lanes.cancel(attempt, more)

    def fetch(self, refs: "list[ObjectRef[Any]]") -> float:
        """Fetch objects into this node's store, beside attempts; returns how long it took, s.

        Raises:
            RayError: They cannot be fetched.
        """
        start = time.perf_counter()
        ray.get(refs)
        return time.perf_counter() - start

    def learn(self, number: int, code: bytes) -> None:
        """Store a function for later attempts."""
        self._functions.learn(number, code)

    def forget(self, number: int) -> None:
        """Remove a function that no later attempt calls."""
        self._functions.forget(number)

    def run(self, code: bytes, *refs: "list[ObjectRef[Any]]") -> bytes:
        """Run an attempt to its end, of whatever kind.

        Args:
            code: The TaskRequest, pickled.
            refs: If its chunk is Ray's, a list with its reference: Ray would wait for a bare one.

        Returns:
            The Answer, pickled; nothing if its lane was given up before.
        """
        order: TaskRequest = pickle.loads(code)
        fetched: list[str] = []
        lost: list[str] = []

        def perform() -> Ending:
            return performed(
                order.attempt,
                self._name,
                lambda: self._functions.get(order.function),
                order.arguments,
                None if order.chunk is None else lambda: self._read(order, fetched, lost, *refs),
            )

        ending = self._lanes.perform(order.lane, order.attempt, self._name, order.limit, perform)
        if ending is None:
            return b""
        return pickle.dumps(Answer(ending, fetched, lost), pickle.HIGHEST_PROTOCOL)

    def _read(
        self,
        order: TaskRequest,
        fetched: list[str],
        lost: list[str],
        refs: "list[ObjectRef[Any]] | None" = None,
    ) -> Read:
        assert order.chunk is not None
        if refs is None:
            return Read(self._loader(order.chunk) if self._loader else order.chunk, order.held)
        here, _ = ray.wait(refs, timeout=0, fetch_local=True)
        try:
            value = ray.get(refs[0])
        except RayTaskError:  # of the task that was to make the chunk
            raise
        except RayError as error:
            if is_final(error):
                lost.append(order.chunk)
            raise UnreadError(
                f"chunk {order.chunk!r} cannot be had at {self._name}: {error}"
            ) from error
        if not here:
            fetched.append(order.chunk)
        return Read(value, bool(here))
