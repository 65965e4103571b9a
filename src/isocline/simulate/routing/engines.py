"""Engines, one per kernel: each owns the arrays of one run and advances it block by block."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, final

import numpy as np
import numpy.typing as npt

from isocline.learn.observed import Observed
from isocline.model.traffic.own import sizes_of
from isocline.policies.custom import functions_of
from isocline.policies.own_code import blame
from isocline.policies.routing.called import kernel_functions
from isocline.policies.routing.contract import RoutingPolicy
from isocline.randomness.draws import stream
from isocline.simulate.common.growth_limit import MOST_JOBS, ExplodedError
from isocline.simulate.common.kernels import counters
from isocline.simulate.common.kernels.alias_tables import alias
from isocline.simulate.common.kernels.counters import Streams
from isocline.simulate.common.kernels.latency_histogram import BUCKETS
from isocline.simulate.common.kernels.tournament import tournament
from isocline.simulate.common.random_streams import EVENTS, LEAVING, POLICY, SIZES, random_stream
from isocline.simulate.common.replication import Run
from isocline.simulate.routing import arrival_list
from isocline.simulate.routing.changing_fleet import CurveChange
from isocline.simulate.routing.failure import BackendFailure
from isocline.simulate.routing.kernels.blocks import Blocks, read, unread
from isocline.simulate.routing.kernels.job_arena import arena, enlarged, reserve
from isocline.simulate.routing.kernels.model_memory import Memory
from isocline.simulate.routing.kernels.processor_sharing import (
    Arriving,
    Clocks,
    bring_up,
    reschedule,
    share,
    sift_up,
)
from isocline.simulate.routing.kernels.tracked_chain import track
from isocline.simulate.routing.kernels.uniformised import run_chain
from isocline.simulate.routing.prepare import Prepared
from isocline.simulate.routing.run_settings import RunSettings
from isocline.simulate.routing.slowdown import Slowdown, slower

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]

FIRST_WORKLOADS = 64  # tabulated at the start; doubled whenever a backend holds more
# Events after which a run that is drained looks which backends are empty by now.
_DRAINED_AT_ONCE = 1000.0


Change = Slowdown | CurveChange | BackendFailure
RoutingRun = Run[Prepared, RoutingPolicy, RunSettings]


class Engine(ABC):
    """State of one run."""

    def __init__(self, run: RoutingRun):
        prepared, policy, settings = run.prepared, run.policy, run.settings
        self.run = run
        self.prepared = prepared
        self.policy = policy
        self.choose, self.observe = kernel_functions(policy)
        self.actual = prepared  # `prepared` is what the policy knows
        # At equal times a policy learns of new curves before it sends jobs again.
        changes: list[Change] = [*settings.slowdowns, *settings.changes, *settings.failures]
        self.upcoming = sorted(changes, key=lambda change: change.time)
        # A curve may change while its backend is slowed down, and the other way round.
        self.curves = list(prepared.system.curves)
        self.slowness = np.ones(len(self.curves))
        self.known_slowness = np.ones(len(self.curves))  # to policies
        self.start = self._start()
        self.size = FIRST_WORKLOADS
        while self.start.max(initial=0) + 1 >= self.size:
            self.size *= 2
        self.view = prepared.view(policy, self.size)
        self.system = prepared.tables(self.size)
        self.streams = Streams(
            *(
                stream(settings.seed, run.replication, purpose)
                for purpose in (EVENTS, POLICY, LEAVING)
            )
        )
        self.count = np.zeros(counters.COUNTERS, np.int64)
        self.gauge = np.zeros(counters.GAUGES)
        self.histogram = np.zeros(BUCKETS, np.int32)
        self._fill()

    @property
    def workload(self) -> Any:
        """True jobs at each backend, (B,), whatever the policy knows of them."""
        return self.view.workload

    def _start(self) -> Any:
        start = self.run.settings.start
        if start == "empty":
            return np.zeros(self.prepared.row.size, np.int32)
        if not isinstance(start, str):
            return np.array(start, np.int32)
        return np.round(self.prepared.optimum.workloads).astype(np.int32)

    def _fill(self) -> None:
        """Put the initial jobs in place."""
        self.view.workload[:] = self.start
        self.count[counters.JOBS] = self.start.sum()
        self.gauge[counters.RATE] = self.system.rate[self.view.row, self.start].sum()

    def advance(self, until: float) -> None:
        """Run to time `until`, s, through the changes of curves before it.

        Raises:
            PolicyError: The policy returned an edge that is not its frontend's.
            ExplodedError: There are more jobs than can be kept.
        """
        while self.upcoming and self.upcoming[0].time <= until:
            change = self.upcoming.pop(0)
            self._advance(change.time)
            self._change(change)
        self._advance(until)

    def rehearse(self) -> None:
        """Compile everything that a run calls; the engine is of no use afterwards."""
        self.advance(0.0)

    def advance_blocks(self, blocks: Blocks, last: int) -> None:
        """Run until `last` of the blocks have ended, and note each; raises as `advance` does."""
        while blocks.done[0] < last:
            self.advance(float(blocks.end[blocks.done[0]]))
            read(blocks, self.count, self.gauge, self.workload)

    def drain(self) -> None:
        """Run until the last job has left, as none comes any more; raises as `advance` does."""
        self.advance(float("inf"))

    def look(self, times: FloatArray) -> IntArray:
        """Run to the last of (T,) increasing times, s: (T, B) jobs at each backend at each of them.

        Raises:
            PolicyError, ExplodedError: As `advance`.
        """
        seen = np.empty((times.size, self.start.size), np.int32)
        for i, time in enumerate(times):
            self.advance(float(time))
            seen[i] = self.workload
        return seen

    def lengths_and_areas(self, blocks: Blocks) -> tuple[FloatArray, FloatArray]:
        """(n,) length of each block, and the integral of the jobs over it; s, or ticks."""
        return np.diff(blocks.end, prepend=0.0), blocks.gauges[:, counters.JOB_SECONDS]

    def samples(self, blocks: Blocks) -> FloatArray:
        """(n,) terms of JOB_RATE in each block."""
        return np.zeros(blocks.end.size)

    def listed_work(self, since: float) -> FloatArray | None:  # noqa: ARG002
        """(F,) work of the listed jobs that come from `since` on, s; None if none are listed."""
        return None

    def cached_work(self, since: float) -> FloatArray:  # noqa: ARG002
        """Return what prefix caches saved of the jobs that come from `since` on, s.

        (4,) their work, in mean jobs, and that without any cache; the tokens of their prompts that
        were cached, and all of these. (0,) where no caches are simulated.
        """
        return np.zeros(0)

    def model_loads(self, ends: FloatArray) -> FloatArray:
        """Return what models cost, by when jobs came: in blocks with these `ends`, (n,) s.

        (4, n) jobs that ask for a model; those whose model was not resident; loads; models that
        made way. (0, n) where no models are simulated.
        """
        return np.zeros((0, ends.size))

    def _advance(self, until: float) -> None:
        """Run to time `until`, s; raises as `advance` does."""
        self._finish(lambda: self._kernel(until))

    def _finish(self, kernel: Callable[[], int]) -> None:
        """Call a kernel until it is done, and enlarge arrays when it stops for lack of space."""
        while (status := self._called(kernel)) != counters.DONE:
            if status == counters.NOT_A_CANDIDATE:
                raise self.policy.misplaced(self.view, self.streams.policy)
            if self.count[counters.JOBS] > MOST_JOBS:
                raise ExplodedError
            if status == counters.TABLE_FULL:
                self._enlarge_tables()
            else:
                self._enlarge_arena()

    def _called(self, kernel: Callable[[], int]) -> int:
        """Call a kernel once; an exception of a user's function inside it is a PolicyError."""
        try:
            return kernel()
        except Exception as error:
            blame(self.policy.name, functions_of(self.policy), error)
            raise

    def _enlarge_tables(self) -> None:
        self.size *= 2
        self.system = self.system._replace(rate=self.actual.rates(self.size))
        self.view = self.view._replace(table=self.prepared.scores(self.policy, self.size))

    def _change(self, change: Change) -> None:
        """Change the curve of one backend, which has a row of its own."""
        assert not isinstance(change, BackendFailure)  # for `AbandonmentEngine` alone
        if isinstance(change, Slowdown):
            backend = self.prepared.number(change.backend)
            self.slowness[backend] = change.factor
            if change.told:
                self.known_slowness[backend] = change.factor
        else:
            backend = change.backend
            self.curves[backend] = change.curve
        curve = self.curves[backend]
        self.actual = self.actual.with_curve(backend, slower(curve, self.slowness[backend]))
        self._set_rates(backend)
        if not isinstance(change, Slowdown) or change.told:
            known = slower(curve, self.known_slowness[backend])
            self.prepared = self.prepared.with_curve(backend, known)
            self._show_curves()

    def _set_rates(self, backend: int) -> None:  # noqa: ARG002 - others have a clock for each
        """Use the rates of `actual` from now on."""
        self.system = self.system._replace(rate=self.actual.rates(self.size))
        self.gauge[counters.RATE] = self.system.rate[self.view.row, self.view.workload].sum()

    def _show_curves(self) -> None:
        """Give the policy the curves of `prepared`."""
        known = self.prepared.view(self.policy, self.size)
        self.view = self.view._replace(table=known.table, parameter=known.parameter)

    @abstractmethod
    def _kernel(self, until: float) -> int: ...

    def _enlarge_arena(self) -> None:
        raise NotImplementedError  # only engines that keep jobs run out of room for them


