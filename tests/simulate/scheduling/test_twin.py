"""Every state of every kernel and policy is one that the rules allow, event for event.

The twin, in naive_cluster, knows the same arrivals and completions, as it reads copies of the same
streams, and follows all outcomes of a policy's draws.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from isocline.model.cluster import Cluster, ExplicitTasks, Rates
from isocline.model.graph import CompatibilityGraph
from isocline.policies.parse import scheduling_policy as parse
from isocline.policies.scheduling.state.columns import IDLE, LEVEL, RUNNING, SERVING
from isocline.policies.scheduling.state.local_load import FACTS, LOAD, SINCE
from isocline.policies.scheduling.state.tasks import (
    BORN,
    CAPACITY,
    HEAD,
    HIGH,
    LOW,
    SIZE,
    START,
    WAITS,
)
from isocline.randomness.draws import bits, stream, uniform
from isocline.randomness.exponential import exponential
from isocline.simulate.common.kernels.alias_tables import BITS, alias, column_of
from isocline.simulate.common.random_streams import ARRIVALS, EVENTS, LEAVING, SIZES, random_stream
from isocline.simulate.common.replication import Run
from isocline.simulate.common.run_settings import Clock
from isocline.simulate.scheduling.engines import (
    WORKS,
    ChainEngine,
    EventEngine,
    SlottedEngine,
    engine_for,
)
from isocline.simulate.scheduling.prepare import prepare_cluster
from isocline.simulate.scheduling.run_settings import ClusterRunSettings, Level
from tests.simulate.scheduling.naive_cluster import (
    Delay,
    Fifo,
    Late,
    LocalFirst,
    LocalOnly,
    MaxWeight,
    Pandas,
    Policy,
    Priced,
    RandomLocal,
    Serving,
    State,
    Task,
    World,
)

TYPES = [(0, 1), (1, 2), (2, 3), (0, 3), (0,), (1, 2, 3)]
RATES = np.array([0.5, 0.3, 0.4, 0.3, 1.2, 0.3])
RACKS = (0, 0, 1, 1)
SEED = 5


def world_of(text: str, racks: bool, level: str) -> tuple[World, int]:
    """The twin's world, and how many queues it has."""
    name, _, option = text.partition(":")
    twins: dict[str, tuple[Policy, int]] = {
        "local_first": (LocalFirst("waiting" not in option), 4),
        "jsq_maxweight": (MaxWeight("waiting" not in option), 5),
        "balanced_pandas": (Pandas(racks), 12 if racks else 8),
        "fifo": (Fifo(), 5),
        "random_local": (RandomLocal(), 4),
        "jsq_local_only": (LocalOnly(), 4),
        "delay_scheduling": (Delay(0.6), 1),
        "late_binding": (Late(50.0), 1),
        "priced_help": (Priced(1000.0), 1),
    }
    policy, queues = twins[name]
    by_data = level == "data" or name == "fifo" or not policy.binds
    rate = (1.0, 0.75, 0.5) if racks else (1.0, 0.5, 0.5)
    return World(list(RACKS), rate, racks, by_data, policy), queues


def engine_of(text: str, racks: bool, level: Level, clock: Clock) -> Any:
    graph = CompatibilityGraph.from_neighbours(4, TYPES)
    rates = Rates(1.0, 0.5, 0.75 if racks else None)
    cluster = Cluster(
        tuple("abcd"), np.array(RACKS), ("p", "q"), rates, ExplicitTasks(graph, RATES)
    )
    run = ClusterRunSettings(100.0, seed=SEED, clock=clock, level=level)
    return engine_for(Run(prepare_cluster(cluster), parse(text), run))


def first_state(world: World, queues: int) -> State:
    loads = ((1.0, 0.0, False),) * 4 if isinstance(world.policy, Late) else None
    return State(((),) * queues, (None,) * 4, loads)


def seen(world: World, state: State) -> Any:
    """What the twin shows: per queue, or per server's list, its tasks; and who runs what."""
    lines = state.waiting
    if not world.policy.binds:
        lines = tuple(world.line(state, m)[1] for m in range(4))
    remembered = tuple((round(load, 12), since) for load, since, _ in state.hidden or ())
    return lines, state.serving, remembered


