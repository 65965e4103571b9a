"""One replication of one policy: a run cut into blocks, with what happened in each."""

import time
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from threading import Event
from typing import final

import numpy as np
import numpy.typing as npt

from isocline.errors import PolicyError
from isocline.model.traffic import Trace
from isocline.policies.contract import RoutingPolicy
from isocline.simulate import arriving
from isocline.simulate.abandonment_engine import AbandonmentEngine
from isocline.simulate.delayed_engine import DelayedEngine
from isocline.simulate.engines import Engine, ExplodedError, JumpEngine, ShareEngine, TrackEngine
from isocline.simulate.holding_engine import HoldEngine
from isocline.simulate.in_blocks import in_blocks
from isocline.simulate.kernels import chain
from isocline.simulate.kernels.latencies import emptied
from isocline.simulate.learned import Learned
from isocline.simulate.learning_engine import LearningEngine
from isocline.simulate.prepare import Prepared
from isocline.simulate.run import BATCH, Run
from isocline.simulate.slotted_engine import SlottedEngine
from isocline.simulate.streams import SIZES, generator

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]

# Workloads over time are for looking at: beyond this many backends a plot would be a thicket.
MOST_DRAWN = 64


@final
@dataclass(frozen=True, eq=False)
class Replication:
    """n blocks of equal length before and after the end of the warm-up, B backends."""

    jobs: FloatArray  # (n,) mean jobs in the block
    rate: FloatArray  # (n,) mean total service rate in the block, jobs/s
    arrivals: IndexArray  # (n,)
    completions: IndexArray  # (n,)
    timed: IndexArray  # (n,) completions whose latency is known
    sojourn: FloatArray  # (n,) s, sum of their latencies
    latencies: tuple[tuple[int, npt.NDArray[np.int32]], ...]  # per batch: first bucket, counts
    snapshots: npt.NDArray[np.int32]  # (n, B) jobs at the end of each block, or (0, B)
    late: FloatArray  # (2, B) mean jobs at block ends in the third and in the last quarter
    backend_jobs: FloatArray  # (B,) mean jobs at block ends in the last three quarters
    events: int
    seconds: float
    exploded: bool
    after: float  # s from the horizon to the last departure, of a run that is drained
    after_jobs: float  # s, of all jobs together after the horizon
    abandoned: IndexArray  # (n,) jobs that gave up
    lost: IndexArray  # (n,) jobs that were lost with a backend
    resent: IndexArray  # (n,) jobs that were sent again when their backend failed
    unfinished: FloatArray  # (n,) s, sum of the sojourns of those that gave up or were lost
    work: FloatArray  # (F,) work of the jobs that came after the warm-up, in mean jobs; or (0,)

    def same_as(self, other: "Replication") -> bool:
        """Bit for bit the same, but for the time it took."""
        names = [f.name for f in fields(self) if f.name not in ("seconds", "latencies")]
        same = all(np.array_equal(getattr(self, n), getattr(other, n)) for n in names)
        return same and all(
            a[0] == b[0] and np.array_equal(a[1], b[1])
            for a, b in zip(self.latencies, other.latencies, strict=True)
        )


def replicate(
    prepared: Prepared,
    policy: RoutingPolicy,
    run: Run,
    replication: int,
    trace: Trace | None = None,
    stop: Event | None = None,
) -> Replication | None:
    """Simulate replication number `replication` of `run`; depends on nothing but its arguments.

    Returns None if `stop` was set meanwhile.

    Raises:
        PolicyError: The policy returned an edge that is not its frontend's.
    """
    started = time.perf_counter()
    engine = _engine(prepared, policy, run, replication, trace)
    record = _Recorder(engine, run)
    exploded = in_blocks(engine, record, run.ends, run.drain, stop)
    if exploded is None:
        return None
    return record.finish(time.perf_counter() - started, exploded)


def rehearse(
    prepared: Prepared, policy: RoutingPolicy, run: Run, trace: Trace | None = None
) -> None:
    """Have everything compiled that `replicate` calls, so that it measures no compilation."""
    brief = replace(
        run, horizon=1e-6 * run.horizon, warmup=None, slowdowns=(), changes=(), failures=()
    )
    with suppress(ExplodedError):
        _engine(prepared, policy, brief, 0, trace).rehearse()


def _engine(
    prepared: Prepared,
    policy: RoutingPolicy,
    run: Run,
    replication: int,
    trace: Trace | None,
) -> Engine:
    if isinstance(policy, Learned):
        return LearningEngine(prepared, policy, run, replication, trace)
    if run.slots is not None:
        return SlottedEngine(prepared, policy, run, replication, run.slots)
    if prepared.delay is not None:
        return DelayedEngine(prepared, policy, run, replication, prepared.delay)
    if trace is None and prepared.memoryless and not run.listed:
        timed = run.percentiles or policy.needs_latency
        return (TrackEngine if timed else JumpEngine)(prepared, policy, run, replication)
    key = (prepared.system, run.seed, replication, run.horizon)
    if trace is None:
        jobs = arriving.sampled(*key)
    else:
        jobs = arriving.replayed(key[0], trace, *key[1:])
    at_start = generator(run.seed, replication, SIZES, 1)
    engine = HoldEngine if policy.may_hold else ShareEngine
    if run.interrupted:
        engine = AbandonmentEngine
    return engine(prepared, policy, run, replication, jobs, at_start)


