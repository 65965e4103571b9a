"""Node of an engine in a process of another engine: what it is sent, and what it answers."""

import pickle
from collections.abc import Callable
from typing import NamedTuple, final

from isocline.dispatch.engines.base import Done, Ending, Raised
from isocline.dispatch.engines.common.attempt import Read, performed
from isocline.dispatch.engines.common.remote_functions import Functions, Loader


class TaskRequest(NamedTuple):
    """Request to a node for one attempt."""

    attempt: int
    function: int  # its number, see `Numbers`
    arguments: bytes
    chunk: str | None
    held: bool  # a loader's chunk: the scheduler says that the node holds it
    limit: float | None  # s


class Answer(NamedTuple):
    """Outcome of an attempt, and what became known of its chunk, if that is the other engine's."""

    ending: Ending
    fetched: bool = False  # for the attempt; the node's place holds it from now on
    lost: bool = False  # the other engine has no copy left, nor can make one


@final
class RemoteNode:
    """Functions and loader of an engine, for one or more nodes in one process."""

    def __init__(self, loader: bytes | None) -> None:
        """Initialise with the pickled loader; raises any error of its unpickling."""
        self.functions = Functions()
        self._loader: Loader | None = pickle.loads(loader) if loader else None

    def perform(
        self, node: str, request: TaskRequest, read: Callable[[], Read] | None
    ) -> Done | Raised:
        """Run an attempt to its end; only an Interruption passes through.

        Args:
            node: Name of the node.
            request: The attempt.
            read: Reads its chunk; None: the loader does, if there is a chunk.
        """
        chunk = request.chunk
        if read is None and chunk is not None:
            read = lambda: Read(self._loader(chunk) if self._loader else chunk, request.held)  # noqa: E731
        function = lambda: self.functions.get(request.function)  # noqa: E731
        return performed(request.attempt, node, function, request.arguments, read)
