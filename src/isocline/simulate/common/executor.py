"""Replications over all cores, or on an executor, in an order that depends on neither.

with Scheduler("dask") as scheduler, replications_on(scheduler.executor()):
    isocline.simulate(system, precision=0.001)
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from threading import Event
from typing import Any, Generic, Protocol, Self, TypeVar, final, runtime_checkable

from isocline.cores import usable_cores

# Tasks per thread that wait their turn: enough that no thread is idle, few enough that a run of
# 10^5 replications is not held in memory before it starts.
IN_FLIGHT = 4
# Tasks in flight on an executor that does not say how many it can use.
WINDOW = 256

_EXECUTOR: ContextVar[Executor | None] = ContextVar("executor", default=None)

# Called after each replication: how many are done, and how many there will be.
Progress = Callable[[int, int], None]


class Numbered(Protocol):
    """Record of a replication."""

    def numbered(self, replication: int) -> Self:
        """Another replication of the same."""
        ...


U = TypeVar("U", bound=Numbered)
R = TypeVar("R")


@runtime_checkable
class SharingExecutor(Protocol):
    """Executor that sends an object to each of its processes once, as `Scheduler.executor` makes.

    Attributes:
        window: Calls to have in flight.
    """

    @property
    def window(self) -> int: ...

    def share(self, value: Any) -> Any:
        """Make a handle, which stands for the object among the arguments of calls."""
        ...


@contextmanager
def replications_on(executor: Executor) -> Iterator[None]:
    """Have an executor run the replications of all simulations within the block.

    Results are those of this machine, to the last bit on processors of one kind. Each policy's
    system goes to each process of `Scheduler.executor` once, and with the calls to those of other
    executors, of which `ThreadPoolExecutor` has no use. On Ctrl-C, calls are cancelled.
    """
    token = _EXECUTOR.set(executor)
    try:
        yield
    finally:
        _EXECUTOR.reset(token)


def executor_in_force() -> Executor | None:
    """Executor of the innermost `replications_on`; None: replications run on threads here."""
    return _EXECUTOR.get()


def any_number(replications: int) -> None:
    """Accept any number of replications: the default without a limit."""


def silent(done: int, total: int) -> None:
    """Ignore progress: the default for callers that do not watch."""


@final
@dataclass(frozen=True)
class Simulator(Generic[U, R]):
    """Functions of a simulator, which processes of an executor import by name."""

    replicate: Callable[[U, Event], R | None]  # None: it was stopped
    rehearse: Callable[[U], None]  # compiles everything that `replicate` calls


@final
class RemoteRun(Generic[U, R]):
    """Replications of one policy in a process of an executor."""

    def __init__(self, simulator: Simulator[U, R], run: U) -> None:
        self._simulator = simulator
        self._run = run
        self._rehearsed = False

    def replicate(self, replication: int) -> R | None:
        """Run one replication; the first of a process compiles what all call."""
        if not self._rehearsed:
            self._simulator.rehearse(self._run)
            self._rehearsed = True
        return self._simulator.replicate(self._run.numbered(replication), Event())


def remote_replication(run: RemoteRun[Any, R], replication: int) -> R | None:
    """Run one replication: a call of an executor."""
    return run.replicate(replication)


class _Pool(ABC, Generic[R]):
    """Place where replications run.

    Attributes:
        window: Replications to have in flight.
    """

    window: int

    @abstractmethod
    def submit(self, policy: int, replication: int) -> "Future[R | None]":
        """Start a replication of a policy."""

    @abstractmethod
    def close(self) -> None:
        """Cancel what is in flight."""


@final
class _Threads(_Pool[R], Generic[U, R]):
    """Threads of this process. Kernels run without the interpreter's lock, so threads suffice."""

    def __init__(self, runs: Sequence[U], simulator: Simulator[U, R], threads: int) -> None:
        self.window = IN_FLIGHT * threads
        self._runs, self._simulator = runs, simulator
        self._stop = Event()
        self._pool = ThreadPoolExecutor(threads)

    def submit(self, policy: int, replication: int) -> "Future[R | None]":
        run = self._runs[policy].numbered(replication)
        return self._pool.submit(self._simulator.replicate, run, self._stop)

    def close(self) -> None:
        self._stop.set()
        self._pool.shutdown(wait=True, cancel_futures=True)


