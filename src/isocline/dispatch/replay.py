"""Replay of a simulation through the live core: the same events must give the same decisions.

    replay(cluster, "late_binding", decisions=100_000).agreed

The simulator first runs with a policy that records its decisions; the core is then driven by the
same arrivals and ends of services. Events of the simulator's chain do not depend on its state, so
they are drawn in advance from the same random streams. A decision is a server, a task and the time
at which the server starts the task; decisions must be equal to the last bit.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple, final

import numpy as np
import numpy.typing as npt
from numba import uint64

from isocline.compilation.compiled import kernel
from isocline.dispatch.actions import Action, Start
from isocline.dispatch.core.core import Core
from isocline.dispatch.decision_recorder import FACTS, DecisionRecorder
from isocline.dispatch.rules import Rules
from isocline.errors import UsageError
from isocline.model.cluster import Cluster
from isocline.model.traffic import ExponentialSizes
from isocline.policies.parse import scheduling_policy
from isocline.policies.scheduling.contract import LOCAL, SchedulingPolicy
from isocline.randomness.draws import step, stream
from isocline.randomness.exponential import exponential
from isocline.simulate.common.decision_diff import DecisionDiff
from isocline.simulate.common.kernels.alias_tables import BITS
from isocline.simulate.common.kernels.counters import REST
from isocline.simulate.common.random_streams import ARRIVALS, EVENTS, POLICY, random_stream
from isocline.simulate.common.replication import Run
from isocline.simulate.scheduling.engines import ChainEngine
from isocline.simulate.scheduling.kernels.holder_sampler import (
    BUFFERED,
    LISTED,
    Sampler,
    draw_servers,
    type_of,
)
from isocline.simulate.scheduling.prepare import PreparedCluster, prepare_cluster
from isocline.simulate.scheduling.run_settings import ClusterRunSettings

# Events drawn at a time.
_CHUNK = 1 << 14


def replay(
    cluster: Cluster,
    policy: str | SchedulingPolicy = "local_first",
    *,
    decisions: int = 100_000,
    seed: int = 0,
) -> DecisionDiff:
    """Compare the core's decisions with those of a simulated run from an empty system.

    Args:
        cluster: Cluster with exponential services.
        policy: Any scheduling policy.
        decisions: Number of decisions to compare.
        seed: Seed of the simulation.

    Raises:
        PolicyError: The policy is unknown.
        UsageError: Services are not exponential, or `decisions` is below 1.
    """
    if decisions < 1:
        raise UsageError(f"replay: {decisions} decisions; give 1 or more")
    if not isinstance(cluster.service, ExponentialSizes):
        raise UsageError("replay: services are not exponential; give a file in which they are")
    chosen = scheduling_policy(policy)
    prepared = prepare_cluster(cluster)
    simulated = recorded(prepared, chosen, decisions, seed)
    live = driven(prepared, chosen, decisions, seed)
    assert simulated.shape == live.shape == (decisions, FACTS)
    different = np.flatnonzero((simulated != live).any(axis=1))
    first = int(different[0]) if different.size else None
    return DecisionDiff("near-data", chosen.name, decisions, first)


def recorded(
    prepared: PreparedCluster, policy: SchedulingPolicy, decisions: int, seed: int
) -> npt.NDArray[np.float64]:
    """Decisions of the simulator, (decisions, FACTS)."""
    recording = DecisionRecorder(policy, decisions)
    engine = _engine(prepared, recording, decisions, seed)
    # In steps, as decisions of an unstable policy lag behind the arrivals.
    until = 0.0
    while (found := recording.decisions(engine.view)).shape[0] < decisions:
        until += 1.1 * (decisions + 100) / prepared.cluster.arrival_rate
        engine.advance(until)
    return found


def driven(
    prepared: PreparedCluster, policy: SchedulingPolicy, decisions: int, seed: int
) -> npt.NDArray[np.float64]:
    """Decisions of the core for the same events, (decisions, FACTS)."""
    run = _LiveRun(prepared, policy, seed)
    for event in events(prepared, seed):
        run.handle(event)
        if len(run.decisions) >= decisions:
            break
    return np.array(run.decisions[:decisions])


def _engine(
    prepared: PreparedCluster, policy: SchedulingPolicy, decisions: int, seed: int
) -> ChainEngine:
    horizon = (decisions + 100) / prepared.cluster.arrival_rate
    # With percentiles, so that the kernel records times.
    return ChainEngine(Run(prepared, policy, ClusterRunSettings(horizon, seed=seed)))


class Event(NamedTuple):
    """One tick of the chain."""

    gap: float  # s since the previous event
    holders: list[int]  # holders of a new task's data; empty if a server ticks
    server: int
    coin: int  # the server's task ends if this is below its probability, in units of 2^-BITS


def events(prepared: PreparedCluster, seed: int) -> Iterator[Event]:
    """Infinite stream of the kernel's events."""
    engine = _engine(prepared, scheduling_policy("fifo"), 1, seed)
    sampler, placing = engine.sampler, random_stream(seed, 0, ARRIVALS)
    widest = int(np.diff(sampler.first).max()) if sampler.kind == LISTED else sampler.replicas
    gap, who = np.empty(_CHUNK), np.empty((_CHUNK, 2), np.int64)
    holders, state = np.empty((_CHUNK, widest), np.int32), stream(seed, 0, EVENTS)
    while True:
        if sampler.kind == BUFFERED and sampler.next_row[0] == sampler.rows.shape[0]:
            sampler.rows[:] = prepared.draw(placing, sampler.rows.shape[0])
            sampler.next_row[0] = 0
        drawn = _draw(
            sampler, prepared.holders, engine.arriving, 1.0 / engine.speed, state, gap, who, holders
        )
        for i in range(drawn):
            server, coin = who[i].tolist()
            local = holders[i, :coin].tolist() if server < 0 else []
            yield Event(float(gap[i]), local, server, coin)


