"""One replication of one policy on a cluster: a run cut into blocks, with figures of each."""

import time
from contextlib import suppress
from dataclasses import dataclass
from threading import Event
from typing import final

import numpy as np
import numpy.typing as npt

from isocline.errors import PolicyError
from isocline.policies.scheduling.contract import SchedulingPolicy
from isocline.policies.scheduling.state.columns import IDLE, SERVING
from isocline.simulate.common.batches import BATCH
from isocline.simulate.common.block_loop import block_loop
from isocline.simulate.common.growth_limit import ExplodedError
from isocline.simulate.common.kernels.latency_histogram import emptied
from isocline.simulate.scheduling.engine import ClusterEngine
from isocline.simulate.scheduling.engines import TimelineEngine, engine_for
from isocline.simulate.scheduling.kernels import state
from isocline.simulate.scheduling.prepare import PreparedCluster
from isocline.simulate.scheduling.run_settings import ClusterRun

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]


@final
@dataclass(frozen=True, eq=False)
class ClusterReplication:
    """n blocks, as `ClusterRun.ends` cuts the horizon; M servers. Times in s, or in slots.

    On the slotted clock a task that arrives at the beginning of a slot and completes at its end
    took 1 slot, and `tasks` counts those in the system during a slot, arrivals of that slot
    included: Little's law holds. Q(t) of the paper, before the arrivals, is `tasks` less
    `arrivals` per slot.
    """

    tasks: FloatArray  # (n,) mean tasks in the system in the block, in service included
    waiting: FloatArray  # (n,) mean tasks waiting
    arrivals: IndexArray  # (n,)
    completions: IndexArray  # (n,)
    timed: IndexArray  # (n,) completions whose completion time was recorded; 0 without percentiles
    sojourn: FloatArray  # (n,) sum of those completion times
    latencies: tuple[tuple[int, npt.NDArray[np.int32]], ...]  # per batch: first bucket, counts
    started: IndexArray  # (n, 3) tasks started at the local, rack and remote level
    samples: IndexArray  # (n,) how often the queues were looked at, once per mean service or slot
    perpendicular: FloatArray  # (n, 2, 2) sums over samples of |Q_perp| and |Q_perp|^2,
    # first over all servers, then over `PreparedCluster.beneficiaries` (Theorems 7 and 4)
    busy: npt.NDArray[np.float32]  # (n / BATCH + 1, M) time for which each server was busy in each
    # batch of blocks, and after the horizon
    queues: FloatArray  # (4, M) in each quarter, mean queue length at the samples (counting rule)
    jobs: FloatArray  # (J,) latencies of the jobs of a block trace, nan if unfinished; else (0,)
    after: float  # from the horizon to the last end of a task, of a run that is drained
    after_tasks: float  # time that tasks spend in the system after the horizon, and
    after_waiting: float  # how much of it they wait
    work: float  # mean time of all tasks at rate 1, where it is drawn in advance; else 1
    events: int  # arrivals, completions and the clock's ticks that were neither
    seconds: float
    exploded: bool  # more tasks than the machine can keep: unstable


def run_cluster(
    prepared: PreparedCluster,
    policy: SchedulingPolicy,
    run: ClusterRun,
    replication: int,
    stop: Event | None = None,
) -> ClusterReplication | None:
    """Simulate replication number `replication`; depends on nothing but its arguments.

    Returns None if `stop` was set meanwhile.

    Raises:
        PolicyError: The policy chose a queue or a server that does not exist.
    """
    began = time.perf_counter()
    engine = engine_for(prepared, policy, run, replication)
    record = _Recorder(engine, run)
    exploded = block_loop(record, run.ends.size, run.length.drain, stop)
    if exploded is None:
        return None
    return record.finish(time.perf_counter() - began, exploded)


def rehearse(prepared: PreparedCluster, policy: SchedulingPolicy, run: ClusterRun) -> None:
    """Compile everything that `run_cluster` calls, so that it measures no compilation."""
    with suppress(ExplodedError):
        engine_for(prepared, policy, run, 0).rehearse()