@final
class ChainEngine(Engine):
    """Engine of means only."""

    def lengths_and_areas(self, blocks: Blocks) -> tuple[FloatArray, FloatArray]:
        ticks = np.diff(blocks.counts[:, counters.EVENTS], prepend=0).astype(np.float64)
        return ticks, blocks.counts[:, counters.AREA].astype(np.float64)

    def samples(self, blocks: Blocks) -> FloatArray:
        return self.lengths_and_areas(blocks)[0]

    def advance_blocks(self, blocks: Blocks, last: int) -> None:
        self._finish(lambda: self._run(blocks, last))

    def _kernel(self, until: float) -> int:
        return self._run(unread(until), 1)

    def _run(self, blocks: Blocks, last: int) -> int:
        return run_chain(
            self.choose,
            self.view,
            self.system,
            self.streams,
            self.count,
            self.gauge,
            blocks,
            np.rint(blocks.end * self.system.speed).astype(np.int64),
            last,
        )


class JobEngine(Engine):
    """Base of engines that keep each job, and so latencies."""

    def rehearse(self) -> None:
        super().rehearse()
        reserve(self.jobs, 0, int(self._counts()[0]), int(self.system.places[0]))

    def _fill(self) -> None:
        super()._fill()
        self.jobs = arena(self.start.size)
        for backend in np.flatnonzero(self.start).tolist():
            self._place(backend, int(self.start[backend]))

    def _place(self, backend: int, count: int) -> None:
        """Give the initial jobs a segment with space for one more, and a birth before time 0."""
        room = int(self.jobs.room[backend])
        if count >= room:
            while count >= room:
                room *= 2
            start = int(self.jobs.free[0])
            while start + room > self.jobs.born.size:
                self.jobs = enlarged(self.jobs)
            self.jobs.start[backend], self.jobs.room[backend] = start, room
            self.jobs.free[0] = start + room
        first = self.jobs.start[backend]
        self.jobs.born[first : first + count] = -1.0

    def _counts(self) -> Any:
        """Number of jobs of each backend that are kept, (B,)."""
        return self.view.workload

    def _enlarge_arena(self) -> None:
        self.jobs = enlarged(self.jobs)
        counts = self._counts()
        for backend in np.flatnonzero(counts >= self.jobs.room):
            count, places = counts[backend], self.system.places[backend]
            if not reserve(self.jobs, int(backend), int(count), int(places)):
                self._enlarge_arena()


