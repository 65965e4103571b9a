"""Holders of a task's chunk: servers at which it is local, and nodes asked for the chunk."""

from collections import Counter
from typing import final

from isocline.dispatch.coordinator.chunk_index import ChunkIndex
from isocline.dispatch.coordinator.nodes import Nodes
from isocline.dispatch.submission.task import Task

# Bytes of inputs below which a task may run anywhere: they are sent within a task's overhead.
_LEAST_NEAR = 1 << 16


@final
class TaskHolders:
    """Holders of chunks, by given locations, fetched chunks and states of nodes.

    Attributes:
        chunks: Index of fetched chunks, and of the tasks that use them.
    """

    def __init__(self, nodes: Nodes, *, everywhere: bool) -> None:
        """Initialise; with `everywhere`, a task whose chunk has no holder up may run anywhere."""
        self.chunks = ChunkIndex()
        self._nodes = nodes
        self._everywhere = everywhere

    def names(self, task: Task) -> tuple[str, ...]:
        """Return the holders of a task's chunk, up or not."""
        if task.chunk is None:
            return self._producers(task)
        return self._nodes.resolved(self.chunks.of(task.chunk, task.holders))

    def to_ask(self, task: Task, node: str) -> tuple[str, ...]:
        """Return the holders that a node should ask for a task's chunk, including itself.

        Those in the node's rack come first. Silent holders are left out, as each would cost a wait.
        """
        silent = self._nodes.is_silent
        names = self._nodes.by_rack(self.names(task), node)
        return tuple(name for name in names if name == node or not silent(name))

    def servers(self, task: Task) -> list[int] | None:
        """Return the servers at which a task is local; None: all that are up.

        Silent nodes are left out, as their chunks cannot be read.
        """
        if task.chunk is None and not task.inputs:
            return None
        found, nodes = self._answering(task), self._nodes
        if task.chunk is None:  # its inputs can be sent to any node
            return found if nodes.up.intersection(found) else None
        if not self._everywhere or nodes.up.intersection(found):
            return found
        return self._all_up() if self.known(task) else None

    def present(self, task: Task) -> list[int]:
        """Return the servers at which a task is local that was not local at all at first."""
        found = self.servers(task)
        if found is None and task.chunk is None:
            return self._all_up()
        return found or []

    def reads(self, task: Task, name: str) -> bool:
        """Whether a task is local at a node for the inputs that it keeps."""
        return task.chunk is None and not task.anywhere and name in self._producers(task)

    def known(self, task: Task) -> list[int]:
        """Return the servers of the holders that are or were up."""
        return self._nodes.known_of(self.names(task))

    def depends_on(self, task: Task, name: str) -> bool:
        """Whether a task's local servers depend on a node being up, lost or silent."""
        if task.anywhere:
            return False
        if task.need:  # whether there is a node with room for it
            return True
        if task.chunk is None:  # after a loss it is local at all that are up
            return True
        lacking = self._everywhere and not self._nodes.up.intersection(self._answering(task))
        return lacking or name in self.names(task)

    def expected(self, task: Task, *, returning: bool) -> bool:
        """Whether a holder is silent or, if `returning`, is being restarted."""
        if task.chunk is None:  # any node will do
            return True
        names = self.names(task)
        silent = any(self._nodes.is_silent(name) for name in names)
        return silent or (returning and self._nodes.returns(names))

    def were_lost(self, task: Task, since: float) -> bool:
        """Whether a holder is down, or any node has come up or been lost since that time, s."""
        return self._nodes.changed > since or not self._nodes.all_up(self.names(task))

    def were_silent(self, task: Task, since: float) -> bool:
        """Whether a holder was found silent since that time, s."""
        return self._nodes.were_silent(self.names(task), since)

    def _producers(self, task: Task) -> tuple[str, ...]:
        """Return the nodes that keep the most of a task's inputs; none if that is little."""
        sizes: Counter[str] = Counter()
        for given in task.inputs:
            if given.producer and given.data and self._keeps(*given.producer):
                sizes[given.producer[0]] += len(given.data)
        most = max(sizes.values(), default=0)
        return tuple(name for name, size in sizes.items() if size == most >= _LEAST_NEAR)

    def _keeps(self, name: str, losses: int) -> bool:
        return self._nodes.losses[name] == losses

    def _all_up(self) -> list[int]:
        nodes = self._nodes
        return [server for server in sorted(nodes.up) if not nodes.is_silent(nodes.names[server])]

    def _answering(self, task: Task) -> list[int]:
        silent = self._nodes.is_silent
        return self._nodes.known_of(name for name in self.names(task) if not silent(name))
