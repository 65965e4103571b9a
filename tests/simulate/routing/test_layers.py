"""Routers behind routers: the composed policy, and what two layers cost."""

from pathlib import Path

import numpy as np
import pytest

from isocline.errors import PolicyError
from isocline.model.curves import ExponentialCurve, HyperbolicCurve, KneeCurve, PoolCurve
from isocline.model.fleet import RoutingSystem
from isocline.model.systemfile import load
from isocline.policies.parse import parse
from isocline.policies.routing.layered import Layered
from isocline.randomness.draws import stream
from isocline.simulate.routing.compare import simulate
from isocline.simulate.routing.delay import Delay
from isocline.simulate.routing.prepare import prepare
from isocline.theory.routing.equilibrium import fluid_optimum
from tests.builders import fleet
from tests.simulate.routing.options import RunLength

EXAMPLES = Path(__file__).parents[3] / "examples"
LARGE, SMALL = KneeCurve(20.0, 8.0, 2.5), HyperbolicCurve(6.0, 5.0)
QUICK: RunLength = {"horizon": 1500.0, "warmup": 200.0, "replications": 6, "percentiles": False}


def pools() -> RoutingSystem:
    members = [(LARGE, SMALL, SMALL), (SMALL, SMALL), (ExponentialCurve(9.0, 4.0),)]
    curves = [PoolCurve(one) if len(one) > 1 else one[0] for one in members]
    return fleet(curves, [16.0, 8.0, 5.0], [[0, 1, 2], [0, 1], [2]])


@pytest.mark.parametrize(
    ("outer", "inner"), [("gmsr", "gmsr"), ("jsq", "gmsr"), ("gmsr", "least_expected_latency")]
)
def test_it_takes_the_least_pool_and_in_it_the_least_member(outer: str, inner: str) -> None:
    system = pools()
    flat = system.flattened()
    policy = Layered(parse(outer), parse(inner), flat.pool_of)
    prepared = prepare(flat.system)
    view = prepared.view(policy, 64)
    rng, draw = stream(0), np.random.default_rng(1)
    outside, inside = prepare(system), prepared
    graph = flat.system.graph
    for _ in range(200):
        jobs = draw.integers(0, 12, graph.sinks)
        view.workload[:] = jobs
        frontend = int(draw.integers(3))
        first, after = graph.first[frontend], graph.first[frontend + 1]
        allowed = np.arange(first, after, dtype=np.int32)
        chosen = int(graph.sink[policy.functions()[0](allowed, view, 0.0, rng)])
        held = np.bincount(flat.pool_of, jobs).astype(float)
        pool_score = parse(outer).table(outside.setting, held)[outside.row, np.arange(held.size)]
        seen = system.graph.neighbours(frontend)
        pool = flat.pool_of[chosen]
        assert pool_score[pool] == pytest.approx(pool_score[seen].min(), rel=1e-12)
        score = parse(inner).table(inside.setting, jobs.astype(float))[
            inside.row, np.arange(jobs.size)
        ]
        assert score[chosen] == score[flat.pool_of == pool].min()


def test_ties_between_pools_and_within_are_broken_evenly() -> None:
    system = fleet([PoolCurve((SMALL, SMALL)), PoolCurve((SMALL, SMALL))], [1.0])
    flat = system.flattened()
    for ties, expected in (("random", [1000] * 4), ("first", [4000, 0, 0, 0])):
        policy = Layered(parse(f"gmsr:ties={ties}"), parse(f"gmsr:ties={ties}"), flat.pool_of)
        view, rng = prepare(flat.system).view(policy, 64), stream(4)
        allowed = np.arange(4, dtype=np.int32)
        counts = np.bincount(
            [policy.functions()[0](allowed, view, 0.0, rng) for _ in range(4000)], minlength=4
        )
        assert np.all(np.abs(counts - expected) < 4.5 * np.sqrt(4000 * 3 / 16))