@kernel
def _draw(
    sampler: Sampler,
    table: Any,
    arriving: int,
    mean: float,
    state: Any,
    gap: Any,
    who: Any,
    holders: Any,
) -> int:
    """Draw the next events into the arrays, like `run_chain`; returns their number."""
    s0, s1 = state[0], state[1]
    servers = uint64(sampler.servers)
    drawn = 0
    while drawn < gap.size:
        if sampler.kind == BUFFERED and sampler.next_row[0] == sampler.rows.shape[0]:
            break
        s0, s1, pause = exponential(s0, s1)
        gap[drawn] = pause * mean
        s0, s1, event = step(s0, s1)
        if event >> uint64(BITS) >= uint64(arriving):
            product = (event & REST) * servers
            who[drawn, 0] = product >> uint64(BITS)
            who[drawn, 1] = product & uint64((1 << BITS) - 1)
        else:
            who[drawn, 0] = -1
            who[drawn, 1] = sampler.replicas
            if sampler.kind == LISTED:
                s0, s1, kind = type_of(sampler, s0, s1)
                low, high = sampler.first[kind], sampler.first[kind + 1]
                who[drawn, 1] = high - low
                for i in range(high - low):
                    holders[drawn, i] = table[low + i]
            elif sampler.kind == BUFFERED:
                for i in range(sampler.replicas):
                    holders[drawn, i] = sampler.rows[sampler.next_row[0], i]
                sampler.next_row[0] += 1
            else:
                s0, s1 = draw_servers(sampler, s0, s1, holders[drawn])
        drawn += 1
    state[0], state[1] = s0, s1
    return drawn


@final
class _LiveRun:
    """Core with simulated servers and a clock."""

    def __init__(self, prepared: PreparedCluster, policy: SchedulingPolicy, seed: int):
        setting, cluster = prepared.setting, prepared.cluster
        rules = Rules(measure=False, ahead_gap=math.inf, straggler=math.inf)
        self.core = Core(
            setting.rack.tolist(),
            cluster.rates,
            policy,
            stream(seed, 0, POLICY),
            rules,
            shuffled=setting.shuffled,
        )
        self.decisions: list[tuple[int, float, float]] = []
        self._now = 0.0
        self._born: list[float] = []  # submission time of each task, s
        self._runs: dict[int, Start] = {}
        local = float(setting.rate[LOCAL])
        self._accept = np.round(setting.rate / local * 2.0**BITS).astype(np.uint64).tolist()

    def handle(self, event: Event) -> None:
        tick = self._now + event.gap
        while (due := self.core.next_deadline()) <= tick:
            self._now = max(due, self._now)
            self._record(self.core.tick(self._now))
        self._now = tick
        if event.holders:
            self._born.append(tick)
            self._record(self.core.submitted(len(self._born) - 1, event.holders, tick))
            return
        runs = self._runs.get(event.server)
        if runs is not None and event.coin < self._accept[runs.level]:
            del self._runs[event.server]
            self._record(self.core.finished(runs.task, event.server, tick, 0.0))

    def _record(self, actions: list[Action]) -> None:
        for action in actions:
            assert isinstance(action, Start)
            self._runs[action.server] = action
            self.decisions.append((action.server, self._now, self._born[action.task]))
