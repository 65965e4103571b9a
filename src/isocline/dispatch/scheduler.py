"""Scheduler: runs functions near their data, by the same policies as in simulation.

    with Scheduler(locations={"part-0": ["node-0", "node-2"], ...}, loader=read) as scheduler:
        for count in scheduler.map(words, chunks):
            ...

One thread decides (`coordinator`, `core`), an engine runs tasks (`engines`), and with an optional
journal an interrupted run can be resumed.
"""

import atexit
import itertools
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, final

from isocline.arguments import NOT_NEGATIVE, POSITIVE, at_least, checked, in_one_line
from isocline.dispatch.coordinator.coordinator import Coordinator, equip
from isocline.dispatch.coordinator.event_loop import Cancelled, EventLoop, InputEnded, Stop
from isocline.dispatch.coordinator.nodes import Nodes
from isocline.dispatch.coordinator.run_statistics import RunStatistics, run_statistics
from isocline.dispatch.coordinator.task_ledger import TaskLedger, refuse
from isocline.dispatch.core.core import Core
from isocline.dispatch.engines.base import Emit, Engine
from isocline.dispatch.errors import EngineClosedError, JournalError
from isocline.dispatch.executor import Executor
from isocline.dispatch.forks import owned
from isocline.dispatch.futures import Callbacks, TaskFuture
from isocline.dispatch.inputs import Broadcast
from isocline.dispatch.job import Job
from isocline.dispatch.journal.journal import Journal
from isocline.dispatch.live_page.frames import FrameMaker
from isocline.dispatch.live_page.observer import RunObserver
from isocline.dispatch.log import LOG
from isocline.dispatch.rules import Rules
from isocline.dispatch.setup import Settings, engine_of, prior, rules_of
from isocline.dispatch.submission.chunk_locations import Locations
from isocline.dispatch.submission.submitter import Submitter
from isocline.dispatch.submission.task import Task
from isocline.dispatch.submission.task_factory import Submission, TaskFactory
from isocline.dispatch.submission.versions import Files, Version
from isocline.dispatch.telemetry.records import Records
from isocline.errors import IsoclineError, UsageError
from isocline.extras import extras_named
from isocline.policies.parse import scheduling_policy
from isocline.policies.scheduling.contract import SchedulingPolicy
from isocline.randomness.draws import stream

if TYPE_CHECKING:
    from isocline.dispatch.explain import Explanation
    from isocline.dispatch.live_page.page import RunPage
    from isocline.dispatch.sharing.listener import DriverListener

T = TypeVar("T")

# Waiting tasks per node, so that a node nearly always finds one whose data it holds: of 16 M chunks
# placed at random on M nodes, one replica each, a given node holds none with probability e^-16.
_WINDOW, _LEAST_WINDOW = 16, 64

DEFAULT_POLICY = "late_binding"


