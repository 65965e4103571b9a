"""Scheduler: runs functions near their data, by the policies that are simulated.

    with Scheduler(locations={"part-0": ["node-0", "node-2"], ...}, loader=read) as scheduler:
        for count in scheduler.map(words, chunks):
            ...

One thread decides (`coordinator`, `core`), an engine runs tasks (`engines`), and an optional
journal lets an interrupted run be resumed.
"""

import atexit
import itertools
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, final

from isocline.arguments import NOT_NEGATIVE, POSITIVE, at_least, checked, in_one_line
from isocline.dispatch.coordinator.coordinator import Coordinator
from isocline.dispatch.coordinator.event_loop import Cancelled, EventLoop, Stop
from isocline.dispatch.coordinator.nodes import Nodes
from isocline.dispatch.coordinator.run_statistics import RunStatistics, run_statistics
from isocline.dispatch.coordinator.task_ledger import TaskLedger, refuse
from isocline.dispatch.core.core import Core
from isocline.dispatch.engines.base import Emit, Engine
from isocline.dispatch.errors import EngineClosedError, JournalError
from isocline.dispatch.forks import owned
from isocline.dispatch.futures import Callbacks, TaskFuture
from isocline.dispatch.job import Job
from isocline.dispatch.journal.journal import Journal
from isocline.dispatch.log import LOG
from isocline.dispatch.rules import Rules
from isocline.dispatch.setup import Settings, engine_of, prior, rules_of
from isocline.dispatch.submission.chunk_locations import Locations
from isocline.dispatch.submission.submitter import Submitter
from isocline.dispatch.submission.task_factory import Submission, TaskFactory
from isocline.dispatch.submission.versions import Files, Version
from isocline.dispatch.telemetry.records import Records
from isocline.errors import IsoclineError, UsageError
from isocline.policies.parse import scheduling_policy
from isocline.policies.scheduling.contract import SchedulingPolicy
from isocline.randomness.draws import stream

if TYPE_CHECKING:
    from isocline.dispatch.explain import Explanation

T = TypeVar("T")

# Tasks waiting per node, so that a node nearly always finds one whose data it holds: of 16 M chunks
# placed at random, one replica each, a given one of M nodes holds none with probability e^-16.
_WINDOW, _LEAST_WINDOW = 16, 64

DEFAULT_POLICY = "late_binding"


