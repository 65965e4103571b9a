"""Worker slot: place of a worker process that may die and be restarted."""

import math
import time
from collections.abc import Callable
from typing import final

from isocline.dispatch.engines.base import Node
from isocline.dispatch.engines.processes.protocol import Setup
from isocline.dispatch.engines.processes.worker_handle import WorkerHandle
from isocline.subprocesses.supervise import Backoff

# s until a dead worker is restarted: doubled each time that one dies before it finishes a task.
_FIRST, _LONGEST = 0.1, 10.0


@final
class WorkerSlot:
    """Slot of a node: its process, if any, and the time of the next start."""

    def __init__(
        self,
        node: Node,
        setup: Setup,
        patience: float,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.node = node
        self.setup = setup
        self.process: WorkerHandle | None = None
        self._patience = patience
        self.failed = 0  # number of failed starts in a row
        self._backoff = Backoff(_FIRST, _LONGEST)
        self._now = now
        self._due = -math.inf  # time of the next start, s by that clock

    def start(self) -> WorkerHandle:
        """Start a process; raises OSError if that fails."""
        self.process = WorkerHandle(self.setup, self._patience)
        return self.process

    @property
    def due(self) -> bool:
        """Whether the next start is due."""
        return self.process is None and self._now() >= self._due

    def lost(self) -> None:
        """Record that the process has ended or could not be started."""
        self.failed += self.process is None or not self.process.up
        self.process = None
        self._due = self._now() + self._backoff.pause()

    def ready(self) -> None:
        """Record that the process is up."""
        self.failed = 0

    def task_done(self) -> None:
        """Record a finished task, which ends a series of failed starts."""
        self._backoff.reset()