class TrackEngine(JobEngine):
    """Engine of Poisson arrivals and exponential sizes, with every job timed."""

    def _learning(self) -> tuple[Observed | None, int]:
        """Return a learner's observations, and the number of due backends that it waits for."""
        return None, 0

    def advance_blocks(self, blocks: Blocks, last: int) -> None:
        if self.upcoming:  # at times of their own, between the ends of blocks
            super().advance_blocks(blocks, last)
        else:
            self._finish(lambda: self._track(blocks, last))

    def drain(self) -> None:
        # Here jobs come for ever: from now on the events are possible departures alone. Only
        # backends that hold jobs have any, at their peaks of now, or waiting for one that is very
        # slow would take as many events as all the others could serve meanwhile.
        peak = np.array([curve.supremum for curve in self.actual.curves])
        while self.count[counters.JOBS]:
            rate = np.where(self.workload > 0, peak[self.view.row], 0.0)
            speed = float(rate.sum())
            self.system = self.system._replace(
                sinks=alias(rate),
                arriving=np.uint64(0),  # type: ignore[arg-type]  # as in `Prepared.tables`
                speed=speed,
                peak=peak,
            )
            self._advance(float(self.gauge[counters.CLOCK]) + _DRAINED_AT_ONCE / speed)

    def _kernel(self, until: float) -> int:
        return self._track(unread(until), 1)

    def _track(self, blocks: Blocks, last: int) -> int:
        return track(
            self.choose,
            self.observe,
            self.view,
            self.system,
            self.streams,
            self.jobs,
            self.count,
            self.gauge,
            self.histogram,
            blocks,
            last,
            self.policy.needs_latency,
            *self._learning(),
        )


