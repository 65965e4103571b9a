"""Replications over all cores, in an order that does not depend on the number of threads."""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event
from typing import Generic, Protocol, Self, TypeVar, final

from isocline.cores import usable_cores

# Tasks per thread that wait their turn: enough that no thread is idle, few enough that a run of
# 10^5 replications is not held in memory before it starts.
IN_FLIGHT = 4

# Called after each replication: how many are done, and how many there will be.
Progress = Callable[[int, int], None]


class Numbered(Protocol):
    """Record of a replication."""

    def numbered(self, replication: int) -> Self:
        """Another replication of the same."""
        ...


U = TypeVar("U", bound=Numbered)
R = TypeVar("R")


def any_number(replications: int) -> None:
    """Accept any number of replications: the default without a limit."""


def silent(done: int, total: int) -> None:
    """Ignore progress: the default for callers that do not watch."""


@final
@dataclass
class OrderedExecutor(Generic[U, R]):
    """Executor of replications of several policies, kept in order: `kept[p][r]`.

    Kernels run without the interpreter's lock, so threads suffice; a replication depends on nothing
    but its record, so the results are the same for any number of threads.
    """

    runs: Sequence[U]  # one for each policy
    replicate: Callable[[U, Event], R | None]  # None: it was stopped
    threads: int | None = None
    progress: Progress = silent
    allow: Callable[[int], None] = any_number
    """Called with the replications wanted of each policy before they run; raises to refuse."""
    kept: list[list[R]] = field(init=False)
    interrupted: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.kept = [[] for _ in self.runs]

    @property
    def count(self) -> int:
        """Number of replications done for every policy."""
        return min((len(row) for row in self.kept), default=0)

    def extend(self, total: int) -> None:
        """Run more replications, until there are `total` for each policy.

        On Ctrl-C what is complete for all policies is kept and `interrupted` is set.

        Raises:
            PolicyError: A policy made a choice that it does not have.
            UsageError: `allow` refuses so many.
        """
        self.allow(total)
        stop = Event()
        threads = self.threads or usable_cores()
        with ThreadPoolExecutor(threads) as pool:
            try:
                self._run_in_order(pool, IN_FLIGHT * threads, total, stop)
            except KeyboardInterrupt:
                self.interrupted = True
            finally:
                stop.set()
                pool.shutdown(wait=True, cancel_futures=True)
        complete = self.count
        for row in self.kept:
            del row[complete:]

    def _run_in_order(self, pool: Executor, most: int, total: int, stop: Event) -> None:
        """Keep `most` tasks in flight and take their results in the order of the tasks."""
        flying: deque[tuple[int, Future[R | None]]] = deque()
        everything = total * len(self.runs)
        self.progress(sum(map(len, self.kept)), everything)
        for replication in range(self.count, total):
            for policy, run in enumerate(self.runs):
                task = pool.submit(self.replicate, run.numbered(replication), stop)
                flying.append((policy, task))
                if len(flying) == most:
                    self._take(*flying.popleft(), everything)
        while flying:
            self._take(*flying.popleft(), everything)

    def _take(self, policy: int, future: Future[R | None], everything: int) -> None:
        result = future.result()
        if result is not None:
            self.kept[policy].append(result)
        self.progress(sum(map(len, self.kept)), everything)
