"""One replication of one policy on a cluster: its figures by block."""

from dataclasses import dataclass
from threading import Event
from typing import Any, ClassVar, final

import numpy as np
import numpy.typing as npt

from isocline.plural import counted
from isocline.policies.scheduling.state.columns import IDLE, SERVING
from isocline.simulate.common import replication
from isocline.simulate.common.replication import Columns, Figures, Recorder
from isocline.simulate.common.run_settings import BATCH
from isocline.simulate.scheduling.engine import ClusterEngine, ClusterRun
from isocline.simulate.scheduling.engines import engine_for
from isocline.simulate.scheduling.kernels import state

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class ClusterReplication(Figures):
    """n blocks, as `ClusterRunSettings.ends` cuts the horizon; M servers. Times in s, or in slots.

    On the slotted clock a task that arrives at the beginning of a slot and completes at its end
    took 1 slot, and `tasks` counts those in the system during a slot, arrivals of that slot
    included: Little's law holds. Q(t) of the paper, before the arrivals, is `tasks` less
    `arrivals` per slot.
    """

    tasks: FloatArray  # (n,) mean tasks in the system in the block, in service included
    waiting: FloatArray  # (n,) mean tasks waiting
    started: IndexArray  # (n, 3) tasks started at the local, rack and remote level
    samples: IndexArray  # (n,) how often the queues were looked at, once per mean service or slot
    perpendicular: FloatArray  # (n, 2, 2) sums over samples of |Q_perp| and |Q_perp|^2,
    # first over all servers, then over `PreparedCluster.beneficiaries` (Theorems 7 and 4)
    busy: npt.NDArray[np.float32]  # (n / BATCH + 1, M) time for which each server was busy in each
    # batch of blocks, and after the horizon
    queues: FloatArray  # (4, M) in each quarter, mean queue length at the samples (counting rule)
    jobs: FloatArray  # (J,) latencies of the jobs of a block trace, nan if unfinished; else (0,)
    after_tasks: float  # time that tasks spend in the system after the horizon, and
    after_waiting: float  # how much of it they wait
    work: float  # mean time of all tasks at rate 1, where it is drawn in advance; else 1

    @property
    def number(self) -> FloatArray:
        return self.tasks

    @property
    def number_after(self) -> float:
        return self.after_tasks

    @property
    def last_quarters(self) -> FloatArray:
        return self.queues[2:]


def run_cluster(run: ClusterRun, stop: Event | None = None) -> ClusterReplication | None:
    """Simulate one replication; None if `stop` was set meanwhile.

    Raises:
        PolicyError: The policy chose a queue or a server that does not exist.
        UsageError: No engine runs what is asked of it.
    """
    return _Recorder(engine_for(run), run).replicate(stop)


def rehearse(run: ClusterRun) -> None:
    """Compile everything that `run_cluster` calls, so that it measures no compilation."""
    replication.rehearse(run, engine_for)


@final
class _Recorder(Recorder[ClusterEngine, ClusterReplication]):
    """Reader of an engine's counters at the end of each block, which it sets back."""

    columns: ClassVar[Columns] = Columns(
        state.TASKS,
        state.ARRIVALS,
        state.COMPLETIONS,
        state.TIMED,
        state.EVENTS,
        state.CLOCK,
        state.SOJOURN,
    )

    def __init__(self, engine: ClusterEngine, run: ClusterRun):
        self.ends = run.settings.ends
        n, servers = self.ends.size, run.prepared.cluster.size
        counts, gauges = np.zeros((n, state.COUNTERS), np.int64), np.zeros((n, state.GAUGES))
        super().__init__(engine, run.settings, counts, gauges)
        self.samples = np.zeros(n, np.int64)
        self.perpendicular = np.zeros((n, 2, 2))
        self.looks = np.zeros(4, np.int64)
        self.busy = np.zeros((n // BATCH + 1, servers), np.float32)
        self.queues = np.zeros((4, servers))

    def advance(self, batch: int) -> None:
        for block in range(batch * BATCH, (batch + 1) * BATCH):
            self.engine.advance(float(self.ends[block]))
            self._count(block)
            self._look(block)
        self._note_busy(batch)

    def _count(self, block: int) -> None:
        count, gauge = self.engine.count, self.engine.gauge
        self.counts[block], self.gauges[block] = count, gauge
        count[state.ARRIVALS : state.STARTED + 3] = 0
        gauge[[state.TASK_SECONDS, state.WAITING_SECONDS, state.SOJOURN]] = 0.0

    def _look(self, block: int) -> None:
        seen = self.engine.samples
        quarter = 4 * block // self.ends.size
        self.samples[block] = seen.looks[0]
        self.perpendicular[block] = seen.perpendicular
        if seen.chosen.size == seen.queue.size:  # the kernel does not add the same twice
            self.perpendicular[block, 1] = self.perpendicular[block, 0]
        self.looks[quarter] += seen.looks[0]
        self.queues[quarter] += seen.queue
        for sums in (seen.looks, seen.perpendicular, seen.queue):
            sums[:] = 0

    def _note_busy(self, batch: int) -> None:
        """Time for which each server was busy; of a running task, the part until now."""
        sums, now = self.engine.samples.busy, self.engine.gauge[state.CLOCK]
        running = self.engine.view.columns[: sums.size, SERVING] != IDLE
        self.busy[batch] = sums + now * running
        sums[:] = -now * running

    def left_over(self, number: int) -> str:
        return (
            f"policy {self.engine.policy.name} never starts {counted(number, 'task')}: all "
            "others have ended, and none will come; let it give idle servers what waits"
        )

    def figures(self, **shared: Any) -> ClusterReplication:
        engine, rest = self.engine, self.rest[1]
        lengths = np.maximum(np.diff(self.ends, prepend=0.0), 1e-300)
        if self.settings.drain and not shared["exploded"]:
            self._note_busy(-1)
        return ClusterReplication(
            tasks=self.gauges[:, state.TASK_SECONDS] / lengths,
            waiting=self.gauges[:, state.WAITING_SECONDS] / lengths,
            started=np.column_stack([self.counted(state.STARTED + level) for level in range(3)]),
            samples=self.samples,
            perpendicular=self.perpendicular,
            busy=self.busy,
            queues=self.queues / np.maximum(self.looks, 1)[:, None],
            jobs=engine.job_latencies,
            after_tasks=float(rest[state.TASK_SECONDS]),
            after_waiting=float(rest[state.WAITING_SECONDS]),
            work=engine.mean_work,
            **shared,
        )