@final
class Scheduler(Submitter):
    """Scheduler of one engine; takes tasks from any thread.

    As a context manager it waits at the end of the block for all tasks. An exception that leaves
    the block, Ctrl-C among them, stops it instead: nothing more is started, what runs has
    `Settings.grace` s to end and is then cancelled, the journal is written, and the exception is
    raised. A second Ctrl-C cancels at once.

    Attributes:
        records: The last attempts, as `Ran`: task, node, times, locality level and reason.
    """

    _began: float  # s, monotonic
    _ledger: TaskLedger

    @checked(
        retries=at_least(0),
        limit=POSITIVE,
        holder_grace=NOT_NEGATIVE,
        seed=at_least(0),
    )
    def __init__(
        self,
        engine: str | Engine = "processes",
        policy: str | SchedulingPolicy = DEFAULT_POLICY,
        locations: Locations | None = None,
        *,
        retries: int | None = None,
        limit: float | None = None,
        journal: str | Path | None = None,
        resume: bool = False,
        version: Version | None = None,
        holder_grace: float | None = None,
        everywhere: bool = False,
        copies: bool | None = None,
        rules: Rules | None = None,
        settings: Settings | None = None,
        seed: int | None = None,
        **options: Any,
    ) -> None:
        """Start the engine and wait for its nodes.

        Args:
            engine: Engine of the nodes: "processes", the worker processes of this machine, or an
                engine of `isocline.dispatch.engines`.
            policy: Any scheduling policy: `name`, `name:key=value,...`, one's own as
                `package.module:Class`, or an instance.
            locations: Nodes that hold a chunk: a mapping, or a function of the chunk; where it has
                none, and by default, the engine is asked.
            retries: Number of retries of a task that raised or took too long, by default that of
                `rules`, 0. One whose worker died is run again in any case, until it has killed
                `Rules.most_killed`.
            limit: s that a task may run; None: any time.
            journal: A file in which the run is kept.
            resume: Go on with a journal that is there: what has finished is not run again.
            version: Version of a chunk's data, such as an ETag, by the chunk's name: a task whose
                data has changed is run again by a resumed run. By default of chunks that are files,
                in the nodes' directories or by their paths here, size and time of change.
            holder_grace: s that a task waits for a node that holds its chunk when none is up, and
                for longer while the engine starts one of them again; by default that of `rules`,
                15.
            everywhere: Chunks can be read from everywhere: if no node is up that holds one, its
                task runs at any.
            copies: Run a copy of a task elsewhere when it is far slower than its like; the first
                result wins. False for tasks that must not run twice at once, as those that write.
                By default as `rules` have it, True.
            rules: Further rules; those of the arguments above that are given hold in their place.
            settings: Further settings.
            seed: Seed of the policy's ties; None: another in each run.
            options: For an engine given by name, as `nodes`, `loader` and `racks` of
                `ProcessEngine`.

        Raises:
            UsageError: Arguments that make no sense.
            PolicyError: There is no such policy.
            JournalError: The journal cannot be used.
            EngineError: The engine cannot be started.
        """
        rules = rules_of(rules, retries, holder_grace, copies)
        settings = settings or Settings()
        if version is not None and not callable(version):
            raise UsageError(f"version {in_one_line(version)}: give a function of a chunk's name")
        parsed = scheduling_policy(policy)
        rng = stream(secrets.randbits(32) if seed is None else seed)
        self._engine = engine_of(engine, everywhere, options)
        self._journal = None if journal is None else Journal(journal, resume)
        loader, directories = self._engine.loader, self._engine.directories.values()
        version = version or Files(*(directories or [Path()]))
        self._callbacks = Callbacks()
        self._factory = TaskFactory(locations, self._journal, limit, self._future, loader, version)
        self._grace = settings.grace
        self._jobs = itertools.count(1)  # 0 is that of tasks without one
        self._closed = False
        self._forked = False  # it is a copy, in a child of the process that has the scheduler
        self._nodes = Nodes()
        self.records = Records(settings.remember)

        def begin(emit: Emit) -> Coordinator:
            racks = [self._nodes.came_up(node)[1] for node in self._engine.start(emit)]
            known = settings.rates or prior(len(set(racks)))
            core = Core(racks, known, parsed, rng, rules, fetches=self._engine.fetches)
            # Nodes are up and kernels compiled: no task may wait for either.
            self._began = time.monotonic()
            self._ledger = TaskLedger(
                self._nodes, self.records, self._journal, self._began, time.time()
            )
            return Coordinator(core, self._engine, self._nodes, self._ledger, everywhere=everywhere)

        try:
            self._loop = EventLoop(begin, self._engine, refuse)
        except BaseException:
            self._close_journal(quietly=True)
            raise
        # The event loop's thread does not keep the interpreter alive; workers are to end with it.
        atexit.register(self._end_at_once)
        owned(self)

    # Tasks

    def submit(
        self,
        function: Callable[..., T],
        chunk: str | None = None,
        /,
        *arguments: Any,
        key: str | None = None,
        limit: float | None = None,
        **named: Any,
    ) -> TaskFuture[T]:
        return self._submit(Submission(function, chunk, arguments, named, key, limit), 0, "")

    @checked(weight=POSITIVE)
    def job(self, name: str, weight: float = 1.0) -> Job:
        """Make a job of one user; jobs share the nodes by weight, tasks without one as 1.

        Raises:
            UsageError: The weight is not a finite number above 0.
        """
        self._require_own()
        number = next(self._jobs)
        self._loop.call(lambda: self._loop.coordinator.core.set_weight(number, weight))
        return Job(
            name,
            weight,
            lambda submission: self._submit(submission, number, name),
            lambda: self.window,
        )

    @property
    def window(self) -> int:
        return max(_LEAST_WINDOW, _WINDOW * len(self._nodes.up))

    # Observable state

    def statistics(self) -> RunStatistics:
        """Statistics of the run now."""
        self._require_own()
        now = time.monotonic()
        return self._loop.call(
            lambda: run_statistics(
                self._loop.coordinator.elapsed(now),
                self._loop.coordinator,
                self._ledger,
                self._nodes,
            )
        )

    def explain(self) -> "Explanation":
        """Explain who helped whom as measured, what limits the run, and what to replicate."""
        from isocline.dispatch.explain import explain  # noqa: PLC0415 - theory, when needed

        self._require_own()
        now, nodes = time.monotonic(), self._nodes.known
        return self._loop.call(
            lambda: explain(
                self._ledger.demand, list(nodes.values()), self._loop.coordinator.elapsed(now)
            )
        )

    # The end

    def close(self, grace: float | None = None) -> None:
        """End when all tasks have ended, or as after an exception, within `grace` s.

        May be repeated. Tasks that come later are refused. It returns when all callbacks have been
        called, or with `grace` after that time. In a child that this process has forked it does
        nothing.

        Raises:
            JournalError: Some of the journal cannot be written.
            UsageError: Called while a result is unpickled, which it would wait for.
        """
        if self._forked:
            return
        self._closed = True
        atexit.unregister(self._end_at_once)
        try:
            if grace is None:
                self._wait_for_all()
            else:
                self._stop(grace)
        except BaseException:
            self._close_journal(quietly=True)
            raise
        self._callbacks.close(grace)
        self._close_journal()
        if self._loop.failure is not None:
            raise self._loop.failure

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
            return
        try:
            self.close(self._grace)
        except Exception as second:  # the first one goes on
            LOG.warning("scheduler: %s", second, exc_info=not isinstance(second, IsoclineError))

    # Steps

    def _submit(self, submission: Submission, job: int, job_name: str) -> TaskFuture[Any]:
        self._require_own()
        task = self._factory.task(submission, job, job_name)
        if self._closed or self._loop.over:
            failure = self._loop.failure
            why = f", as it failed: {failure}" if failure else ""
            raise EngineClosedError(task.key, f"the scheduler is closed{why}; make another")
        self._loop.put(task)
        return task.future

    def _future(self, key: str, number: int) -> TaskFuture[Any]:
        return TaskFuture(key, number, self._cancel, self._callbacks, self._require_end)

    def _cancel(self, number: int) -> None:
        self._loop.put(Cancelled(number))

    def _wait_for_all(self) -> None:
        self._loop.put(Stop(None))
        try:
            self._loop.wait()
        except KeyboardInterrupt:
            self._stop(self._grace)
            raise

    def _stop(self, grace: float) -> None:
        self._loop.put(Stop(grace))
        try:
            self._loop.wait()
        except KeyboardInterrupt:
            self._loop.put(Stop(0.0))
            self._loop.wait()
            raise

    def _end_at_once(self) -> None:
        self.close(0.0)

    def disown(self) -> None:
        """Let go of everything in a forked child, see `forks.Forkable`."""
        self._forked = True

    def _require_own(self) -> None:
        if self._forked:
            raise UsageError(
                "scheduler: this process is a fork of the one that has the scheduler, and without "
                "its threads; make a scheduler here, or use that one there"
            )

    def _require_end(self, key: str) -> None:
        self._require_own()
        self._loop.require_other_thread(f"the future of task {key!r}")

    def _close_journal(self, *, quietly: bool = False) -> None:
        if self._journal is None:
            return
        try:
            self._journal.close()
        except JournalError as error:
            if not quietly:
                raise
            LOG.warning("%s", error)
