"""One replication of one policy: a run cut into blocks, with the figures of each."""

import time
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from threading import Event
from typing import final

import numpy as np
import numpy.typing as npt

from isocline.errors import PolicyError
from isocline.model.traffic import Trace
from isocline.policies.routing.contract import RoutingPolicy
from isocline.simulate.common.batches import BATCH
from isocline.simulate.common.block_loop import block_loop
from isocline.simulate.common.growth_limit import ExplodedError
from isocline.simulate.common.kernels import counters
from isocline.simulate.common.kernels.latency_histogram import emptied
from isocline.simulate.common.random_streams import SIZES, random_stream
from isocline.simulate.routing import arrival_list
from isocline.simulate.routing.engines import Engine, JumpEngine, ShareEngine, TrackEngine
from isocline.simulate.routing.kernels.blocks import measured
from isocline.simulate.routing.learned_policy import LearnedPolicy
from isocline.simulate.routing.prepare import Prepared
from isocline.simulate.routing.run_settings import Run

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
    work: FloatArray  # (F,) work to be served after the warm-up, in mean jobs; or (0,)

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
    exploded = block_loop(record, run.ends.size // BATCH, run.drain, stop)
    if exploded is None:
        return None
    return record.finish(time.perf_counter() - started, exploded)


def rehearse(
    prepared: Prepared, policy: RoutingPolicy, run: Run, trace: Trace | None = None
) -> None:
    """Compile everything that `replicate` calls, so that it measures no compilation."""
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
    # The engines that few runs need are imported where they are: each brings kernels of its own.
    if isinstance(policy, LearnedPolicy):
        from isocline.simulate.routing.learning_engine import LearningEngine  # noqa: PLC0415

        return LearningEngine(prepared, policy, run, replication, trace)
    if run.slots is not None:
        from isocline.simulate.routing.slotted_engine import SlottedEngine  # noqa: PLC0415

        return SlottedEngine(prepared, policy, run, replication, run.slots)
    if prepared.delay is not None:
        from isocline.simulate.routing.delayed_engine import DelayedEngine  # noqa: PLC0415

        return DelayedEngine(prepared, policy, run, replication, prepared.delay)
    if trace is None and prepared.memoryless and not run.listed:
        timed = run.percentiles or policy.needs_latency or run.drain
        return (TrackEngine if timed else JumpEngine)(prepared, policy, run, replication)
    return _engine_of_jobs(prepared, policy, run, replication, trace)


def _engine_of_jobs(
    prepared: Prepared,
    policy: RoutingPolicy,
    run: Run,
    replication: int,
    trace: Trace | None,
) -> Engine:
    """Make an engine that takes its jobs as a list."""
    key = (prepared.system, run.seed, replication, run.horizon)
    if trace is None:
        jobs = arrival_list.sampled(*key)
    else:
        jobs = arrival_list.replayed(key[0], trace, *key[1:])
    at_start = random_stream(run.seed, replication, SIZES, 1)
    if run.interrupted:
        from isocline.simulate.routing.abandonment_engine import AbandonmentEngine  # noqa: PLC0415

        return AbandonmentEngine(prepared, policy, run, replication, jobs, at_start)
    if policy.may_hold:
        from isocline.simulate.routing.holding_engine import HoldEngine  # noqa: PLC0415

        return HoldEngine(prepared, policy, run, replication, jobs, at_start)
    return ShareEngine(prepared, policy, run, replication, jobs, at_start)


class _Recorder:
    """Runner of an engine batch by batch, which collects the figures of its blocks."""

    def __init__(self, engine: Engine, run: Run):
        self.engine, self.run = engine, run
        backends = engine.workload.size
        self.blocks = measured(run.ends, backends, backends <= MOST_DRAWN)
        self.latencies: list[tuple[int, npt.NDArray[np.int32]]] = []
        self.after = self.after_jobs = 0.0
        self.rest = np.zeros(counters.COUNTERS, np.int64), np.zeros(counters.GAUGES)

    def step(self, i: int) -> None:
        """Run to the end of batch `i`."""
        self.engine.advance_blocks(self.blocks, (i + 1) * BATCH)
        self.latencies.append(emptied(self.engine.histogram))

    def drain(self) -> None:
        """Run to the last departure; jobs that leave now count in the last block."""
        self.engine.drain()
        count, gauge = self.engine.count, self.engine.gauge
        if held := int(count[counters.JOBS]):
            raise PolicyError(
                f"policy {self.engine.policy.name} holds {held} jobs for ever: all others have "
                "left, and none will come; let it send one when a backend is empty"
            )
        self.after = float(gauge[counters.CLOCK]) - self.run.horizon
        self.after_jobs = float(gauge[counters.JOB_SECONDS])
        self.rest = count.copy(), gauge.copy()
        self.latencies.append(emptied(self.engine.histogram))

    def finish(self, seconds: float, exploded: bool) -> Replication:
        engine, blocks = self.engine, self.blocks
        jobs, rate = self._means()
        quarter = blocks.end.size / 4
        return Replication(
            jobs,
            rate,
            self._counted(counters.ARRIVALS),
            self._counted(counters.COMPLETIONS),
            self._counted(counters.TIMED),
            self._summed(counters.SOJOURN),
            tuple(self.latencies),
            blocks.snapshots,
            blocks.quarters[2:] / quarter,
            blocks.quarters[1:].sum(axis=0) / (3 * quarter),
            int(engine.count[counters.EVENTS]),
            seconds,
            exploded,
            self.after,
            self.after_jobs,
            self._counted(counters.ABANDONED),
            self._counted(counters.LOST),
            self._counted(counters.RESENT),
            self._summed(counters.UNFINISHED),
            self._work(),
        )

    def _counted(self, counter: int) -> IndexArray:
        """(n,) a counter in each block, with what was counted after the horizon in the last."""
        found = self.blocks.counts[:, counter].copy()
        found[-1] += self.rest[0][counter]
        return found

    def _summed(self, gauge: int) -> FloatArray:
        """(n,) likewise a sum, s."""
        found = self.blocks.gauges[:, gauge].copy()
        found[-1] += self.rest[1][gauge]
        return found

    def _work(self) -> FloatArray:
        """(F,) work that was served after the warm-up, in mean jobs; (0,) if it is not needed.

        Of listed jobs all that came then, as it is served to the end. Else what the backends served
        while they were busy, in the proportions of the frontends' rates: the realised sizes, which
        nobody drew, do not matter to the bound.
        """
        if isinstance(self.engine, ShareEngine):
            return _work_of(self.engine, self.run.warmup or 0.0)
        if not self.run.drain:
            return np.zeros(0)
        rates, since = self.engine.prepared.system.rates, self.run.discarded_blocks
        untimed = self._counted(counters.COMPLETIONS) - self._counted(counters.TIMED)
        # Jobs of the start have no latency that could be bounded; a mean job's work was left of
        # each, as exponential sizes forget.
        served = max(float((self._summed(counters.RATE_SECONDS) - untimed)[since:].sum()), 0.0)
        return np.asarray(rates * (served / rates.sum()), np.float64)

    def _means(self) -> tuple[FloatArray, FloatArray]:
        """(n,) mean jobs, and mean total service rate in jobs/s, of each block; 0 if never run."""
        count, gauge = self.blocks.counts, self.blocks.gauges
        if isinstance(self.engine, JumpEngine):  # measures blocks in ticks
            lengths = np.diff(count[:, counters.EVENTS], prepend=0).astype(np.float64)
            area = count[:, counters.AREA].astype(np.float64)
        else:
            lengths = np.diff(self.blocks.end, prepend=0.0)
            area = gauge[:, counters.JOB_SECONDS]
        lengths = np.maximum(lengths, 1e-300)
        return area / lengths, gauge[:, counters.RATE_SECONDS] / lengths


def _work_of(engine: ShareEngine, since: float) -> FloatArray:
    """(F,) work of the listed jobs that came from `since` on."""
    jobs, frontends = engine.arriving, engine.prepared.system.graph.sources
    came = jobs.time >= since
    return np.asarray(
        np.bincount(jobs.frontend[came], jobs.size[came], minlength=frontends), np.float64
    )
