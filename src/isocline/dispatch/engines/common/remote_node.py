"""Node in a process of Ray or Dask, with its requests and answers."""

import pickle
from collections.abc import Callable
from typing import NamedTuple, final

from isocline.dispatch.chunk_names import given_chunk
from isocline.dispatch.engines.base import Done, Ending, Raised
from isocline.dispatch.engines.common.attempt import Read, performed
from isocline.dispatch.engines.common.node_inputs import NodeInputs
from isocline.dispatch.engines.common.remote_functions import Functions, Loader


class TaskRequest(NamedTuple):
    """Request to a node for one attempt."""

    attempt: int
    function: int  # number of the function, see `Numbers`
    arguments: bytes
    chunk: str | None
    held: bool  # whether the scheduler lists the node as holder, of a loader's chunk
    limit: float | None  # s
    keep: int | None = None  # number under which the node keeps the result as an input


class Answer(NamedTuple):
    """Outcome of an attempt and, if its chunk is stored by Ray or Dask, facts about that."""

    ending: Ending
    fetched: bool = False  # it was fetched for the attempt, and the node's site now holds it
    lost: bool = False  # no copy is left, and none can be made


@final
class RemoteNode:
    """Functions, inputs and loader of an engine, for one or more nodes in one process."""

    def __init__(self, loader: bytes | None) -> None:
        """Initialise with a pickled loader; raises any exception of its unpickling."""
        self.functions = Functions()
        self.inputs = NodeInputs()
        self._loader: Loader | None = pickle.loads(loader) if loader else None

    def perform(
        self, node: str, request: TaskRequest, read: Callable[[], Read] | None
    ) -> Done | Raised:
        """Run an attempt to its end; raises nothing but Interruption.

        Args:
            node: Name of the node.
            request: The attempt.
            read: Reads its chunk; None: the loader reads it, if there is one.
        """
        chunk = request.chunk
        if read is None and chunk is not None:
            given = given_chunk(chunk)
            read = lambda: Read(self._loader(given) if self._loader else given, request.held)  # noqa: E731
        function = lambda: self.functions.get(request.function)  # noqa: E731
        ending = performed(
            request.attempt, node, function, request.arguments, read, self.inputs.value
        )
        self.inputs.keep_result(ending, request.keep)
        return ending