class _Recorder:
    """Reader of an engine's counters at the end of each block, which it sets back."""

    def __init__(self, engine: ClusterEngine, run: ClusterRun):
        self.engine, self.run, ends = engine, run, run.ends
        self.after = self.after_tasks = self.after_waiting = 0.0
        self.lengths = np.maximum(np.diff(np.r_[0.0, ends]), 1e-300)
        n, servers = ends.size, engine.prepared.cluster.size
        self.tasks, self.waiting, self.sojourn = (np.zeros(n) for _ in range(3))
        self.arrivals, self.completions, self.timed, self.samples = (
            np.zeros(n, np.int64) for _ in range(4)
        )
        self.started = np.zeros((n, 3), np.int64)
        self.perpendicular = np.zeros((n, 2, 2))
        self.latencies: list[tuple[int, npt.NDArray[np.int32]]] = []
        self.looks = np.zeros(4, np.int64)
        self.busy = np.zeros((n // BATCH + 1, servers), np.float32)
        self.queues = np.zeros((4, servers))

    def step(self, i: int) -> None:
        """Run to the end of block `i`."""
        self.engine.advance(float(self.run.ends[i]))
        gauge = self.engine.gauge
        self.tasks[i] = gauge[state.TASK_SECONDS] / self.lengths[i]
        self.waiting[i] = gauge[state.WAITING_SECONDS] / self.lengths[i]
        self._counts(i)
        self._looks(i)
        if (i + 1) % BATCH == 0:
            self._busy(i // BATCH)
            self._close_batch()

    def _busy(self, batch: int) -> None:
        """Time for which each server was busy; of a running task, the part until now."""
        sums, now = self.engine.samples.busy, self.engine.gauge[state.CLOCK]
        running = self.engine.view.desk[: sums.size, SERVING] != IDLE
        self.busy[batch] = sums + now * running
        sums[:] = -now * running

    def _counts(self, i: int) -> None:
        count, gauge = self.engine.count, self.engine.gauge
        self.arrivals[i] += count[state.ARRIVALS]
        self.completions[i] += count[state.COMPLETIONS]
        self.timed[i] += count[state.TIMED]
        self.started[i] += count[state.STARTED : state.STARTED + 3]
        self.sojourn[i] += gauge[state.SOJOURN]
        count[state.ARRIVALS : state.STARTED + 3] = 0
        gauge[[state.TASK_SECONDS, state.WAITING_SECONDS, state.SOJOURN]] = 0.0

    def _looks(self, i: int) -> None:
        seen = self.engine.samples
        quarter = 4 * i // self.tasks.size
        self.samples[i] = seen.looks[0]
        self.perpendicular[i] = seen.perpendicular
        if seen.chosen.size == seen.queue.size:  # the kernel does not add the same twice
            self.perpendicular[i, 1] = self.perpendicular[i, 0]
        self.looks[quarter] += seen.looks[0]
        self.queues[quarter] += seen.queue
        for sums in (seen.looks, seen.perpendicular, seen.queue):
            sums[:] = 0

    def _close_batch(self) -> None:
        self.latencies.append(emptied(self.engine.histogram))

    def drain(self) -> None:
        """Run to the last end: it arrived before the horizon, and counts in the last block."""
        self.engine.advance(float("inf"))
        count, gauge = self.engine.count, self.engine.gauge
        if left := int(count[state.TASKS]):
            raise PolicyError(
                f"policy {self.engine.policy.name} never starts {left} tasks: all others have "
                "ended, and none will come; let it give idle servers what waits"
            )
        self.after = float(gauge[state.CLOCK]) - self.run.length.horizon
        self.after_tasks = float(gauge[state.TASK_SECONDS])
        self.after_waiting = float(gauge[state.WAITING_SECONDS])
        self._busy(-1)
        self._counts(self.tasks.size - 1)
        self._close_batch()

    def finish(self, seconds: float, exploded: bool) -> ClusterReplication:
        engine = self.engine
        looks = np.maximum(self.looks, 1)[:, None]
        return ClusterReplication(
            tasks=self.tasks,
            waiting=self.waiting,
            arrivals=self.arrivals,
            completions=self.completions,
            timed=self.timed,
            sojourn=self.sojourn,
            latencies=tuple(self.latencies),
            started=self.started,
            samples=self.samples,
            perpendicular=self.perpendicular,
            busy=self.busy,
            queues=self.queues / looks,
            jobs=engine.jobs.latency if isinstance(engine, TimelineEngine) else np.zeros(0),
            after=self.after,
            after_tasks=self.after_tasks,
            after_waiting=self.after_waiting,
            work=engine.mean_work if isinstance(engine, TimelineEngine) else 1.0,
            events=int(engine.count[state.EVENTS]),
            seconds=seconds,
            exploded=exploded,
        )