class _Recorder:
    """Reads an engine's counters at the end of each block and sets them back."""

    def __init__(self, engine: Engine, run: Run):
        self.engine, self.run = engine, run
        ends = run.ends
        self.lengths = np.diff(np.r_[0.0, ends])
        self.after = self.after_jobs = 0.0
        n = ends.size
        self.jobs, self.rate, self.sojourn = np.zeros(n), np.zeros(n), np.zeros(n)
        self.arrivals, self.completions, self.timed = (np.zeros(n, np.int64) for _ in range(3))
        self.abandoned, self.lost, self.resent = (np.zeros(n, np.int64) for _ in range(3))
        self.unfinished = np.zeros(n)
        self.latencies: list[tuple[int, npt.NDArray[np.int32]]] = []
        backends = engine.workload.size
        drawn = n if backends <= MOST_DRAWN else 0
        self.snapshots = np.zeros((drawn, backends), np.int32)
        self.quarters = np.zeros((4, backends))
        self.done = 0  # ticks of the jump engine, which measures blocks in ticks

    def block(self, i: int) -> None:
        count, gauge = self.engine.count, self.engine.gauge
        if isinstance(self.engine, JumpEngine):
            length = float(count[chain.EVENTS] - self.done)
            self.done = int(count[chain.EVENTS])
            area, served = float(count[chain.AREA]), float(gauge[chain.RATE_SECONDS])
            gauge[chain.CLOCK] = 0.0
        else:
            length = float(self.lengths[i])
            area, served = float(gauge[chain.JOB_SECONDS]), float(gauge[chain.RATE_SECONDS])
        self.jobs[i], self.rate[i] = area / max(length, 1e-300), served / max(length, 1e-300)
        self._counts(i)
        workload = self.engine.workload
        if self.snapshots.size:
            self.snapshots[i] = workload
        self.quarters[4 * i // self.jobs.size] += workload
        if (i + 1) % BATCH == 0:
            self._close_batch()

    def _counts(self, i: int) -> None:
        count, gauge = self.engine.count, self.engine.gauge
        self.arrivals[i] += count[chain.ARRIVALS]
        self.completions[i] += count[chain.COMPLETIONS]
        self.timed[i] += count[chain.TIMED]
        self.sojourn[i] += gauge[chain.SOJOURN]
        self.abandoned[i] += count[chain.ABANDONED]
        self.lost[i] += count[chain.LOST]
        self.resent[i] += count[chain.RESENT]
        self.unfinished[i] += gauge[chain.UNFINISHED]
        count[[chain.AREA, chain.ARRIVALS, chain.COMPLETIONS, chain.TIMED]] = 0
        count[[chain.ABANDONED, chain.LOST, chain.RESENT]] = 0
        gauge[[chain.JOB_SECONDS, chain.RATE_SECONDS, chain.SOJOURN, chain.UNFINISHED]] = 0.0

    def _close_batch(self) -> None:
        self.latencies.append(emptied(self.engine.histogram))

    def drained(self) -> None:
        """What left after the horizon arrived before it, and counts in the last block."""
        count, gauge = self.engine.count, self.engine.gauge
        if held := int(count[chain.JOBS]):
            raise PolicyError(
                f"policy {self.engine.policy.name} holds {held} jobs for ever: all others have "
                "left, and none will come; let it send one when a backend is empty"
            )
        self.after = float(gauge[chain.CLOCK]) - self.run.horizon
        self.after_jobs = float(gauge[chain.JOB_SECONDS])
        self._counts(self.jobs.size - 1)
        self._close_batch()

    def finish(self, seconds: float, exploded: bool) -> Replication:
        quarter = self.jobs.size / 4
        return Replication(
            self.jobs,
            self.rate,
            self.arrivals,
            self.completions,
            self.timed,
            self.sojourn,
            tuple(self.latencies),
            self.snapshots,
            self.quarters[2:] / quarter,
            self.quarters[1:].sum(axis=0) / (3 * quarter),
            int(self.engine.count[chain.EVENTS]),
            seconds,
            exploded,
            self.after,
            self.after_jobs,
            self.abandoned,
            self.lost,
            self.resent,
            self.unfinished,
            _work_of(self.engine, self.run.warmup or 0.0),
        )


def _work_of(engine: Engine, since: float) -> FloatArray:
    """(F,) work of the listed jobs that came from `since` on; (0,) where none are listed."""
    if not isinstance(engine, ShareEngine):
        return np.zeros(0)
    jobs, frontends = engine.arriving, engine.prepared.system.graph.sources
    came = jobs.time >= since
    return np.asarray(
        np.bincount(jobs.frontend[came], jobs.size[came], minlength=frontends), np.float64
    )
