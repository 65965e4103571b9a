"""Many replications over all cores, in an order that does not depend on the number of threads."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from threading import Event
from typing import final

from isocline.model.traffic import Trace
from isocline.policies.contract import RoutingPolicy
from isocline.simulate.prepare import Prepared
from isocline.simulate.replicate import Replication, replicate
from isocline.simulate.run import Run

# Told after each replication: how many are done, and how many there will be.
Progress = Callable[[int, int], None]


def _silent(done: int, total: int) -> None:
    """For callers who do not watch."""


@final
@dataclass
class Replications:
    """Runs and keeps the replications of several policies: `kept[p][r]`.

    Kernels run without the interpreter's lock, so threads suffice; each replication depends on
    nothing but its number, so the results are the same for any number of threads.
    """

    prepared: Prepared
    policies: Sequence[RoutingPolicy]
    run: Run
    trace: Trace | None = None
    threads: int | None = None
    progress: Progress = _silent
    kept: list[list[Replication]] = field(init=False)
    interrupted: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.kept = [[] for _ in self.policies]

    @property
    def count(self) -> int:
        """Replications done for every policy."""
        return min((len(row) for row in self.kept), default=0)

    def extend(self, total: int) -> None:
        """Run more, until there are `total` for each policy.

        On Ctrl-C what is complete for all policies is kept and `interrupted` is set.

        Raises:
            PolicyError: A policy returned an edge that is not its frontend's.
        """
        tasks = [(p, r) for r in range(self.count, total) for p in range(len(self.policies))]
        stop = Event()
        with ThreadPoolExecutor(self.threads or os.cpu_count()) as pool:
            futures = [pool.submit(self._one, p, r, stop) for p, r in tasks]
            try:
                self._watch(futures, total * len(self.policies))
            except KeyboardInterrupt:
                self.interrupted = True
            finally:
                stop.set()
                pool.shutdown(wait=True, cancel_futures=True)
        self._keep(tasks, futures)

    def _one(self, policy: int, replication: int, stop: Event) -> Replication | None:
        chosen = self.policies[policy]
        return replicate(self.prepared, chosen, self.run, replication, self.trace, stop)

    def _watch(self, futures: Sequence[Future[Replication | None]], total: int) -> None:
        before = self.count * len(self.policies)
        self.progress(before, total)
        pending = set(futures)
        while pending:
            # A time limit, so that Ctrl-C is noticed while all threads compute.
            done, pending = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()
            self.progress(before + len(futures) - len(pending), total)

    def _keep(
        self, tasks: Sequence[tuple[int, int]], futures: Sequence[Future[Replication | None]]
    ) -> None:
        for (p, _), future in zip(tasks, futures, strict=True):
            result = None if future.cancelled() else future.result()
            if result is None:
                break  # tasks are in order: what follows would leave a gap
            self.kept[p].append(result)
        complete = self.count
        for row in self.kept:
            del row[complete:]
