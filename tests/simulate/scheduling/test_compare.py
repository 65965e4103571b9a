"""Comparisons on clusters against exact results.

Intervals are Student-t at 95 %; a test accepts twice their half-width, which with 10 replications
(t = 2.26 at 95 %) is the 99.86 % level.
"""

from typing import Any

import numpy as np
import pytest

from isocline.errors import PolicyError, RunTooShortError, UsageError
from isocline.model.cluster import Cluster, ExplicitTasks, HotSpot, Rates, SampledTasks
from isocline.model.cluster.blocks import BlockTrace
from isocline.model.graph import CompatibilityGraph
from isocline.policies.parse import scheduling_policy as parse
from isocline.simulate.common.estimate import Estimate
from isocline.simulate.common.replication import Run
from isocline.simulate.scheduling.compare import simulate_cluster, sweep_cluster
from isocline.simulate.scheduling.prepare import prepare_cluster
from isocline.simulate.scheduling.replicate import ClusterReplication, run_cluster
from isocline.simulate.scheduling.run_settings import ClusterRunSettings
from isocline.theory.scheduling.near_data_plan import near_data_plan
from tests.naive import erlang_c_mean

SHORT: dict[str, Any] = {"horizon": 400.0, "warmup": 100.0, "replications": 4}
HOT = HotSpot(servers=0.5, share=0.8)


def explicit(servers: int, types: list[list[int]], rates: list[float], **speeds: float) -> Cluster:
    graph = CompatibilityGraph.from_neighbours(servers, types)
    tasks = ExplicitTasks(graph, np.array(rates))
    return Cluster.numbered(servers, Rates(**({"local": 1.0, "remote": 0.5} | speeds)), tasks)


def sampled(servers: int = 20, hot: bool = True, local: float = 1.0) -> Cluster:
    tasks = SampledTasks(3, servers * local / 2, HOT if hot else None)
    return Cluster.numbered(servers, Rates(local=local, remote=local / 2), tasks)


def agrees(estimate: Estimate | None, exact: float) -> bool:
    assert estimate is not None
    assert estimate.relative_half_width < 0.05, "a test this loose would show nothing"
    return abs(estimate.value - exact) <= 2 * estimate.half_width


@pytest.mark.parametrize("policy", ["local_first:threshold=0", "fifo", "late_binding"])
@pytest.mark.parametrize("servers", [1, 4])
def test_with_all_data_everywhere_it_is_mmn(policy: str, servers: int) -> None:
    world = explicit(servers, [list(range(servers))], [0.8 * servers])
    result = simulate_cluster(world, [policy]).policies[0]
    exact = erlang_c_mean(0.8 * servers, servers)
    assert agrees(result.mean_tasks, exact)
    assert agrees(result.mean_latency, exact / (0.8 * servers))
    assert result.ratio_to_bound is not None
    assert result.ratio_to_bound.low <= 1.0 <= result.ratio_to_bound.high + 0.01
    assert agrees(result.idle_share, 0.2)


@pytest.mark.parametrize("clock", ["continuous", "slotted"])
def test_littles_law_holds_and_nobody_beats_the_bound(clock: Any) -> None:
    world = sampled(local=0.5)
    found = simulate_cluster(
        world, ["local_first", "jsq_maxweight"], load=0.8, clock=clock, replications=4
    )
    for policy in found.policies:
        # What is in one and not in the other are the tasks at the two ends of a run.
        assert policy.littles_law < 1e-3
        assert policy.mean_latency is not None
        assert policy.mean_latency.high >= found.lower_bound_latency


def test_shares_add_up_and_idle_time_is_what_service_leaves() -> None:
    world = sampled()
    found = simulate_cluster(world, ["local_first"], load=0.9).policies[0]
    local, rack, remote = found.local_share, found.rack_share, found.remote_share
    assert local is not None
    assert rack is not None
    assert remote is not None
    assert found.idle_share is not None
    assert local.value + rack.value + remote.value == pytest.approx(1.0)
    rate = 0.9 * 20 / 1.2
    busy = rate * (local.value + 2.0 * remote.value) / 20
    assert abs(1.0 - busy - found.idle_share.value) < 0.01
    # At least what the hot half cannot serve runs elsewhere.
    assert remote.high >= (0.8 * rate - 10.0) / rate


def grown(cluster: Cluster, load: float, clock: Any) -> tuple[float, float]:
    """Tasks gained per unit of time in the last three quarters, and the theory's -epsilon."""
    scaled = cluster.sped_up(load * near_data_plan(cluster, replicas_to_try=0).capacity_scale)
    run = ClusterRunSettings(50_000.0, 10_000.0, seed=3, percentiles=False, clock=clock)
    found = run_cluster(Run(prepare_cluster(scaled), parse("local_first"), run))
    assert isinstance(found, ClusterReplication)
    ends = run.ends
    slope = float(np.polyfit(ends[ends > 10_000.0], found.tasks[ends > 10_000.0], 1)[0])
    rate, half = scaled.arrival_rate, scaled.size / 2
    local = scaled.rates.local
    assert isinstance(scaled.tasks, SampledTasks)
    if scaled.tasks.hotspot is None:
        return slope, rate - scaled.size * local
    own = 0.2 * rate  # of the helpers
    return slope, rate - half * local - own - 0.5 * (half * local - own)


@pytest.mark.parametrize("clock", ["continuous", "slotted"])
@pytest.mark.parametrize("hot", [True, False], ids=["hot", "even"])
def test_queues_are_bounded_just_inside_the_region_and_grow_by_epsilon_just_outside(
    hot: bool, clock: Any
) -> None:
    inside, _ = grown(sampled(hot=hot, local=0.5), 0.97, clock)
    outside, epsilon = grown(sampled(hot=hot, local=0.5), 1.03, clock)
    assert epsilon > 0.2
    # The fitted slope of a Brownian motion of variance 16 per unit of time over 40 000 has standard
    # deviation (6/5 * 16 / 40 000)^(1/2) = 0.022; that of a bounded queue much less.
    assert abs(outside - epsilon) < 0.1
    assert abs(inside) < 0.02


