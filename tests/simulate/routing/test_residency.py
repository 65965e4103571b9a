"""Backends that hold models: a slow twin, small cases, what theory says, and what is refused."""

import io
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from isocline import simulate
from isocline.errors import UsageError
from isocline.learn import Learning
from isocline.model.curves import Curve, HyperbolicCurve, KneeCurve
from isocline.model.fleet import RoutingSystem
from isocline.model.residency import Model
from isocline.model.traffic import ExponentialSizes, LognormalSizes, Trace
from isocline.policies.parse import parse
from isocline.policies.routing.contract import RoutingPolicy
from isocline.report.tables.comparison import comparison_report
from isocline.simulate.common.kernels import counters
from isocline.simulate.common.replication import Run
from isocline.simulate.routing.engine_choice import engine_for
from isocline.simulate.routing.kernels.model_memory import ABSENT
from isocline.simulate.routing.options import Length, Options, experiment_of
from isocline.simulate.routing.prepare import Eviction, prepare
from isocline.simulate.routing.residency_engine import ResidencyEngine
from isocline.simulate.routing.run_settings import RunSettings
from tests.builders import fleet
from tests.simulate.routing.naive_residency import (
    Models,
    Request,
    Resident,
    Server,
    World,
    residency,
)

# No round numbers: unlike backends must not tie.
CURVES: tuple[Curve, ...] = (
    HyperbolicCurve(14.0, 3.1),
    KneeCurve(9.3713, 2.1719, 2.0),
    HyperbolicCurve(5.0, 1.3),
)
SIZES = 1.0, 2.0, 1.0, 0.5, 3.0, 0.5
LOADS = 0.2, 0.35, 0.0, 0.11, 0.5, 0.27


def world(
    memory: list[float | None], rate: float = 9.0, pinned: tuple[str, ...] = ()
) -> RoutingSystem:
    """Three unlike backends, and six models, the first ones most popular."""
    system = fleet(CURVES, [rate])
    models = tuple(
        Model(f"m{i}", size, load, weight=1.0 / (i + 1))
        for i, (size, load) in enumerate(zip(SIZES, LOADS, strict=True))
    )
    backends = tuple(
        replace(b, memory=m, resident=pinned if i == 0 else ())
        for i, (b, m) in enumerate(zip(system.backends, memory, strict=True))
    )
    return replace(system, backends=backends, models=models, sizes=LognormalSizes(1.3))


def engine_of(
    system: RoutingSystem, policy: RoutingPolicy, eviction: Eviction, seed: int = 3
) -> ResidencyEngine:
    prepared = replace(prepare(system), eviction=eviction)
    run = Run(prepared, policy, RunSettings(60.0, seed=seed, listed=True))
    engine = engine_for(run)
    assert isinstance(engine, ResidencyEngine)
    return engine


def twin_of(engine: ResidencyEngine, system: RoutingSystem, eviction: Eviction) -> World:
    """The slow twin's outcome on the same requests, routed by price."""
    catalogue = system.catalogue
    requests = [
        Request(*row)
        for row in zip(
            engine.arriving.time.tolist(),
            engine.arriving.size.tolist(),
            engine.memory.model.tolist(),
            strict=True,
        )
    ]

    def rate_of(curve: Curve) -> list[float]:
        return [float(value) for value in curve.rate(np.arange(4096.0))]

    tables = [rate_of(curve) for curve in system.curves]
    prices = [(1.0 / curve.marginal(np.arange(4096.0))).tolist() for curve in system.curves]
    servers = [
        Server(
            table.__getitem__,
            math.inf if backend.memory is None else backend.memory,
            {catalogue.number[name]: Resident(pinned=True) for name in backend.resident},
        )
        for table, backend in zip(tables, system.backends, strict=True)
    ]
    for server in servers:
        if math.isinf(server.memory):
            server.resident = {m: Resident(pinned=True) for m in range(len(SIZES))}

    def route(work: list[float], jobs: list[int]) -> int:
        costs = [prices[b][n] * w for b, (n, w) in enumerate(zip(jobs, work, strict=True))]
        return costs.index(min(costs))

    models = Models(catalogue.sizes.tolist(), catalogue.loads.tolist(), eviction == "price")
    return residency(requests, models, servers, route)


@pytest.mark.parametrize("eviction", ["price", "lru"])
@pytest.mark.parametrize(
    ("memory", "pinned"),
    [
        ([3.0, 3.5, 2.0], ()),
        ([2.0, 3.5, 0.0], ("m3",)),
        ([4.0, None, 1.0], ("m0", "m1")),
        ([8.0, 8.0, 8.0], ()),
    ],
)
def test_the_engine_is_its_slow_twin_bit_for_bit(
    memory: list[float | None], pinned: tuple[str, ...], eviction: Eviction
) -> None:
    system = world(memory, pinned=pinned)
    engine = engine_of(system, parse("gmsr:ties=first"), eviction)
    engine.drain()
    twin = twin_of(engine, system, eviction)
    assert engine.memory.loads.tolist() == twin.loads
    assert engine.memory.evictions.tolist() == twin.evicted
    assert engine.count[counters.COMPLETIONS] == len(twin.latencies) > 400
    assert max(twin.loads) > 0
    total = 0.0
    for latency in twin.latencies.values():  # in the order of their ends
        total += latency
    assert engine.gauge[counters.SOJOURN] == total


