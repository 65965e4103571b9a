"""Replay of a simulation through the live core: the same events must give the same decisions.

    replay(system, "gmsr", decisions=100_000).agreed

First the simulator runs with a policy that records each edge; then the core is driven by the same
arrivals and departures. The events of the simulator's uniformised chain do not depend on its
state (see `simulate/routing/kernels/tracked_chain`), so they are drawn in advance from the same
streams. The core makes exactly the kernel's decisions: policy, counts and clock are compared
to the bit.
"""

from collections.abc import Callable, Hashable, Iterable
from typing import Any, NamedTuple, Protocol, final

import numpy as np
import numpy.typing as npt
from numba import uint64

from isocline.compilation.compiled import kernel
from isocline.errors import UsageError
from isocline.gateway.core.actions import Send
from isocline.gateway.core.core import Core
from isocline.gateway.decision_recorder import DecisionRecorder
from isocline.model.fleet import RoutingSystem
from isocline.model.serving_settings import Rules
from isocline.policies.parse import parse
from isocline.policies.routing.contract import RoutingPolicy
from isocline.randomness.draws import Stream, below, step, stream, unit
from isocline.randomness.exponential import exponential
from isocline.simulate.common.decision_diff import DecisionDiff
from isocline.simulate.common.kernels.alias_tables import BITS, column_of
from isocline.simulate.common.kernels.counters import REST, System
from isocline.simulate.common.random_streams import EVENTS, LEAVING, POLICY
from isocline.simulate.common.replication import Run
from isocline.simulate.routing.engines import TrackEngine
from isocline.simulate.routing.prepare import Prepared, prepare
from isocline.simulate.routing.run_settings import RunSettings

# Events drawn at once.
_CHUNK = 1 << 16

Driver = Callable[[Prepared, RoutingPolicy, int, int], npt.NDArray[np.int64]]
"""Edges by which a policy sends so many jobs of a run with this seed, see `driven`."""


def replay(
    system: RoutingSystem,
    policy: str | RoutingPolicy = "gmsr",
    *,
    decisions: int = 100_000,
    seed: int = 0,
    through: Driver | None = None,
) -> DecisionDiff:
    """Compare the core's decisions with those of a simulated run from empty.

    Args:
        system: Its arrivals must be Poisson, its sizes exponential.
        policy: One that holds no jobs.
        decisions: Number of decisions to compare.
        seed: Seed of the simulation.
        through: What decides in place of the core.

    Raises:
        PolicyError: An unknown policy.
        UsageError: A system or policy that the compared kernel does not simulate, or a number of
            decisions below 1.
        InfeasibleError: The load exceeds what the backends can serve.
    """
    if decisions < 1:
        raise UsageError(f"replay: {decisions} decisions; give 1 or more")
    chosen = parse(policy) if isinstance(policy, str) else policy
    prepared = prepare(system)
    if chosen.may_hold or not prepared.memoryless:
        what = f"policy {chosen.name} holds jobs" if chosen.may_hold else "not all is memoryless"
        raise UsageError(
            f"replay: {what}; give a policy that does not, Poisson arrivals and exponential sizes"
        )
    simulated = recorded(prepared, chosen, decisions, seed)
    live = (through or driven)(prepared, chosen, decisions, seed)
    assert simulated.size == live.size == decisions
    different = np.flatnonzero(simulated != live)
    first = int(different[0]) if different.size else None
    return DecisionDiff("routing", chosen.name, decisions, first)


def recorded(
    prepared: Prepared, policy: RoutingPolicy, decisions: int, seed: int
) -> npt.NDArray[np.int64]:
    """Edges that the simulator's policy returned, (decisions,)."""
    recording = DecisionRecorder(policy, decisions)
    # One block, as the clock is set at the end of each; long enough, and no matter how long.
    horizon = 1.5 * (decisions + 100) / float(prepared.system.rates.sum())
    engine = TrackEngine(Run(prepared, recording, RunSettings(horizon, seed=seed)))
    engine.advance(horizon)
    return recording.edges(engine.view)


def driven(
    prepared: Prepared, policy: RoutingPolicy, decisions: int, seed: int
) -> npt.NDArray[np.int64]:
    """Edges that the core returned for the same events, (decisions,)."""
    rules = Rules(stop_at_peak=False)  # the simulator's frontends do not hold
    core = Core(prepared.setting, policy, policy_stream(seed), rules)
    return driven_by(_OfCore(core), prepared, decisions, seed)


