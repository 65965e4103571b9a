"""Execution of a batch: every chunk once, results as they come, and a record of the run."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, final

from isocline.dispatch.batch.engine import where
from isocline.dispatch.batch.result import BatchResult, Failure, Finished, ended
from isocline.dispatch.batch.spec import Batch
from isocline.dispatch.coordinator.run_statistics import RunStatistics
from isocline.dispatch.errors import OutputError, UnwrittenError
from isocline.dispatch.futures import TaskFuture
from isocline.dispatch.log import LOG
from isocline.dispatch.scheduler import DEFAULT_POLICY, Scheduler
from isocline.dispatch.submission.submitter import Submitter
from isocline.dispatch.telemetry.timeline import Timeline
from isocline.dispatch.user_code_guard import Caught, guarded, words

_LOOK = 0.25  # s between two looks at the progress


def run_batch(
    batch: Batch,
    tell: Callable[[Finished | Failure], None],
    *,
    engine: str | None = None,
    address: str | None = None,
    workers: int | None = None,
    policy: str | None = None,
    copies: bool | None = None,
    journal: Path | None = None,
    resume: bool = False,
    watch: Callable[[RunStatistics], None] = lambda _: None,
) -> BatchResult:
    """Run a batch to its end, or until Ctrl-C.

    Args:
        batch: The batch.
        tell: Called with each task's outcome; an exception stops the run, an OutputError in an
            orderly way.
        engine: processes, ray or dask, in place of the batch's own; by default processes.
        address: Address of the cluster of ray or dask; by default the batch's, if the engine is, or
            the one that Ray or Dask finds, or starts on this machine.
        workers: Number of processes, where the batch does not name its nodes.
        policy: Policy in place of the batch's own; by default late_binding.
        copies: Whether to run copies of slow tasks elsewhere, in place of the batch's own.
        journal: A file that keeps the run, so that it can be resumed.
        resume: Go on with a journal that is there.
        watch: Called with the progress every 0.25 s, in another thread, until it raises.

    Raises:
        UsageError: The batch and these arguments contradict each other.
        MissingExtraError: The engine's library is not installed.
        PolicyError: There is no such policy.
        JournalError: The journal cannot be used.
        EngineError: The nodes cannot be started or reached.
    """
    place = where(batch, engine, address, workers)
    policy = policy or batch.policy or DEFAULT_POLICY
    failures: list[Failure] = []
    unwritable = _Unwritable()
    told = 0
    interrupted, problem = False, None
    scheduler = Scheduler(
        place.engine,
        policy,
        place.locations,
        retries=batch.retries,
        copies=batch.copies if copies is None else copies,
        limit=batch.limit,
        journal=journal,
        resume=resume,
        version=batch.version,
        everywhere=place.everywhere,
        **place.options,
    )
    keyed = _ByChunk(scheduler)
    try:
        with scheduler, _watched(lambda: unwritable.counted(scheduler.statistics()), watch):
            for future in keyed.completed(batch.function, batch.chunks):
                found = ended(future, keyed.chunks.pop(future.key))
                if isinstance(found, Failure):
                    failures.append(found)
                    unwritable.add(future)
                tell(found)
                told += 1
    except KeyboardInterrupt:
        interrupted = True
    except (OutputError, UnwrittenError) as error:  # what has been done is worth a report
        problem = str(error)
    return BatchResult(
        batch.name,
        policy,
        unwritable.counted(scheduler.statistics()),
        tuple(failures),
        scheduler.explain(),
        Timeline.of(scheduler.records),
        interrupted,
        unanswered=max(batch.size or 0, keyed.given) - told,
        problem=problem,
    )


@final
class _ByChunk(Submitter):
    """Source of tasks with their chunk as key, by which results are recognised.

    Attributes:
        chunks: Chunks of tasks that were not handed out yet, by key.
        given: Number of tasks submitted.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self.chunks: dict[str, str] = {}
        self.given = 0
        self._scheduler = scheduler
        self._asked: Counter[str] = Counter()

    def submit(
        self,
        function: Callable[..., Any],
        chunk: str | None = None,
        /,
        *arguments: Any,
        key: str | None = None,
        limit: float | None = None,
        **named: Any,
    ) -> TaskFuture[Any]:
        assert chunk is not None
        if key is None:
            self._asked[chunk] += 1
            count = self._asked[chunk]
            key = chunk if count == 1 else f"{chunk}#{count}"
        self.chunks[key] = chunk
        self.given += 1
        return self._scheduler.submit(function, chunk, *arguments, key=key, limit=limit, **named)

    @property
    def window(self) -> int:
        return self._scheduler.window


@final
class _Unwritable:
    """Tasks that have a result for the scheduler, but none that can be written as JSON."""

    def __init__(self) -> None:
        self._finished = self._resumed = 0

    def add(self, future: TaskFuture[Any]) -> None:
        """Add a task with a failure, if that is the reason."""
        if not future.cancelled() and future.exception() is None:
            if future.node is None:
                self._resumed += 1
            else:
                self._finished += 1

    def counted(self, statistics: RunStatistics) -> RunStatistics:
        """Count them as failed, as the batch does."""
        return replace(
            statistics,
            finished=statistics.finished - self._finished,
            resumed=statistics.resumed - self._resumed,
            failed=statistics.failed + self._finished + self._resumed,
        )


@contextmanager
def _watched(
    statistics: Callable[[], RunStatistics], watch: Callable[[RunStatistics], None]
) -> Iterator[None]:
    """Report the progress from a thread: tasks may take long, and end all at once."""
    over = threading.Event()

    def tell() -> bool:
        found = guarded(watch, statistics())
        if isinstance(found, Caught):
            LOG.warning("the progress of the run is not shown: %s", words(found.error))
        return not isinstance(found, Caught)

    def look() -> None:
        while tell() and not over.wait(_LOOK):
            """Told again."""

    watcher = threading.Thread(target=look, name="isocline-progress", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        shows = watcher.is_alive()
        over.set()
        watcher.join()
        if shows:
            tell()