def shown(engine: Any, queues: int) -> Any:
    """The same of the engine."""
    columns, tasks, lists = engine.view.columns, engine.view.tasks, engine.view.lists

    def task(number: int) -> Task:
        local = tasks.holders[tasks.fact[number, LOW] : tasks.fact[number, HIGH]]
        return float(tasks.time[number, BORN]), tuple(local.tolist())

    def entries(queue: int) -> Iterator[int]:
        start, room, head, size = (int(lists.ring[queue, i]) for i in (START, CAPACITY, HEAD, SIZE))
        for i in range(size):
            yield int(lists.entry[start + (head + i) % room])

    lines = tuple(
        tuple(task(t) for t in entries(q) if tasks.fact[t, WAITS]) for q in range(max(queues, 4))
    )
    serving = tuple(
        None
        if columns[m, SERVING] == IDLE
        else Serving(
            task(int(columns[m, RUNNING])), int(columns[m, SERVING]), int(columns[m, LEVEL])
        )
        for m in range(4)
    )
    memory: Any = ()
    if engine.policy.remembers:
        memory = engine.view.memory.reshape(-1, FACTS)[:, [LOAD, SINCE]]
    return lines, serving, tuple((round(float(load), 12), float(since)) for load, since in memory)


def keep_shown(world: World, states: set[State], engine: Any, queues: int) -> set[State]:
    """Those of the possible states that the engine is in."""
    actual = shown(engine, queues)
    kept = {state for state in states if seen(world, state) == actual}
    assert kept, (actual, [seen(world, state) for state in states][:3])
    return kept


POLICIES = [
    "local_first",
    "local_first:count=waiting",
    "late_binding",
    "priced_help",
    "jsq_maxweight",
    "jsq_maxweight:count=waiting",
    "balanced_pandas",
    "delay_scheduling:wait=0.6",
    "fifo",
    "jsq_local_only",
    "random_local",
]


def elapse(world: World, state: State, now: float, until: float) -> set[State]:
    """What a policy that watches the clock may do of itself."""
    if not isinstance(world.policy, Delay):
        return {state}
    found, left = set(), {(state, now)}
    while left:
        one, time = left.pop()
        due = world.policy.next_due(world, one, time)
        if due > until:
            found.add(one)
        else:
            left |= {(after, due) for after in world.settled({one}, (), due)}
    return found


@pytest.mark.parametrize("racks", [False, True])
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("level", ["data", "queue"])
def test_the_jump_chain_does_what_the_rules_allow(policy: str, racks: bool, level: Level) -> None:
    engine = engine_of(policy, racks, level, "continuous")
    assert isinstance(engine, ChainEngine)
    world, queues = world_of(policy, racks, level)
    events = stream(SEED, 0, EVENTS)
    types = alias(RATES)
    s0, s1, pause = exponential(events[0], events[1])
    now = 0.0
    tick = pause / engine.speed
    states = {first_state(world, queues)}
    for _ in range(400):
        states = {one for state in states for one in elapse(world, state, now, tick)}
        now = tick
        events[:] = s0, s1
        event = int(bits(events))
        if event >> BITS < engine.arriving:
            local = TYPES[column_of(types, bits(events) >> np.uint64(64 - BITS))]
            came = {one for state in states for one in world.arrivals(state, (now, local))}
            states = world.settled(came, local, now)
        else:
            product = (event & ((1 << BITS) - 1)) * 4
            server, fraction = product >> BITS, product & ((1 << BITS) - 1)
            states = {
                one
                for state in states
                for one in possible_end(world, state, server, fraction / 2**BITS, now)
            }
        s0, s1, pause = exponential(events[0], events[1])
        tick = now + pause * (1.0 / engine.speed)
        middle = (now + tick) / 2
        states = {one for state in states for one in elapse(world, state, now, middle)}
        engine.advance(middle)
        now = middle
        states = keep_shown(world, states, engine, queues)