def policy_stream(seed: int) -> Stream:
    """Stream of the draws of a simulated run's policy."""
    return stream(seed, 0, POLICY)


class Live(Protocol):
    """Whatever decides live, driven by the events of a run."""

    def arrived(self, now: float, frontend: int, /) -> tuple[int, Hashable]:
        """Return the backend of a job that arrives at `now`, s, and a key of the job."""
        ...

    def finished(self, job: Hashable, now: float, /) -> None:
        """Take note that a job is done at `now`, s."""
        ...


def driven_by(live: Live, prepared: Prepared, decisions: int, seed: int) -> npt.NDArray[np.int64]:
    """Edges by which jobs were sent for the same events, (decisions,)."""
    run = _LiveRun(prepared, live, seed)
    for event in events(prepared.tables(2), seed):
        run.handle(event)
        if len(run.edges) == decisions:
            break
    return np.array(run.edges)


class Event(NamedTuple):
    """One tick of the chain."""

    gap: float  # s since the last
    who: int  # a frontend where a job arrives; -1 - b where one may leave backend b
    coin: float  # uniform on [0, 1), for that


def events(system: System, seed: int) -> Iterable[Event]:
    """Events of the kernel, without end."""
    state = stream(seed, 0, EVENTS)
    gap, who, coin = np.empty(_CHUNK), np.empty(_CHUNK, np.int64), np.empty(_CHUNK)
    while True:
        _draw(system, state, gap, who, coin)
        yield from map(Event, gap.tolist(), who.tolist(), coin.tolist())


@kernel
def _draw(system: System, state: Any, gap: Any, who: Any, coin: Any) -> None:
    """Fill the arrays with the next events, draw by draw as `track` does."""
    s0, s1 = state[0], state[1]
    mean = 1.0 / system.speed
    for i in range(gap.size):
        s0, s1, pause = exponential(s0, s1)
        gap[i] = pause * mean
        s0, s1, event = step(s0, s1)
        if event >> uint64(BITS) < system.arriving:
            who[i] = column_of(system.sources, event & REST)
        else:
            who[i] = -1 - column_of(system.sinks, event & REST)
            s0, s1, thinning = step(s0, s1)
            coin[i] = unit(thinning)
    state[0], state[1] = s0, s1


@final
class _OfCore(Live):
    """A bare core."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def arrived(self, now: float, frontend: int) -> tuple[int, Hashable]:
        action = self._core.arrived(now, frontend)
        assert isinstance(action, Send)
        return action.backend, action.request

    def finished(self, job: Hashable, now: float) -> None:
        assert isinstance(job, int)
        self._core.finished(job, now)


@final
class _LiveRun:
    """What decides live, backends and clock."""

    def __init__(self, prepared: Prepared, live: Live, seed: int):
        self.live = live
        self.now = 0.0
        self.edges: list[int] = []
        self._first = prepared.system.graph.first.tolist()
        self._leaving = stream(seed, 0, LEAVING)
        self._jobs: list[list[Hashable]] = [[] for _ in prepared.row]
        self._row = prepared.row.tolist()
        tables = prepared.tables(2)
        self._peak = tables.peak.tolist()
        self._prepared = prepared
        self._rate = prepared.rates(64)

    def handle(self, event: Event) -> None:
        self.now += event.gap
        if event.who >= 0:
            self._arrive(event.who)
        else:
            self._leave(-1 - event.who, event.coin)

    def _arrive(self, frontend: int) -> None:
        backend, job = self.live.arrived(self.now, frontend)
        graph = self._prepared.system.graph
        low, high = self._first[frontend], self._first[frontend + 1]
        self.edges.append(low + int(np.searchsorted(graph.sink[low:high], backend)))
        jobs = self._jobs[backend]
        jobs.append(job)
        if len(jobs) >= self._rate.shape[1]:
            self._rate = self._prepared.rates(2 * self._rate.shape[1])

    def _leave(self, backend: int, coin: float) -> None:
        jobs, row = self._jobs[backend], self._row[backend]
        if coin * self._peak[row] >= self._rate[row, len(jobs)]:
            return
        index = below(self._leaving, len(jobs))
        job = jobs[index]
        jobs[index] = jobs[-1]
        jobs.pop()
        self.live.finished(job, self.now)
