"""Actor that is a node of the engine, in its own process."""

import pickle
import time
from typing import TYPE_CHECKING, Any, final

import ray
from ray.exceptions import RayError, RayTaskError

from isocline.dispatch.engines.base import Ending
from isocline.dispatch.engines.common.attempt import Read
from isocline.dispatch.engines.common.remote_node import Answer, RemoteNode, TaskRequest
from isocline.dispatch.engines.ray.chunks import is_final
from isocline.dispatch.engines.ray.execution_slots import ExecutionSlots
from isocline.dispatch.errors import AT_NODE, UnreadError
from isocline.dispatch.inputs import InputData

if TYPE_CHECKING:
    from ray import ObjectRef


@final
class RayNode:
    """Actor that runs one task at a time, in order of calls; control calls do not wait."""

    def __init__(self, name: str, loader: bytes | None) -> None:
        self._name = name
        self._node = RemoteNode(loader)
        self._slots = ExecutionSlots()

    def ready(self) -> None:
        """Return once the actor is up."""

    def cancel(self, attempt: int, more: bool) -> bool:
        """Stop an attempt, or prevent its start; see `ExecutionSlots`."""
        return self._slots.cancel(attempt, more)

    def fetch(self, refs: "list[ObjectRef[Any]]") -> float:
        """Fetch objects into this node's store while attempts run; returns the time taken, s.

        Raises:
            RayError: An object cannot be fetched.
        """
        start = time.perf_counter()
        ray.get(refs)
        return time.perf_counter() - start

    def learn(self, number: int, code: bytes) -> None:
        """Store a function for later attempts."""
        self._node.functions.learn(number, code)

    def forget(self, number: int) -> None:
        """Remove a function that no later attempt calls."""
        self._node.functions.forget(number)

    def keep(self, number: int, data: bytes, shared: bool) -> None:
        """Keep an input for later attempts."""
        self._node.inputs.keep(InputData(number, data, shared))

    def drop(self, number: int) -> None:
        """Drop an input that no later attempt gets."""
        self._node.inputs.drop(number)

    def run(self, code: bytes, *refs: "list[ObjectRef[Any]]") -> bytes:
        """Run an attempt to its end, of any kind.

        Args:
            code: Pickled number of its slot (of all ever opened) and TaskRequest, since Ray takes
                0.1 ms more for arguments other than bytes.
            refs: A list with the chunk's reference, if Ray stores the chunk; Ray would wait for a
                bare reference.

        Returns:
            Pickled Answer; empty if the slot had been given up.
        """
        slot: int
        request: TaskRequest
        slot, request = pickle.loads(code)
        reader = _ObjectReader(request.chunk, self._name, *refs) if refs else None

        def perform() -> Ending:
            return self._node.perform(self._name, request, reader and reader.read)

        ending = self._slots.perform(slot, request.attempt, self._name, request.limit, perform)
        if ending is None:
            return b""
        answer = Answer(ending, reader.fetched, reader.lost) if reader else Answer(ending)
        return pickle.dumps(answer, pickle.HIGHEST_PROTOCOL)


@final
class _ObjectReader:
    """Reader of a chunk that is a Ray object.

    Attributes:
        fetched: Whether it was fetched from another Ray node.
        lost: Whether Ray has no copy left.
    """

    def __init__(self, chunk: str | None, node: str, refs: "list[ObjectRef[Any]]") -> None:
        self.fetched = self.lost = False
        self._chunk = chunk
        self._node = node
        self._refs = refs

    def read(self) -> Read:
        """Read the chunk; raises UnreadError and exceptions of the Ray task that makes it."""
        here, _ = ray.wait(self._refs, timeout=0, fetch_local=True)
        try:
            value = ray.get(self._refs[0])
        except RayTaskError:  # from the Ray task that makes the chunk
            raise
        except RayError as error:
            self.lost = is_final(error)
            raise UnreadError(
                AT_NODE, f"chunk {self._chunk!r} cannot be read at {self._node}: {error}"
            ) from error
        self.fetched = not here
        return Read(value, bool(here))
