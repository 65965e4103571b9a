"""Models at backends: simulator and live core decide alike on the same arrivals and ends."""

import heapq
import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from isocline.gateway.core.actions import Action, Send
from isocline.gateway.core.build import core_of
from isocline.gateway.core.model_catalogue import KnownModel
from isocline.gateway.core.model_memory import ModelCall
from isocline.gateway.core.residency import ResidencySetting
from isocline.model.curves import HyperbolicCurve, KneeCurve
from isocline.model.fleet import RoutingSystem
from isocline.model.residency import Model
from isocline.policies.parse import parse
from isocline.simulate.common.replication import Run
from isocline.simulate.routing.engine_choice import engine_for
from isocline.simulate.routing.prepare import prepare
from isocline.simulate.routing.residency_engine import ResidencyEngine
from isocline.simulate.routing.run_settings import RunSettings
from tests.builders import fleet
from tests.gateway.core.residencies import asks
from tests.simulate.routing.naive_residency import (
    Models,
    Request,
    Resident,
    Server,
    residency,
)

# No round numbers: unlike backends must not tie.
CURVES = (
    HyperbolicCurve(14.0, 3.1),
    KneeCurve(9.3713, 2.1719, 2.0),
    HyperbolicCurve(5.0, 1.3),
    HyperbolicCurve(7.77, 2.3),
)
SIZES = (1.0, 0.5, 1.5, 1.0) * 4
LOADS = 0.2, 0.35, 0.13, 0.11, 0.5, 0.27, 0.3, 0.4, 0.17, 0.22, 0.31, 0.19, 0.41, 0.23, 0.29, 0.37
MEMORIES = 4.0, 3.5, 3.0, 4.5
PINNED = ("m3",), (), (), ()


def world(rate: float) -> RoutingSystem:
    system = fleet(CURVES, [rate])
    models = [
        Model(f"m{i}", size, load, weight=1.0 / (i + 1))
        for i, (size, load) in enumerate(zip(SIZES, LOADS, strict=True))
    ]
    backends = [
        replace(backend, memory=memory, resident=pinned)
        for backend, memory, pinned in zip(system.backends, MEMORIES, PINNED, strict=True)
    ]
    return replace(system, backends=tuple(backends), models=tuple(models))


def simulated(system: RoutingSystem, policy: str, seed: int) -> ResidencyEngine:
    prepared = replace(prepare(system), eviction="price")
    run = Run(prepared, parse(policy), RunSettings(120.0, seed=seed, listed=True))
    engine = engine_for(run)
    assert isinstance(engine, ResidencyEngine)
    engine.drain()
    return engine


def ends_of(system: RoutingSystem, engine: ResidencyEngine) -> dict[int, float]:
    """When each job ends, s, by the slow twin, which sends jobs where the engine did."""
    catalogue, jobs = system.catalogue, engine.arriving
    rows = zip(jobs.time.tolist(), jobs.size.tolist(), engine.memory.model.tolist(), strict=True)
    servers = [
        Server(
            curve.rate(np.arange(4096.0)).tolist().__getitem__,
            math.inf if backend.memory is None else backend.memory,
            {catalogue.number[name]: Resident(pinned=True) for name in backend.resident},
        )
        for curve, backend in zip(system.curves, system.backends, strict=True)
    ]
    chosen: Iterator[int] = iter(engine.memory.edge.tolist())
    twin = residency(
        [Request(*row) for row in rows],
        Models(catalogue.sizes.tolist(), catalogue.loads.tolist(), True),
        servers,
        lambda _works, _jobs: next(chosen),
    )
    assert twin.loads == engine.memory.loads.tolist()
    return {number: jobs.time[number] + took for number, took in twin.latencies.items()}


class Live:
    """The live core before servers that load in the time that it takes, and drop at once."""

    def __init__(self, system: RoutingSystem, policy: str) -> None:
        entries = [
            KnownModel(size, load, f"m{i}".__eq__)
            for i, (size, load) in enumerate(zip(SIZES, LOADS, strict=True))
        ]
        setting = ResidencySetting(
            entries,
            [backend.memory for backend in system.backends],
            [backend.resident for backend in system.backends],
            by_call=True,
            unloads=True,
        )
        self.core = core_of(system, parse(policy), residency=setting)
        self.where: dict[int, int] = {}
        self.loads = 0
        self.drops = 0
        self._calls: list[tuple[float, int, ModelCall]] = []

    def pass_time(self, until: float) -> None:
        """Let the loads end that end by then."""
        while self._calls and self._calls[0][0] <= until:
            now, backend, call = heapq.heappop(self._calls)
            self.note(self.core.call_ended(backend, call, now), now)

    def note(self, actions: list[Action], now: float) -> None:
        for action in actions:
            if isinstance(action, Send):
                self.where[action.request - 1] = action.backend
        for backend, call in self.core.take_calls(now):
            if call.loads:
                self.loads += 1
                heapq.heappush(self._calls, (now + LOADS[int(call.model[1:])], backend, call))
            else:
                self.drops += 1
                self.note(self.core.call_ended(backend, call, now), now)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(
    "policy", ["gmsr_secant:ties=first", "gmsr:ties=first", "least_expected_latency:ties=first"]
)
def test_simulator_and_live_core_decide_alike(policy: str, seed: int) -> None:
    system = world(2.5)
    engine = simulated(system, policy, seed)
    memory = engine.memory
    ends = ends_of(system, engine)
    live = Live(system, policy)
    events = [(time, 1, number) for number, time in enumerate(engine.arriving.time.tolist())]
    events += [(time, 0, number) for number, time in ends.items()]
    for now, comes, number in sorted(events):
        live.pass_time(now)
        if comes:
            live.note([asks(live.core, f"m{memory.model[number]}", now)], now)
        else:
            live.note(live.core.finished(number + 1, now), now)
    assert [live.where[number] for number in range(len(ends))] == memory.edge.tolist()
    assert live.loads == memory.loads.sum() > 20
    assert live.drops == memory.evictions.sum() > 10
    assert memory.loads.max() == 1  # what no server does was not called for