class ListEngine(JobEngine):
    """Base of engines of any arrivals and sizes, as a list that is drawn in advance."""

    def __init__(self, run: RoutingRun, arriving: Arriving | None = None):
        """Prepare a run; `arriving` are its jobs, by default those of its system or trace."""
        key = run.settings.seed, run.replication
        self.arriving = _listed(run) if arriving is None else arriving
        self.at_start = random_stream(*key, SIZES, 1)
        super().__init__(run)

    def listed_work(self, since: float) -> FloatArray:
        jobs, frontends = self.arriving, self.prepared.system.graph.sources
        came = jobs.time >= since
        work = self._listed_sizes()[came]
        return np.asarray(np.bincount(jobs.frontend[came], work, minlength=frontends), np.float64)

    def _listed_sizes(self) -> FloatArray:
        """(n,) least work of each listed job, in mean jobs."""
        return self.arriving.size

    def _fill(self) -> None:
        super()._fill()
        backends = self.start.size
        self.clocks = Clocks(*(np.zeros(backends) for _ in range(3)))
        self.race = tournament(backends)
        for backend in np.flatnonzero(self.start).tolist():
            first = self.jobs.start[backend]
            sizes = sizes_of(self.prepared.system.sizes, self.at_start, int(self.start[backend]))
            self.jobs.key[first : first + sizes.size] = sizes
            for index in range(min(sizes.size, int(self.system.places[backend]))):
                sift_up(self.jobs, first, index)
            reschedule(self.view, self.system, self.jobs, self.clocks, self.race, backend)

    def _set_rates(self, backend: int) -> None:
        bring_up(self.clocks, backend, self.gauge[counters.CLOCK])
        super()._set_rates(backend)
        reschedule(self.view, self.system, self.jobs, self.clocks, self.race, backend)


class ShareEngine(ListEngine):
    """Engine of jobs that stay until they are done, and are sent on at once."""

    memory: Memory | None = None

    def advance_blocks(self, blocks: Blocks, last: int) -> None:
        if self.upcoming:  # as `TrackEngine`
            super().advance_blocks(blocks, last)
        else:
            self._finish(lambda: self._share(blocks, last))

    def _kernel(self, until: float) -> int:
        return self._share(unread(until), 1)

    def _share(self, blocks: Blocks, last: int) -> int:
        return share(
            self.choose,
            self.observe,
            self.view,
            self.system,
            self.streams,
            self.jobs,
            self.clocks,
            self.race,
            self.arriving,
            self.memory,
            self.count,
            self.gauge,
            self.histogram,
            blocks,
            last,
            self.policy.needs_latency,
        )


def _listed(run: RoutingRun) -> Arriving:
    """Jobs of one replication, of a trace or drawn; shared by policies, so read-only."""
    prepared, settings = run.prepared, run.settings
    system, trace = prepared.system, prepared.trace
    key = settings.seed, run.replication, settings.horizon
    if trace is None:
        return prepared.jobs.get(key, lambda: arrival_list.sampled(system, *key))
    return prepared.jobs.get(key, lambda: arrival_list.replayed(system, trace, *key))
