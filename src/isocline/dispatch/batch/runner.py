"""Execution of a batch: one task per chunk, with results reported as they arrive."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, final

from isocline.dispatch.batch.engine import where
from isocline.dispatch.batch.result import BatchResult, Failure, Finished, ended
from isocline.dispatch.batch.spec import Batch, RunOptions
from isocline.dispatch.chunk_names import chunk_name
from isocline.dispatch.coordinator.run_statistics import RunStatistics
from isocline.dispatch.errors import EngineClosedError, OutputError, UnwrittenError
from isocline.dispatch.futures import TaskFuture
from isocline.dispatch.locations.reader import LocationReader
from isocline.dispatch.log import LOG
from isocline.dispatch.scheduler import DEFAULT_POLICY, Scheduler
from isocline.dispatch.submission.submitter import Submitter
from isocline.dispatch.submission.task_factory import Submission
from isocline.dispatch.telemetry.timeline import Timeline
from isocline.dispatch.user_code_guard import Caught, guarded, words

_LOOK = 0.25  # s between two reports of the progress


def run_batch(
    batch: Batch,
    report: Callable[[Finished | Failure], None],
    options: RunOptions,
    watch: Callable[[RunStatistics], None] = lambda _: None,
    opened: Callable[[str], None] = lambda _: None,
) -> BatchResult:
    """Run a batch to its end or until Ctrl-C.

    Args:
        batch: The batch.
        report: Called with the outcome of each task; an exception stops the run, and an
            OutputError still yields a result.
        options: Options that take precedence over the batch's.
        watch: Called with the progress every 0.25 s, in another thread, until it raises.
        opened: Called with the URL of the live page, if there is one.

    Raises:
        UsageError: The batch and the options contradict each other.
        MissingExtraError: The engine's library is not installed.
        PolicyError: The policy is unknown.
        JournalError: The journal cannot be used.
        EngineError: The nodes cannot be started or reached.
        Exception: The error with which the scheduler failed.
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
            if options.page is not None:
                opened(scheduler.open_page(options.page, name=batch.name, total=batch.tasks))
            for future in _outcomes(keyed, batch):
                if scheduler.failure is not None:  # one error says more than a line per chunk
                    raise scheduler.failure
                found = ended(future, keyed.chunks.pop(future.key, None))
                if isinstance(found, Failure):
                    failures.append(found)
                    unwritable.add(future)
                report(found)
                reported += 1
    except KeyboardInterrupt:
        interrupted = True
    except EngineClosedError:  # the scheduler failed while tasks were still being submitted
        if scheduler.failure is None:
            raise
        raise scheduler.failure from None
    except (OutputError, UnwrittenError) as error:  # finished tasks are worth a report
        problem = str(error)
    return BatchResult(
        batch.name,
        policy,
        unwritable.counted(scheduler.statistics()),
        tuple(failures),
        scheduler.explain(),
        Timeline.of(scheduler.records),
        interrupted,
        unanswered=_unanswered(batch, keyed.given, reported, len(failures)),
        problem=problem,
    )


def _outcomes(keyed: "_ByChunk", batch: Batch) -> Iterator[TaskFuture[Any]]:
    """Yield completed futures: of each chunk or, of a reduction, the last or the first failed."""
    chunks = _looked_up(batch)
    if batch.combine is None:
        yield from keyed.completed(batch.function, chunks, resources=batch.resources)
        return
    call = Submission(batch.function, None, (), {}, None, None, batch.resources)
    try:
        last = keyed._reduced(
            call, batch.combine, chunks, arity=batch.arity, in_order=batch.in_order
        )
    except Exception:
        if keyed.failed is None:  # no task's error
            raise
        last = keyed.failed
    else:
        keyed.chunks.clear()  # the result is that of all, even if there is one chunk
    yield last


def _unanswered(batch: Batch, given: int, reported: int, failed: int) -> int:
    """Number of chunks with neither result nor failure; a reduction has one result for all."""
    if batch.combine is not None and reported > failed:
        return 0
    return max(batch.size or 0, given) - reported


def _looked_up(batch: Batch) -> Iterable[str]:
    """Chunks of a batch, of which a reader looks up many holders at once."""
    locations = batch.locations
    return locations.ahead(batch.chunks) if isinstance(locations, LocationReader) else batch.chunks


@final
class _ByChunk(Submitter):
    """Submitter whose tasks have their chunk as key, by which results are identified.

    Attributes:
        chunks: Chunks of tasks without a reported outcome, by key.
        given: Number of chunks of which tasks were submitted.
        failed: First task that ended with an error, if any.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self.chunks: dict[str, str] = {}
        self.given = 0
        self.failed: TaskFuture[Any] | None = None
        self._scheduler = scheduler
        self._asked: Counter[str] = Counter()

    def _put(self, submission: Submission) -> TaskFuture[Any]:
        if submission.chunk is not None:
            chunk = chunk_name(submission.chunk)
            submission = submission._replace(chunk=chunk, key=self._key(chunk))
        future = self._scheduler._put(submission)
        future.when_done(self._ended)
        return future

    def _key(self, chunk: str) -> str:
        """Return the key of the next task of a chunk."""
        self._asked[chunk] += 1
        count = self._asked[chunk]
        key = chunk if count == 1 else f"{chunk}#{count}"
        self.chunks[key] = chunk
        self.given += 1
        return key

    def _ended(self, future: TaskFuture[Any]) -> None:
        if self.failed is None and not future.cancelled() and future.exception() is not None:
            self.failed = future

    @property
    def window(self) -> int:
        return self._scheduler.window


@final
class _Unwritable:
    """Count of tasks with a result that cannot be written as JSON."""

    def __init__(self) -> None:
        self._finished = self._resumed = 0

    def add(self, future: TaskFuture[Any]) -> None:
        """Add a task with a failure, if this is the cause."""
        if not future.cancelled() and future.exception() is None:
            if future.node is None:
                self._resumed += 1
            else:
                self._finished += 1

    def counted(self, statistics: RunStatistics) -> RunStatistics:
        """Statistics in which these tasks count as failed."""
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
    """Report the progress from a thread, also while no task ends."""
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
