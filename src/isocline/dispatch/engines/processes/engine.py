"""Engine on worker processes of this machine, without further requirements."""

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, final

from isocline.cores import require_processes
from isocline.dispatch.engines.base import (
    Drops,
    Emit,
    Event,
    Holds,
    Node,
    NodeLost,
    WorkItem,
)
from isocline.dispatch.engines.common.chunk_store import Loader
from isocline.dispatch.engines.common.settings import (
    Nodes,
    code_of,
    nodes_of,
    roots_of,
    slotted,
)
from isocline.dispatch.engines.processes.protocol import Setup
from isocline.dispatch.engines.processes.supervisor import Supervisor
from isocline.dispatch.engines.processes.worker_handle import WorkerHandle
from isocline.dispatch.engines.processes.worker_slot import WorkerSlot
from isocline.dispatch.errors import EngineError
from isocline.errors import UsageError


@final
class ProcessEngine:
    """Engine on worker processes: each node is one, which runs a task at a time in its main thread.

    Processes are spawned, not forked. A chunk is read by `loader` if the node holds it, or else
    fetched from a holder and kept; while a task runs, threads may prefetch chunks for later tasks.
    A task is stopped by an exception raised within it, which ends Python code and waits; if that
    fails within `patience`, for instance in a long call of compiled code, the worker is killed and
    the node lost. A dead worker is restarted, after a pause that grows from 0.1 to 10 s while it
    finishes no task. Output of tasks goes to the standard error, each line with the node's name.
    Background processes of tasks end with their worker, unless they started their own session. A
    child forked by a task ends where it returns from the task. Tasks must not use SIGUSR1; they may
    use alarms (SIGALRM) until they end.
    """

    def __init__(
        self,
        nodes: Nodes | None = None,
        *,
        loader: Loader | None = None,
        racks: Mapping[str, str] | None = None,
        slots: int = 1,
        resources: Mapping[str, Any] | None = None,
        everywhere: bool = False,
        cache: int = 1 << 28,
        patience: float = 2.0,
        silence: float = 10.0,
        link: float | None = None,
        scratch: str | Path | None = None,
    ) -> None:
        """Initialise, without starting anything.

        Args:
            nodes: Number of nodes, or their names, or a mapping from names to directories, in which
                case chunks are files named by their relative paths; None: one node per core.
            loader: Function from a chunk's name, or with directories its path, to the value that
                the task gets; None: tasks get the name, or the file's bytes.
            racks: Racks by node; nodes may be missing.
            slots: Worker processes of each node, named NODE/0, NODE/1 and so on. Locations name
                the node, and its slots share its resources.
            resources: Amounts by name that each node has, such as {"gpu": 1}, or such by node. They
                only count what tasks say they need; nothing is measured or enforced.
            everywhere: Whether the loader can read every chunk at every node, if slowly; it is then
                called when no holder delivers a chunk.
            cache: Bytes of fetched chunks that a node keeps; with directories, on disk.
            patience: Time that a task has to end after its limit or its cancellation, s.
            silence: Time without a byte after which a holder is given up, s.
            link: Rate at which each chunk is sent to another node, bytes/s, to emulate a slower
                network; None: unlimited.
            scratch: Directory for sockets and fetched files; None: the system's temporary one. If
                its path is too long for sockets, these are in /tmp.

        Raises:
            UsageError: There are more nodes than the machine supports, duplicate names, a missing
                directory, a rack of an unknown node, a loader that cannot be pickled, or
                `everywhere` together with directories.
        """
        self._nodes = slotted(nodes_of(nodes, racks), slots, resources)
        require_processes("nodes", len(self._nodes))
        roots = roots_of(nodes)
        self.directories: Mapping[str, Path] = {
            node.name: roots[node.site or node.name] for node in self._nodes if roots
        }
        if everywhere and self.directories:
            raise UsageError(
                "everywhere: not possible with directories of nodes; leave it out, or give names "
                "of nodes and a loader that finds a file by its chunk's name"
            )
        self.loader = loader
        code = code_of(loader)
        self._common = Setup("", code, "", "", {}, cache, everywhere, silence, link)
        self._patience = patience
        self._where = scratch
        self._scratch: Path | None = None
        self._sockets: Path | None = None  # if they have a directory of their own
        self._supervisor: Supervisor | None = None
        self._slots: dict[str, WorkerSlot] = {}
        self.fixed = True
        self.fetches = code is not None or bool(self.directories)
        self._held: dict[str, set[str]] = {node.name: set() for node in self._nodes}

    def start(self, emit: Emit) -> Sequence[Node]:
        if self._scratch:
            raise EngineError("an engine is started once; make another")
        self._emit = emit
        try:
            self._scratch = Path(tempfile.mkdtemp(prefix="isocline-", dir=self._where))
        except OSError as error:
            remedy = "set TMPDIR, or scratch, to a writable directory"
            raise EngineError(
                f"scratch: no directory can be created there ({error.strerror}); {remedy}"
            ) from error
        try:
            for setup, node in zip(self._setups(self._scratch), self._nodes, strict=True):
                self._slots[node.name] = WorkerSlot(node, setup, self._patience)
            self._supervisor = Supervisor(list(self._slots.values()), self._on_event)
            self._supervisor.start()
        except BaseException:
            self.close()
            raise
        return list(self._nodes)

    def run(self, node: str, work: WorkItem) -> None:
        process = self._process(node)
        if process and process.up:
            process.run(work.function, work._replace(function=b""))
            self._flush(process)

    def cancel(self, node: str, attempt: int) -> None:
        process = self._process(node)
        if process:
            process.cancel(attempt)
            self._flush(process)

    def fetch(self, node: str, chunk: str, holders: Sequence[str]) -> None:
        process = self._process(node)
        if process and process.up:
            process.fetch(chunk, holders)
            self._flush(process)

    def release(self, number: int) -> None:
        for slot in self._slots.values():
            if slot.process:
                slot.process.release(number)
                self._flush(slot.process)

    def locations(self, chunk: str) -> Sequence[str]:
        return [
            node
            for node, held in self._held.items()
            if chunk in held
            or (node in self.directories and _is_file(self.directories[node] / chunk))
        ]

    def close(self) -> None:
        if self._supervisor:
            self._supervisor.close()
            self._supervisor = None
        self._slots.clear()
        for directory in (self._scratch, self._sockets):
            if directory:
                shutil.rmtree(directory, ignore_errors=True)

    def _setups(self, scratch: Path) -> list[Setup]:
        directories = {node.name: scratch / str(i) for i, node in enumerate(self._nodes)}
        sockets = {name: own / "socket" for name, own in directories.items()}
        if any(is_too_long(path) for path in sockets.values()):
            self._sockets = short_directory()
            sockets = {name: self._sockets / own.name for name, own in directories.items()}
        common = self._common._replace(sockets={name: str(path) for name, path in sockets.items()})
        return [
            common._replace(name=name, root=str(self.directories.get(name, "")), scratch=str(own))
            for name, own in directories.items()
        ]

    def _process(self, node: str) -> WorkerHandle | None:
        if node not in self._held:
            raise EngineError(f"no node {node!r}; the nodes are {', '.join(self._held)}")
        slot = self._slots.get(node)
        return slot.process if slot else None

    def _flush(self, process: WorkerHandle) -> None:
        if process.has_unsent and self._supervisor:
            self._supervisor.wake()

    def _on_event(self, event: Event) -> None:
        """Handle an event of a worker, in the supervisor's thread."""
        match event:
            case Holds():
                self._held[event.node].add(event.chunk)
            case Drops():
                self._held[event.node].discard(event.chunk)
            case NodeLost():
                self._held[event.name].clear()
        self._emit(event)


def _is_file(path: Path) -> bool:
    """Whether a path is an accessible file; False for invalid or too long names."""
    return os.path.isfile(path)  # noqa: PTH113 - pathlib's raises for some names


# Longest path of a socket, bytes: `sun_path` has 108 on Linux and 104 on macOS, including a zero.
_LONGEST_PATH = 103
_SHORT_ROOTS = ("/tmp", "/var/tmp", "/dev/shm")


def is_too_long(path: Path) -> bool:
    """Whether a path is too long for a socket."""
    return len(os.fsencode(path)) > _LONGEST_PATH


def short_directory(roots: Sequence[str] = _SHORT_ROOTS) -> Path:
    """Create a directory with a short path, for sockets, in the first writable root.

    Raises:
        EngineError: No root is writable.
    """
    for root in roots:
        with suppress(OSError):
            return Path(tempfile.mkdtemp(prefix="isocline-", dir=root))
    raise EngineError(
        "scratch: its path is too long for sockets, and no directory can be created in "
        f"{', '.join(roots)}; set TMPDIR (or scratch=) to a path of less than 70 characters"
    )