@pytest.mark.parametrize("policy", ["gmsr:ties=first", "gmsr_secant:ties=first"])
@pytest.mark.parametrize("inner", ["gmsr", "gmsr_secant"])
def test_pools_of_one_are_no_layer(policy: str, inner: str) -> None:
    system = fleet([LARGE, SMALL], [12.0, 3.0], [[0, 1], [1]])
    plain = simulate(system, [policy], **QUICK)
    layered = simulate(system, [policy], layers=inner, **QUICK)
    assert layered.policies[0].policy == f"{policy} over {inner}"
    assert layered.policies[0].mean_jobs == plain.policies[0].mean_jobs


def test_one_pool_of_all_is_no_layer() -> None:
    policy = "gmsr_secant:ties=first"
    flat = simulate(fleet([LARGE, SMALL, SMALL], [18.0]), [policy], **QUICK)
    pool = simulate(fleet([PoolCurve((LARGE, SMALL, SMALL))], [18.0]), ["gmsr_secant"],
                    layers=policy, **QUICK)  # fmt: skip
    assert pool.policies[0].mean_jobs == flat.policies[0].mean_jobs


@pytest.mark.parametrize("policy", ["gmsr", "gmsr_secant"])
def test_both_layers_come_near_to_none_and_not_below_the_bound(policy: str) -> None:
    system = load(EXAMPLES / "layers.yaml")
    flat = simulate(system, [policy], layers="flat", **QUICK)
    both = simulate(system, [policy, "jsq"], layers=policy, **QUICK)
    assert both.backends == flat.backends
    assert both.lower_bound == pytest.approx(fluid_optimum(system).total_jobs, rel=1e-6)
    one, two, counting = flat.policies[0].mean_jobs, *(p.mean_jobs for p in both.policies)
    assert one is not None
    assert two is not None
    assert counting is not None
    assert two.high > both.lower_bound
    assert abs(two.value - one.value) < 0.02 * one.value + two.half_width + one.half_width
    assert counting.low > 1.05 * two.high  # a pool is not as quick as its jobs are few


def test_without_layers_a_pool_serves_at_its_curve() -> None:
    # So it does better than any router inside it can: it may split a job among its members.
    system = fleet([PoolCurve((SMALL,) * 4)], [2.0])
    options: RunLength = QUICK | {"horizon": 20_000.0}
    perfect = simulate(system, ["gmsr"], **options).policies[0].mean_jobs
    real = simulate(system, ["gmsr"], layers="gmsr", **options).policies[0].mean_jobs
    assert perfect is not None
    assert real is not None
    assert perfect.high < real.low
    alone = simulate(fleet([SMALL.enlarged(4.0)], [2.0]), ["gmsr"], **options).policies[0].mean_jobs
    assert alone is not None
    assert perfect.value == pytest.approx(alone.value, rel=1e-9)


def test_layers_go_with_delays_and_scale() -> None:
    options: RunLength = QUICK | {"replications": 2, "horizon": 300.0, "warmup": 50.0}
    late = simulate(pools(), ["gmsr"], layers="gmsr", delay=Delay(0.1, 0.1), **options)
    large = simulate(pools(), ["gmsr"], layers="gmsr", scale=4.0, **options)
    for result in (late, large):
        assert result.policies[0].ratio_to_bound is not None
    wide = large.policies[0].ratio_to_bound
    assert wide is not None
    assert wide.value < 1.1  # Theorem 1: nearer to the fluid


@pytest.mark.parametrize("outer", ["power_of_d", "gmsr_ahead", "static_optimal"])
def test_a_policy_that_is_not_the_least_of_a_table_is_refused(outer: str) -> None:
    with pytest.raises(PolicyError, match=f"policy {outer} does more than take the least"):
        simulate(pools(), [outer], layers="gmsr")
    with pytest.raises(PolicyError, match=f"policy {outer} does more"):
        simulate(pools(), ["gmsr"], layers=outer)
