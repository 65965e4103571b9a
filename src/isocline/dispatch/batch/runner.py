"""Execution of a batch: every chunk once, results as they come, and a record of the run."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, final

from isocline.dispatch.batch.engine import where
from isocline.dispatch.batch.result import BatchResult, Failure, Finished, ended
from isocline.dispatch.batch.spec import Batch, RunOptions
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
    report: Callable[[Finished | Failure], None],
    options: RunOptions,
    watch: Callable[[RunStatistics], None] = lambda _: None,
) -> BatchResult:
    """Run a batch to its end, or until Ctrl-C.

    Args:
        batch: The batch.
        report: Called with each task's outcome; an exception stops the run, an OutputError in an
            orderly way.
        options: Options that hold in place of the batch's own.
        watch: Called with the progress every 0.25 s, in another thread, until it raises.

    Raises:
        UsageError: The batch and the options contradict each other.
        MissingExtraError: The engine's library is not installed.
        PolicyError: There is no such policy.
        JournalError: The journal cannot be used.
        EngineError: The nodes cannot be started or reached.
    """
    place = where(batch, options.engine, options.address, options.workers)
    policy = options.policy or batch.policy or DEFAULT_POLICY
    failures: list[Failure] = []
    unwritable = _Unwritable()
    reported = 0
    interrupted, problem = False, None
    scheduler = Scheduler(
        place.engine,
        policy,
        place.locations,
        retries=batch.retries,
        copies=batch.copies if options.copies is None else options.copies,
        limit=batch.limit,
        journal=options.journal,
        resume=options.resume,
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
                report(found)
                reported += 1
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
        unanswered=max(batch.size or 0, keyed.given) - reported,
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

    def show() -> bool:
        found = guarded(watch, statistics())
        if isinstance(found, Caught):
            LOG.warning("the progress of the run is not shown: %s", words(found.error))
        return not isinstance(found, Caught)

    def look() -> None:
        while show() and not over.wait(_LOOK):
            pass

    watcher = threading.Thread(target=look, name="isocline-progress", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        shows = watcher.is_alive()
        over.set()
        watcher.join()
        if shows:
            show()
