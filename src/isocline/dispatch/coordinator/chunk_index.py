"""Index of chunks: nodes that fetched them, and unfinished tasks that use them."""

from collections.abc import Iterable
from typing import final

from isocline.dispatch.submission.task import Task


@final
class ChunkIndex:
    """Index of one scheduler, by names of nodes, up or not."""

    def __init__(self) -> None:
        self._fetched: dict[str, dict[str, None]] = {}  # chunk -> its fetchers, latest last
        self._chunks: dict[str, set[str]] = {}  # node -> chunks that it fetched
        self._tasks: dict[str, set[int]] = {}  # chunk -> unfinished tasks

    def add(self, task: Task) -> None:
        """Register a task that uses a chunk."""
        if task.chunk is not None:
            self._tasks.setdefault(task.chunk, set()).add(task.number)

    def remove(self, task: Task) -> None:
        """Remove a task that has ended."""
        if task.chunk is None:
            return
        tasks = self._tasks[task.chunk]
        tasks.discard(task.number)
        if not tasks:
            del self._tasks[task.chunk]

    def add_holder(self, chunk: str, node: str) -> Iterable[int]:
        """Add a node as holder of a chunk; returns the tasks that use it."""
        self._fetched.setdefault(chunk, {})[node] = None
        self._chunks.setdefault(node, set()).add(chunk)
        return self._tasks.get(chunk, ())

    def drop_holder(self, chunk: str, node: str) -> Iterable[int]:
        """Remove a node that dropped a fetched chunk; returns the tasks that use it."""
        self._chunks.get(node, set()).discard(chunk)
        nodes = self._fetched.get(chunk, {})
        nodes.pop(node, None)
        if not nodes:
            self._fetched.pop(chunk, None)
        return self._tasks.get(chunk, ())

    def lose(self, node: str) -> None:
        """Remove a lost node as holder of all chunks that it fetched."""
        for chunk in tuple(self._chunks.pop(node, ())):
            self.drop_holder(chunk, node)

    def of(self, chunk: str, given: Iterable[str]) -> tuple[str, ...]:
        """Return all holders of a chunk: the given ones, then those that fetched it."""
        return tuple(dict.fromkeys((*given, *self._fetched.get(chunk, ()))))