@final
class _Remote(_Pool[R], Generic[U, R]):
    """Processes of an executor, of which this one is not the owner."""

    def __init__(self, runs: Sequence[U], simulator: Simulator[U, R], executor: Executor) -> None:
        self._executor = executor
        each = [RemoteRun(simulator, run) for run in runs]
        self._runs: Sequence[Any] = each
        self.window = WINDOW
        if isinstance(executor, SharingExecutor):
            self._runs = [executor.share(run) for run in each]
            self.window = executor.window
        self._flying: set[Future[R | None]] = set()

    def submit(self, policy: int, replication: int) -> "Future[R | None]":
        future = self._executor.submit(remote_replication, self._runs[policy], replication)
        self._flying.add(future)
        future.add_done_callback(self._flying.discard)
        return future

    def close(self) -> None:
        for future in tuple(self._flying):
            future.cancel()


@final
@dataclass
class OrderedExecutor(Generic[U, R]):
    """Executor of replications of several policies, kept in order: `kept[p][r]`.

    A replication depends on nothing but its record, so the results are the same for any number of
    threads, and on the executor of `replications_on`.
    """

    runs: Sequence[U]  # one for each policy
    simulator: Simulator[U, R]
    threads: int | None = None
    progress: Progress = silent
    allow: Callable[[int], None] = any_number
    """Called with the replications wanted of each policy before they run; raises to refuse."""
    kept: list[list[R]] = field(init=False)
    interrupted: bool = field(default=False, init=False)
    _remote: _Pool[R] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.kept = [[] for _ in self.runs]

    @property
    def count(self) -> int:
        """Number of replications done for every policy."""
        return min((len(row) for row in self.kept), default=0)

    def rehearse(self) -> None:
        """Compile everything that replications call, if they run here."""
        if _EXECUTOR.get() is None:
            for run in self.runs:
                self.simulator.rehearse(run)

    def extend(self, total: int) -> None:
        """Run more replications, until there are `total` for each policy.

        On Ctrl-C what is complete for all policies is kept and `interrupted` is set.

        Raises:
            PolicyError: A policy made a choice that it does not have.
            UsageError: `allow` refuses so many.
        """
        self.allow(total)
        pool = self._pool()
        try:
            self._run_in_order(pool, total)
        except (KeyboardInterrupt, CancelledError):
            self.interrupted = True
        finally:
            pool.close()
        complete = self.count
        for row in self.kept:
            del row[complete:]

    def _pool(self) -> _Pool[R]:
        executor = _EXECUTOR.get()
        if executor is None:
            return _Threads(self.runs, self.simulator, self.threads or usable_cores())
        if self._remote is None:  # later replications find the systems where they are
            self._remote = _Remote(self.runs, self.simulator, executor)
        return self._remote

    def _run_in_order(self, pool: _Pool[R], total: int) -> None:
        """Keep tasks in flight and take their results in the order of the tasks."""
        flying: deque[tuple[int, Future[R | None]]] = deque()
        everything = total * len(self.runs)
        self.progress(sum(map(len, self.kept)), everything)
        for replication in range(self.count, total):
            for policy in range(len(self.runs)):
                flying.append((policy, pool.submit(policy, replication)))
                if len(flying) == pool.window:
                    self._take(*flying.popleft(), everything)
        while flying:
            self._take(*flying.popleft(), everything)

    def _take(self, policy: int, future: Future[R | None], everything: int) -> None:
        result = future.result()
        if result is not None:
            self.kept[policy].append(result)
        self.progress(sum(map(len, self.kept)), everything)