def test_outside_the_region_no_policy_is_run_and_all_are_unstable() -> None:
    found = simulate_cluster(sampled(), ["local_first", "fifo"], load=1.01)
    assert [policy.status for policy in found.policies] == ["unstable", "unstable"]
    assert found.replications == 0
    assert found.policies[0].overloaded == tuple(map(str, range(10)))
    assert found.to_dict()["status"] == "infeasible"


def test_a_policy_without_help_is_unstable_at_a_hot_spot() -> None:
    helped, alone = simulate_cluster(
        sampled(), ["local_first", "jsq_local_only"], load=0.95, horizon=3000.0, warmup=500.0
    ).policies
    assert helped.status == "stable"
    assert alone.status == "unstable"
    assert alone.overloaded == tuple(map(str, range(10)))


def test_results_do_not_depend_on_the_number_of_threads() -> None:
    def rows(threads: int) -> list[dict[str, Any]]:
        found = simulate_cluster(sampled(), ["local_first"], load=0.8, threads=threads, **SHORT)
        return [row | {"events_per_second": 0.0} for row in found.to_dict()["policies"]]

    assert rows(1) == rows(2)


def test_policies_see_the_same_arrivals() -> None:
    found = simulate_cluster(sampled(), ["fifo", "late_binding"], load=0.5, **SHORT).policies
    assert found[1].ratio is not None
    assert found[1].difference is not None
    assert found[0].mean_latency is not None
    together = found[1].difference.half_width / found[0].mean_latency.half_width
    assert together < 1.0


def test_precision_adds_replications() -> None:
    coarse = simulate_cluster(sampled(), ["local_first"], load=0.8, **SHORT)
    fine = simulate_cluster(sampled(), ["local_first"], load=0.8, precision=0.02, **SHORT)
    assert fine.replications > coarse.replications
    assert fine.policies[0].mean_latency is not None
    assert fine.policies[0].mean_latency.relative_half_width <= 0.02


def test_a_sweep_goes_up() -> None:
    found = sweep_cluster(sampled(), ["local_first"], loads=(0.8, 0.5), **SHORT)
    assert [round(one.load, 9) for one in found.comparisons] == [0.5, 0.8]


def jobs_of(blocks: list[int], gap: float) -> BlockTrace:
    count = len(blocks)
    times = gap * np.arange(count, dtype=np.float64)
    path = np.arange(count, dtype=np.int32)
    return BlockTrace.from_jobs("made up", times, np.array(blocks), path, gap * count)


def test_a_job_of_one_task_lasts_as_long_as_its_task() -> None:
    found = simulate_cluster(
        sampled(), ["local_first"], trace=jobs_of([1] * 500, 0.2), replications=3
    ).policies[0]
    assert found.completed == 3 * 500
    assert found.jobs is not None
    assert found.mean_latency is not None
    assert found.jobs.completed == 3 * 500
    assert found.jobs.mean.value == pytest.approx(found.mean_latency.value)


def test_a_job_ends_with_its_last_task() -> None:
    # Ten tasks alone on 20 servers that hold no more than one of their chunks each: the latest of
    # ten exponential times of mean 1 has mean 1 + 1/2 + ... + 1/10 when all are local.
    trace = jobs_of([10] * 400, 50.0)
    options: dict[str, Any] = {"trace": trace, "replicas": 3, "replications": 10}
    found = simulate_cluster(sampled(200, hot=False), ["late_binding"], **options).policies[0]
    assert found.jobs is not None
    assert agrees(found.jobs.mean, sum(1.0 / k for k in range(1, 11)))


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"policies": ["local_fist"]}, PolicyError, "local_first"),
        ({"policies": ["fifo", "fifo"]}, UsageError, "each once"),
        ({"replications": 1}, UsageError, "2 or more"),
        ({"precision": 2.0}, UsageError, "0.01"),
        ({"load": -1.0}, UsageError, "above 0"),
        ({"replicas": 2}, UsageError, "only for a trace"),
        ({"horizon": 1.0, "warmup": 0.1}, RunTooShortError, "tasks completed"),
        ({"clock": "sloted"}, UsageError, "slotted"),
        ({"clock": "slotted", "trace": jobs_of([1, 1], 1.0)}, UsageError, "continuous"),
    ],
)
def test_a_mistake_is_named(options: dict[str, Any], error: type[Exception], words: str) -> None:
    arguments = {"policies": ["fifo"]} | SHORT | options
    with pytest.raises(error, match=words):
        simulate_cluster(sampled(), **arguments)


def test_rates_above_1_are_no_probabilities() -> None:
    with pytest.raises(UsageError, match="probabilities"):
        simulate_cluster(sampled(local=4.0), ["fifo"], clock="slotted", **SHORT)


def test_random_local_at_a_hot_spot_is_two_kinds_of_mm1() -> None:
    # Splitting a Poisson process at random gives each server its own. At load 0.5 of 0.8333 per
    # server the hot half has 0.8 * 0.8333 of the tasks on each two servers: load 2/3; others 1/6.
    found = simulate_cluster(sampled(), ["random_local"], load=0.5).policies[0]
    rate = 0.5 * 20 / 1.2
    hot, cold = 0.8 * rate / 10, 0.2 * rate / 10
    assert agrees(found.mean_latency, 0.8 / (1 - hot) + 0.2 / (1 - cold))