@final
class Scheduler(Submitter):
    """Scheduler of one engine; accepts tasks from any thread.

    As a context manager, it waits for all tasks at the end of the block. An exception that leaves
    the block, including Ctrl-C, stops it: no more tasks are started, running ones have
    `Settings.grace` s to end and are then cancelled, the journal is written, and the exception is
    raised. A second Ctrl-C cancels at once.

    Attributes:
        records: The last attempts, each with task, node, times, locality level and reason.
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
            engine: "processes" for worker processes of this machine, "ray", "dask", or an engine of
                `isocline.dispatch.engines`.
            policy: Any scheduling policy: `name`, `name:key=value,...`, a policy of your own as
                `package.module:Class`, or an instance.
            locations: Nodes that hold each chunk: a mapping, or a function of the chunk. The engine
                is asked about chunks that are missing there, and by default about all.
            retries: Retries of a task that raised an exception or exceeded its limit; None: as in
                `rules` (0). A task whose worker died is always run again, until it has killed
                `Rules.most_killed` workers.
            limit: Longest time that a task may run, s; None: any time.
            journal: File that records the run, so that it can be resumed.
            resume: Continue an existing journal: finished tasks are not run again.
            version: Function from a chunk's name to the version of its data, such as an ETag. In a
                resumed run, tasks whose data has changed are run again. By default, the version is
                size and modification time for chunks that are files, either in the nodes'
                directories or at their paths on this machine.
            holder_grace: Time that a task waits for a holder of its chunk when none is up, s;
                longer while the engine restarts one. None: as in `rules` (15).
            everywhere: Whether chunks can be read from every node: a task whose chunk has no holder
                that is up then runs at any node.
            copies: Whether a task that is far slower than others of its function is also run
                elsewhere, where the first result counts. False for tasks that must not run twice
                at once, such as those that write. None: as in `rules` (True).
            rules: Further rules; the arguments above, where given, take precedence.
            settings: Further settings.
            seed: Seed for the policy's ties; None: a different one in each run.
            options: Options of an engine given by name, such as `nodes`, `loader` and `racks` of
                `ProcessEngine`.

        Raises:
            UsageError: Arguments are invalid or contradict each other.
            PolicyError: The policy is unknown.
            JournalError: The journal cannot be used.
            EngineError: The engine cannot be started.
        """
        if resume and journal is None:
            raise UsageError(
                "scheduler: resume needs a journal; give journal=PATH of the interrupted run, or "
                "leave resume out"
            )
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
        self._factory = TaskFactory(
            locations, self._journal, limit, self._future, loader, version, self._release
        )
        self._grace = settings.grace
        self._jobs = itertools.count(1)  # 0 stands for tasks without a job
        self._closed = False
        self._page: RunPage | None = None
        self._drivers: DriverListener | None = None
        self._policy = parsed.name
        self._forked = False  # whether this is a copy in a forked child
        self._nodes = Nodes()
        self.records = Records(settings.remember)

        def begin(emit: Emit) -> Coordinator:
            nodes = self._engine.start(emit)
            racks = [self._nodes.came_up(node)[1] for node in nodes]
            joins = not self._engine.fixed and any(node.rack for node in nodes)  # another rack may
            known = settings.rates or prior(len(set(racks)) + joins)
            core = Core(racks, known, parsed, rng, rules, fetches=self._engine.fetches)
            for node in nodes:
                equip(core, self._nodes, node)
            # By now nodes are up and kernels compiled: no task has to wait for either.
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
        # The event loop's thread does not keep the interpreter alive; workers must end with it.
        atexit.register(self._end_at_once)
        owned(self)

    # Tasks

    def _put(self, submission: Submission) -> TaskFuture[Any]:
        return self._submit(submission, 0, "")

    @checked(weight=POSITIVE)
    def job(self, name: str, weight: float = 1.0) -> Job:
        """Make a job; jobs share the nodes by weight, and all tasks without one have weight 1.

        Raises:
            UsageError: The weight is not a finite number above 0.
        """
        self._require_own()
        number = self._open_job(weight)
        return Job(
            name,
            weight,
            lambda submission: self._submit(submission, number, name),
            lambda: self.window,
            self._cancel_waiting,
            self.broadcast,
        )

    def share(self, address: str = "127.0.0.1:0", *, key: str | bytes) -> str:
        """Let other processes submit tasks, until the scheduler is closed; returns HOST:PORT.

        Each driver that calls `isocline.dispatch.connect` gets a job, with a fair share of the
        nodes by its weight; if it goes or dies, its tasks are cancelled. Who has the key may run
        code here and at the nodes, and nothing is encrypted: keep it secret, and the network, too.

        Args:
            address: HOST:PORT; port 0 for any free one.
            key: Secret that drivers must give, 16 random bytes or more.

        Raises:
            UsageError: The address is invalid or not available, the scheduler is already shared, or
                it has a journal, which drivers have for themselves.
        """
        from isocline.dispatch.sharing.listener import (  # noqa: PLC0415 - rarely needed
            DriverListener,
            Host,
        )
        from isocline.dispatch.sharing.protocol import address_of, secret_of  # noqa: PLC0415

        self._require_own()
        if self._drivers is not None:
            raise UsageError(f"share: already shared, at {self._drivers.address}")
        if self._journal is not None:
            raise UsageError("share: not possible with a journal; leave the journal out")
        host = Host(
            lambda _name, weight: self._open_job(weight),
            lambda packed, job: self._begin(self._factory.packed_task(packed, job)),
            self._cancel_waiting,
            lambda: self.window,
            self._factory.inputs,
        )
        try:
            self._drivers = DriverListener(address_of(address), secret_of(key), host)
        except OSError as error:
            raise UsageError(
                f"address {address}: not available ({error.strerror or error}); give another"
            ) from error
        return self._drivers.address

    def broadcast(self, value: T) -> Broadcast[T]:
        """Make a handle to a large object that many tasks get as an argument.

        It is pickled here once, and sent to a node once, with the first task that gets it. All
        tasks of a process get one and the same object, which they must not change. Nodes drop it
        when no handle and no task is left.

        Raises:
            UsageError: It cannot be pickled.
        """
        self._require_own()
        return self._factory.broadcast(value)

    def executor(self) -> Executor:
        """Make an executor as of `concurrent.futures`, whose calls run at any node."""
        self._require_own()
        return Executor(self._put, self._cancel_waiting, self.broadcast, lambda: self.window)

    @property
    def window(self) -> int:
        return max(_LEAST_WINDOW, _WINDOW * len(self._nodes.up))

    # Observable state

    def statistics(self) -> RunStatistics:
        """Present statistics of the run."""
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
        """Explain who helped whom, what limits the run, and which data to replicate."""
        from isocline.dispatch.explain import explain  # noqa: PLC0415 - theory, when needed

        self._require_own()
        now, nodes = time.monotonic(), self._nodes.known
        return self._loop.call(
            lambda: explain(
                self._ledger.demand, list(nodes.values()), self._loop.coordinator.elapsed(now)
            )
        )

    def open_page(
        self, address: str = "127.0.0.1:0", *, name: str = "", total: int | None = None
    ) -> str:
        """Serve the live page of the run until the scheduler is closed; returns its URL.

        Args:
            address: HOST:PORT, or a port of 127.0.0.1; 0 for any free port. Everybody who can reach
                it sees names of nodes and tasks, and errors.
            name: Name of the run.
            total: Total number of tasks, if known.

        Raises:
            UsageError: The address is invalid or not available, or the page is already open.
            MissingExtraError: aiohttp is not installed.
        """
        self._require_own()
        with extras_named(lambda: "the live page of a run"):
            from isocline.dispatch.live_page.page import RunPage, address_of  # noqa: PLC0415
        if self._page is not None:
            raise UsageError(f"page: already open, at {self._page.url}")
        observer = RunObserver(self._loop.coordinator, self._ledger, self._nodes, self._began)
        maker = FrameMaker(name, self._policy, total)
        self._page = RunPage(address_of(address), self._loop, observer, maker)
        return self._page.url

    @property
    def failure(self) -> Exception | None:
        """Error that ended the scheduler prematurely, if any."""
        return self._loop.failure

    # The end

    def close(self, grace: float | None = None) -> None:
        """Wait for all tasks, or for `grace` s and then stop as after an exception, and close.

        May be called repeatedly. Later submissions are refused. Returns when all callbacks have
        been called or, with `grace`, after that time; the live page has then shown its last frame,
        and is closed. Does nothing in a forked child.

        Raises:
            JournalError: Part of the journal cannot be written.
            UsageError: Called from code that unpickles a result, which would deadlock.
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
        finally:
            if self._drivers is not None:
                self._drivers.close()
            if self._page is not None:
                self._page.close()
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
        except Exception as second:  # the first exception is raised on
            if second is error or isinstance(error, EngineClosedError):  # caused by the first
                return
            LOG.warning("scheduler: %s", second, exc_info=not isinstance(second, IsoclineError))

    # Steps

    def _open_job(self, weight: float) -> int:
        """Number of a new job; raises UsageError unless the weight is a number above 0."""
        number = next(self._jobs)
        self._loop.call(lambda: self._loop.coordinator.core.set_weight(number, weight))
        return number

    def _submit(self, submission: Submission, job: int, job_name: str) -> TaskFuture[Any]:
        self._require_own()
        return self._begin(self._factory.task(submission, job, job_name))

    def _begin(self, task: Task) -> TaskFuture[Any]:
        if self._closed or self._loop.over:
            failure = self._loop.failure
            why = f", as it failed: {failure}" if failure else ""
            raise EngineClosedError(task.key, f"the scheduler is closed{why}; create a new one")
        self._loop.put(task)
        for future in task.awaited:
            future.when_done(lambda ended: self._loop.put(InputEnded(task.number, ended)))
        return task.future

    def _release(self, number: int) -> None:
        self._loop.released(number)

    def _future(self, key: str, number: int) -> TaskFuture[Any]:
        return TaskFuture(key, number, self._cancel, self._callbacks, self._require_end)

    def _cancel(self, number: int) -> None:
        self._loop.put(Cancelled(number))

    def _cancel_waiting(self, futures: Sequence[TaskFuture[Any]]) -> None:
        """Cancel those of these tasks that have never started."""
        now = time.monotonic()

        def cancel() -> None:
            for future in futures:
                if future.node is None:
                    self._loop.coordinator.cancelled(future.number, now)

        self._loop.call(cancel)

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
        """Give up everything in a forked child, see `forks.Forkable`."""
        self._forked = True

    def _require_own(self) -> None:
        if self._forked:
            raise UsageError(
                "scheduler: this process was forked from the one with the scheduler, and lacks its "
                "threads; create a scheduler here, or use the other one there"
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