def possible_end(
    world: World, state: State, server: int, fraction: float, now: float
) -> Iterator[State]:
    running = state.serving[server]
    if running is None or fraction >= world.rate[running.level] / world.rate[0]:
        yield state
        return
    for after, _ in world.starts(world.ended(state, server), server, now):
        yield after


@pytest.mark.parametrize("racks", [False, True])
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("level", ["data", "queue"])
def test_the_slots_are_those_of_section_2(policy: str, racks: bool, level: Level) -> None:
    engine = engine_of(policy, racks, level, "slotted")
    assert isinstance(engine, SlottedEngine)
    world, queues = world_of(policy, racks, level)
    world.slotted = True
    events, leaving = stream(SEED, 0, EVENTS), stream(SEED, 0, LEAVING)
    types = alias(RATES)
    numbers = random_stream(SEED, 0, ARRIVALS).poisson(engine.prepared.cluster.arrival_rate, WORKS)
    states = {first_state(world, queues)}
    for slot in range(150):
        for _ in range(numbers[slot]):
            local = TYPES[column_of(types, bits(events) >> np.uint64(64 - BITS))]
            task = (float(slot), local)
            states = {one for state in states for one in world.arrivals(state, task)}
        states = {one for state in states for one in world.scheduled(state, float(slot))}
        ends = {completed(world, state, leaving) for state in states}
        engine.advance(slot + 1.0)
        states = keep_shown(world, {state for state, _ in ends}, engine, queues)
        leaving = np.array(engine.leaving)
        assert {rest for state, rest in ends if state in states} >= {tuple(leaving.tolist())}


def completed(world: World, state: State, leaving: Any) -> tuple[State, tuple[int, ...]]:
    """After the slot's end: at rate 1 all do, else by one draw each, in the order of servers."""
    rest = leaving.copy()
    for server, running in enumerate(state.serving):
        if running is None:
            continue
        if running.level > 0 and uniform(rest) >= world.rate[running.level]:
            continue
        state = world.ended(state, server)
    return state, tuple(rest.tolist())


# When a task starts because it has waited long enough is left to the jump chain's test.
@pytest.mark.parametrize("policy", [p for p in POLICIES if not p.startswith("delay")])
def test_service_times_follow_the_list(policy: str) -> None:
    """The timeline kernel: the same rules, with a service time for each task."""
    graph = CompatibilityGraph.from_neighbours(4, TYPES)
    tasks = ExplicitTasks(graph, RATES)
    cluster = Cluster(tuple("abcd"), np.array(RACKS), ("p", "q"), Rates(1.0, 0.5, 0.75), tasks)
    run = ClusterRunSettings(100.0, seed=SEED)
    engine = EventEngine(Run(prepare_cluster(cluster), parse(policy), run))
    world, queues = world_of(policy, True, "data")
    works = random_stream(SEED, 0, SIZES).standard_exponential(WORKS)
    events = stream(SEED, 0, EVENTS)
    types = alias(RATES)
    states = {first_state(world, queues)}
    work: dict[Task, float] = {}
    ends: dict[int, float] = {}
    s0, s1, pause = exponential(events[0], events[1])
    arrival = pause / RATES.sum()
    for _ in range(300):
        end = min(ends.values(), default=np.inf)
        now = min(arrival, end)
        if end <= arrival:
            server = min(ends, key=lambda m: ends[m])
            del ends[server]
            states = {
                one
                for state in states
                for one, _ in world.starts(world.ended(state, server), server, now)
            }
        else:
            events[:] = s0, s1
            local = TYPES[column_of(types, bits(events) >> np.uint64(64 - BITS))]
            work[now, local] = works[len(work)]
            came = {one for state in states for one in world.arrivals(state, (now, local))}
            states = world.settled(came, local, now)
            s0, s1, pause = exponential(events[0], events[1])
            arrival = now + pause * (1.0 / RATES.sum())
        engine.advance(np.nextafter(now, np.inf) + 1e-12)
        states = keep_shown(world, states, engine, queues)
        (serving,) = {state.serving for state in states}
        for m, running in enumerate(serving):
            if running is not None and m not in ends:
                ends[m] = now + work[running.task] / world.rate[running.level]
