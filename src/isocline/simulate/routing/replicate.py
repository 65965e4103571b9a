"""One replication of one routing policy: its record, its engine and its figures."""

from dataclasses import dataclass, fields, replace
from threading import Event
from typing import Any, ClassVar, final

import numpy as np
import numpy.typing as npt

from isocline.plural import counted
from isocline.simulate.common import replication
from isocline.simulate.common.kernels import counters
from isocline.simulate.common.replication import Columns, Figures, Recorder
from isocline.simulate.common.run_settings import BATCH
from isocline.simulate.routing.engine_choice import engine_for
from isocline.simulate.routing.engines import Engine, RoutingRun
from isocline.simulate.routing.kernels.blocks import measured

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]

# Workloads over time are for looking at: beyond this many backends a plot would be a thicket.
MOST_DRAWN = 64


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Replication(Figures):
    """n blocks of equal length before and after the end of the warm-up, B backends."""

    jobs: FloatArray  # (n,) mean jobs in the block
    rate: FloatArray  # (n,) mean total service rate in the block, jobs/s
    job_rate: FloatArray  # (n,) sum of jobs x total service rate, jobs^2/s; 0 if none is taken
    sampled: IndexArray  # (n,) sum of jobs over its terms
    samples: FloatArray  # (n,) number of its terms
    snapshots: npt.NDArray[np.int32]  # (n, B) jobs at the end of each block, or (0, B)
    late: FloatArray  # (2, B) mean jobs at block ends in the third and in the last quarter
    backend_jobs: FloatArray  # (B,) mean jobs at block ends in the last three quarters
    after_jobs: float  # s, of all jobs together after the horizon
    abandoned: IndexArray  # (n,) jobs that gave up
    lost: IndexArray  # (n,) jobs that were lost with a backend
    resent: IndexArray  # (n,) jobs that were sent again when their backend failed
    unfinished: FloatArray  # (n,) s, sum of the sojourns of those that gave up or were lost
    cached: FloatArray  # (4,) as `Engine.cached_work`, after the warm-up; or (0,)
    loads: FloatArray  # (4, n) as `Engine.model_loads`; or (0, n)
    work: FloatArray  # (F,) work to be served after the warm-up, in mean jobs; or (0,)

    @property
    def number(self) -> FloatArray:
        return self.jobs

    @property
    def number_after(self) -> float:
        return self.after_jobs

    @property
    def last_quarters(self) -> FloatArray:
        return self.late

    def same_as(self, other: "Replication") -> bool:
        """Bit for bit the same, but for the time it took."""
        names = [f.name for f in fields(self) if f.name not in ("seconds", "latencies")]
        same = all(np.array_equal(getattr(self, n), getattr(other, n)) for n in names)
        return same and all(
            a[0] == b[0] and np.array_equal(a[1], b[1])
            for a, b in zip(self.latencies, other.latencies, strict=True)
        )


def replicate(run: RoutingRun, stop: Event | None = None) -> Replication | None:
    """Simulate one replication; None if `stop` was set meanwhile.

    Raises:
        PolicyError: The policy returned an edge that is not its frontend's.
        UsageError: No engine runs what is asked of it.
    """
    return _Recorder(engine_for(run), run).replicate(stop)


def rehearse(run: RoutingRun) -> None:
    """Compile everything that `replicate` calls, so that it measures no compilation."""
    settings = run.settings
    brief = replace(
        settings,
        horizon=1e-6 * settings.horizon,
        warmup=None,
        slowdowns=(),
        changes=(),
        failures=(),
    )
    replication.rehearse(replace(run, settings=brief, replication=0), engine_for)


@final
class _Recorder(Recorder[Engine, Replication]):
    """Recorder of the blocks that engine or kernel note."""

    columns: ClassVar[Columns] = Columns(
        counters.JOBS,
        counters.ARRIVALS,
        counters.COMPLETIONS,
        counters.TIMED,
        counters.EVENTS,
        counters.CLOCK,
        counters.SOJOURN,
    )

    def __init__(self, engine: Engine, run: RoutingRun):
        backends = engine.workload.size
        self.blocks = measured(run.settings.ends, backends, backends <= MOST_DRAWN)
        self.run = run
        super().__init__(engine, run.settings, self.blocks.counts, self.blocks.gauges)

    def advance(self, batch: int) -> None:
        self.engine.advance_blocks(self.blocks, (batch + 1) * BATCH)

    def left_over(self, number: int) -> str:
        return (
            f"policy {self.run.policy.name} holds {counted(number, 'job')} for ever: all others "
            "have left, and none will come; let it send one when a backend is empty"
        )

    def figures(self, **shared: Any) -> Replication:
        blocks = self.blocks
        lengths, job_seconds = self.engine.lengths_and_areas(blocks)
        lengths = np.maximum(lengths, 1e-300)
        quarter = blocks.end.size / 4
        return Replication(
            jobs=job_seconds / lengths,
            rate=blocks.gauges[:, counters.RATE_SECONDS] / lengths,
            job_rate=blocks.gauges[:, counters.JOB_RATE].copy(),
            sampled=self.counted(counters.SAMPLED),
            samples=self.engine.samples(blocks),
            snapshots=blocks.snapshots,
            late=blocks.quarters[2:] / quarter,
            backend_jobs=blocks.quarters[1:].sum(axis=0) / (3 * quarter),
            after_jobs=float(self.rest[1][counters.JOB_SECONDS]),
            abandoned=self.counted(counters.ABANDONED),
            lost=self.counted(counters.LOST),
            resent=self.counted(counters.RESENT),
            unfinished=self.summed(counters.UNFINISHED),
            cached=self.engine.cached_work(self.run.settings.warmup or 0.0),
            loads=self.engine.model_loads(blocks.end),
            work=self._work(),
            **shared,
        )

    def _work(self) -> FloatArray:
        """(F,) work that was served after the warm-up, in mean jobs; (0,) if it is not needed.

        Of listed jobs all that came then, as it is served to the end. Else what the backends served
        while they were busy, in the proportions of the frontends' rates: the realised sizes, which
        nobody drew, do not matter to the bound.
        """
        settings = self.run.settings
        if (listed := self.engine.listed_work(settings.warmup or 0.0)) is not None:
            return listed
        if not settings.drain:
            return np.zeros(0)
        rates, since = self.run.prepared.system.rates, settings.discarded_blocks
        untimed = self.counted(counters.COMPLETIONS) - self.counted(counters.TIMED)
        # Jobs of the start have no latency that could be bounded; a mean job's work was left of
        # each, as exponential sizes forget.
        served = max(float((self.summed(counters.RATE_SECONDS) - untimed)[since:].sum()), 0.0)
        return np.asarray(rates * (served / rates.sum()), np.float64)