@settings(max_examples=20, deadline=None)
@given(
    memory=st.lists(st.sampled_from([1.0, 2.5, 4.0, 6.0]), min_size=3, max_size=3),
    policy=st.sampled_from(
        ["gmsr_secant", "model_affinity", "shuffle_of_k:k=2", "rendezvous", "jsq"]
    ),
    eviction=st.sampled_from(["price", "lru"]),
    seed=st.integers(0, 99),
)
def test_memory_is_never_exceeded_and_what_is_pinned_or_in_use_stays(
    memory: list[float], policy: str, eviction: Eviction, seed: int
) -> None:
    system = world([*memory], rate=3.0, pinned=("m3",))
    engine = engine_of(system, parse(policy), eviction, seed)
    sizes, pinned = system.catalogue.sizes, system.catalogue.number["m3"]
    for time in np.linspace(0.5, 59.5, 60):
        engine.advance(float(time))
        held = engine.memory.state != ABSENT
        taken = held @ sizes
        assert (taken <= np.array(memory) + 1e-9).all()
        np.testing.assert_allclose(engine.memory.free, np.array(memory) - taken, atol=1e-9)
        assert held[0, pinned]
        used = engine.memory.users.sum(axis=1)
        assert (used == engine.workload).all()  # every job asks for a model here
        idle = ((engine.memory.state == 1) & (engine.memory.users == 0)) @ sizes
        np.testing.assert_allclose(engine.memory.idle, idle, atol=1e-9)


def test_without_loads_figures_are_those_of_a_system_without_models() -> None:
    system = world([6.0, 6.0, 6.0])
    free = replace(system, models=tuple(replace(model, load=0.0) for model in system.models))
    plain = replace(
        system,
        models=(),
        backends=tuple(replace(backend, memory=None) for backend in system.backends),
    )
    one, other = (
        simulate(it, ["gmsr_secant", "jsq"], horizon=300.0, replications=2, common_arrivals=True)
        for it in (free, plain)
    )
    for mine, its in zip(one.policies, other.policies, strict=True):
        assert mine.mean_latency is not None
        assert its.mean_latency is not None
        assert mine.mean_latency.value == pytest.approx(its.mean_latency.value, rel=1e-12)
        assert mine.loads is not None
        assert its.loads is None


def test_a_load_takes_its_time_from_all_jobs_of_a_backend() -> None:
    """The load of the first job takes 3 s, in which the second comes, and neither goes on."""
    system = fleet([HyperbolicCurve(2.0, 1.0)], [1.0], models=(Model("a", load=3.0),))
    system = replace(system, backends=(replace(system.backends[0], memory=2.0),))
    trace = Trace("t", np.array([0.0, 0.5]), np.ones(2), np.ones(2), work=np.ones(2))
    found = simulate(system, ["jsq"], trace=trace, replications=2).policies[0]
    # From 3 s on both share l(2) = 4/3, until each has got 1.
    assert found.mean_latency is not None
    assert found.mean_latency.value == pytest.approx((4.5 + 4.0) / 2)
    assert found.loads is not None
    assert found.loads.value == pytest.approx(0.5)


def test_capacity_that_loads_take_is_what_theory_says() -> None:
    """Each job loads: it is as if a job's time alone were longer, by the load."""
    curve = HyperbolicCurve(1e7, 1e7)  # l(N) = N: nobody waits but for loads
    system = fleet([curve], [0.5])
    cold = replace(
        system,
        backends=(replace(system.backends[0], memory=0.0),),
        models=(Model("a", load=0.2),),
    )
    found = simulate(cold, ["jsq"], horizon=40_000.0, replications=2).policies[0]
    assert found.cold is not None
    assert found.cold.value == pytest.approx(1.0)
    assert found.loads is not None
    assert found.loads.value == pytest.approx(2.0)  # never fits: out of turn
    # While the backend stands still nobody is served: with share 0.2 of the time, each job takes
    # 1 / (1 - 0.2) in the mean, and its own load besides; those that came before wait, too.
    assert found.mean_latency is not None
    assert 1.4 < found.mean_latency.value < 1.9


def test_loads_and_cold_jobs_are_in_tables_and_documents() -> None:
    system = world([3.0, 3.5, 2.0])
    found = simulate(system, ["gmsr_secant", "model_affinity"], horizon=100.0, replications=2)
    document = found.to_dict()
    assert document["eviction"] == "price"
    for row in document["policies"]:
        assert 0.0 < row["cold"] <= row["loads"]
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(comparison_report(found))
    text = console.export_text()
    assert "cold, %" in text
    assert "Models make way in memory" in text


def test_a_model_is_where_its_loads_are_fewest_by_affinity_and_price() -> None:
    """Memory for all: after the first loads, nobody loads who looks where models are."""
    system = world([2.5, 3.5, 2.0], rate=4.0)
    found = simulate(
        system, ["gmsr_secant", "model_affinity", "jsq"], horizon=2000.0, replications=2, warmup=500
    )
    loads = {p.policy: p.loads.value for p in found.policies if p.loads is not None}
    assert loads["gmsr_secant"] < 0.7 * loads["jsq"]
    assert loads["model_affinity"] < loads["jsq"]


def test_what_cannot_be_simulated_together_is_refused() -> None:
    system = world([3.0, 3.5, 2.0])
    with pytest.raises(UsageError, match="patience cannot be simulated with models"):
        simulate(system, ["jsq"], patience="exponential:mean=2")
    with pytest.raises(UsageError, match="learned curves cannot be simulated with models"):
        simulate(replace(system, sizes=ExponentialSizes()), ["jsq"], learn=Learning())
    plain = fleet(CURVES, [3.0])
    with pytest.raises(UsageError, match="eviction lru: no backend has a memory"):
        simulate(plain, ["jsq"], eviction="lru")


def test_an_experiment_counts_no_more_events_than_its_arrivals_bring() -> None:
    system = world([3.0, 3.5, 2.0])
    options = Options(length=Length(horizon=100.0))
    experiment = experiment_of(system, {"jsq": parse("jsq")}, options)
    assert experiment.events == pytest.approx(2.0 * 9.0 * 100.0)
