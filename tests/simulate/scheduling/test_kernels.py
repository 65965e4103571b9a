"""Parts of the cluster kernels, and whole runs against exact results and conservation.

Statistical tests accept at 5 standard errors of batch means, or p >= 1e-6, with fixed seeds.
"""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from isocline.compilation.compiled import kernel
from isocline.errors import PolicyError, UsageError
from isocline.model.cluster import Cluster, ExplicitTasks, HotSpot, Rates, SampledTasks
from isocline.model.graph import CompatibilityGraph
from isocline.model.traffic import DeterministicSizes
from isocline.policies.parse import scheduling_policy as parse
from isocline.policies.scheduling import ALL
from isocline.policies.scheduling.state.columns import (
    COLUMNS_WITH_RACKS,
    IDLE_POSITION,
    IDLE_POSITION_IN_RACK,
)
from isocline.policies.scheduling.state.idle_servers import add, all_idle, random_member, remove
from isocline.policies.scheduling.state.longest_queue import (
    any_longest,
    is_full,
    set_key,
    top_key,
    with_more_keys,
    zero_keys,
)
from isocline.randomness.draws import stream
from isocline.simulate.common.replication import Run
from isocline.simulate.common.run_settings import Clock
from isocline.simulate.scheduling import engine as engine_module
from isocline.simulate.scheduling.kernels.holder_sampler import draw_servers
from isocline.simulate.scheduling.prepare import JobList, prepare_cluster
from isocline.simulate.scheduling.replicate import ClusterReplication, run_cluster
from isocline.simulate.scheduling.run_settings import ClusterRunSettings
from tests.simulate.routing.naive_slotted import stationary_mean

RACK = np.array([0, 1, 0, 1, 1, 2], np.int32)


@kernel
def call_set_key(columns: Any, order: Any, queue: int, key: int, rack: int) -> None:
    set_key(columns, order, queue, key, rack)


@kernel
def call_longest(columns: Any, order: Any, group: int, rng: Any) -> tuple[int, int]:
    top = top_key(columns, order, group)
    return top, any_longest(columns, order, group, rng) if top > 0 else -1


@kernel
def call_members(
    columns: Any, members: Any, server: int, group: int, column: int, into: bool
) -> None:
    if into:
        add(columns, members, server, group, column)
    else:
        remove(columns, members, server, group, column)


@kernel
def call_anyone(members: Any, group: int, rng: Any) -> int:
    return random_member(members, group, rng)


@kernel
def call_draw(sampler: Any, rng: Any, out: Any) -> None:
    rng[0], rng[1] = draw_servers(sampler, rng[0], rng[1], out)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(-3, 90)), max_size=80), st.booleans())
def test_the_longest_queue_is_always_known(steps: list[tuple[int, int]], racks: bool) -> None:
    columns = np.zeros((6, COLUMNS_WITH_RACKS), np.int32)
    order = zero_keys(RACK, 3 if racks else 1)
    keys = [0] * 6
    rng = stream(1)
    for queue, change in steps:
        key = max(change, 0) if abs(change) > 2 else max(keys[queue] + change, 0)
        while key > order.above.shape[1] - 1:
            order = with_more_keys(order)
        keys[queue] = key
        call_set_key(columns, order, queue, key, int(RACK[queue]) if racks else -1)
        groups = [range(6)] + [np.flatnonzero(r == RACK) for r in range(3) if racks]
        for group, members in enumerate(groups):
            largest = max(keys[m] for m in members)
            top, one = call_longest(columns, order, group, rng)
            assert top == largest
            assert one == -1 if largest == 0 else one in members and keys[one] == largest
    assert is_full(order) == (max(keys) == order.above.shape[1] - 1)


def test_each_of_the_longest_is_as_likely() -> None:
    columns = np.zeros((6, COLUMNS_WITH_RACKS), np.int32)
    order = zero_keys(RACK, 1)
    for queue, key in enumerate((3, 1, 3, 3, 0, 2)):
        call_set_key(columns, order, queue, key, -1)
    rng = stream(2)
    found = Counter(call_longest(columns, order, 0, rng)[1] for _ in range(3000))
    assert set(found) == {0, 2, 3}
    assert stats.chisquare(list(found.values())).pvalue > 1e-6


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 5), max_size=60))
def test_members_come_and_go(flips: list[int]) -> None:
    columns = np.zeros((6, COLUMNS_WITH_RACKS), np.int32)
    members = all_idle(columns, RACK, 3)
    inside = set(range(6))
    rng = stream(3)
    for server in flips:
        into = server not in inside
        for group, column in ((0, IDLE_POSITION), (1 + int(RACK[server]), IDLE_POSITION_IN_RACK)):
            call_members(columns, members, server, group, column, into)
        inside ^= {server}
        for group in range(4):
            start, count = members.part[group]
            expected = {m for m in inside if group in (0, 1 + RACK[m])}
            assert set(members.order[start : start + count].tolist()) == expected
            if expected:
                assert call_anyone(members, group, rng) in expected


@pytest.mark.parametrize("replicas", [1, 2, 3, 4])
@pytest.mark.parametrize("hot", [None, HotSpot(0.5, 0.7)])
def test_servers_of_a_task_are_drawn_uniformly(replicas: int, hot: HotSpot | None) -> None:
    size, draws = (10, 24_000) if hot else (5, 12_000)
    cluster = Cluster.numbered(size, Rates(1.0, 0.5), SampledTasks(replicas, 1.0, hot))
    sampler = prepare_cluster(cluster).sampler()
    rng, out = stream(replicas), np.zeros(replicas, np.int32)
    found: Counter[tuple[int, ...]] = Counter()
    for _ in range(draws):
        call_draw(sampler, rng, out)
        found[tuple(out.tolist())] += 1
    parts = [(range(5), 0.7), (range(5, 10), 0.3)] if hot else [(range(5), 1.0)]
    for part, share in parts:
        sets = {one: n for one, n in found.items() if one[0] in part}
        assert all(set(one) <= set(part) and len(set(one)) == replicas for one in sets)
        number = int(np.prod([5 - i for i in range(replicas)]))  # their order is random, too
        assert len(sets) == number
        assert stats.chisquare(list(sets.values())).pvalue > 1e-6
        assert stats.binomtest(sum(sets.values()), draws, share).pvalue > 1e-6


def lone_server(local: float, rate: float) -> Cluster:
    graph = CompatibilityGraph.from_neighbours(1, [[0]])
    tasks = ExplicitTasks(graph, np.array([rate]))
    return Cluster.numbered(1, Rates(local, local / 2), tasks)


def mean_tasks(found: ClusterReplication | None, blocks: int = 24) -> tuple[float, float]:
    """Mean and standard error of the mean from batch means, the first eighth left out."""
    assert found is not None
    kept = found.tasks[found.tasks.size // 8 :]
    means = kept[: kept.size // blocks * blocks].reshape(blocks, -1).mean(axis=1)
    return float(means.mean()), float(means.std(ddof=1) / np.sqrt(blocks))


@pytest.mark.parametrize("local", [1.0, 0.4])
def test_one_server_on_the_slotted_clock_is_its_markov_chain(local: float) -> None:
    """Q(t + 1) = Q(t) + A - S; the stationary mean before arrivals, from the balance equations.

    With arrivals counted first, what leaves depends on Q + A: the chain of X = Q + A is
    X' = X - S(X) + A', whose mean is that of the tasks during a slot.
    """
    rate = 0.8 * local
    exact = stationary_mean(rate, lambda n: local if n else 0.0, "bernoulli", 250)
    cluster = lone_server(local, rate)
    run = ClusterRunSettings(1e6, seed=1, percentiles=False, clock="slotted")
    for policy in ("local_first", "late_binding"):
        mean, error = mean_tasks(run_cluster(Run(prepare_cluster(cluster), parse(policy), run)))
        assert error < 0.02 * exact
        assert abs(mean - exact) < 5 * error


def test_one_server_of_deterministic_service_is_an_md1_queue() -> None:
    cluster = Cluster.numbered(
        1,
        Rates(1.0, 0.5),
        ExplicitTasks(CompatibilityGraph.from_neighbours(1, [[0]]), np.array([0.7])),
        service=DeterministicSizes(),
    )
    mean, error = mean_tasks(
        run_cluster(
            Run(prepare_cluster(cluster), parse("local_first"), ClusterRunSettings(100_000.0))
        )
    )
    exact = 0.7 + 0.7**2 / (2 * 0.3)  # Pollaczek-Khinchine
    assert error < 0.02 * exact
    assert abs(mean - exact) < 5 * error


def burst(cluster: Cluster) -> JobList:
    """A job of 5000 tasks at once, and small ones after it."""
    rng = np.random.default_rng(1)
    count = np.array([5000, 3, 40, 1])
    first = np.cumsum(count) - count
    return JobList(
        np.array([0.5, 1.0, 1.0, 700.0]),
        first,
        count,
        SampledTasks(2, 1.0).draw(cluster, rng, int(count.sum())),
    )


@pytest.mark.parametrize("policy", sorted(ALL))
def test_every_task_of_every_job_is_run_once(policy: str) -> None:
    cluster = Cluster.numbered(6, Rates(1.0, 0.4, 0.7), SampledTasks(2, 1.0), racks=2)
    jobs = burst(cluster)
    run = ClusterRunSettings(800.0, drain=True)
    found = run_cluster(Run(prepare_cluster(cluster, jobs=jobs), parse(policy), run))
    assert found is not None
    assert not found.exploded
    assert found.arrivals.sum() == found.completions.sum() == found.timed.sum() == 5044
    assert found.started.sum() == 5044
    assert np.isfinite(found.jobs).all()
    assert found.jobs[0] >= 5000 / 6 * 0.9  # six servers at 1 task/s, at best
    assert sum(int(counts.sum()) for _, counts in found.latencies) == 5044
    if policy != "balanced_pandas":
        assert found.jobs[3] > 0.0


@pytest.mark.parametrize("clock", ["continuous", "slotted"])
def test_another_cluster_gets_the_same_tasks_where_arrivals_are_common(clock: Clock) -> None:
    types = [[0, 1], [1, 2], [2, 3]]
    rates = np.array([0.2, 0.3, 0.2])
    run = ClusterRunSettings(800.0, seed=2, clock=clock, common_arrivals=True)
    came = []
    for size in (4, 6):
        graph = CompatibilityGraph.from_neighbours(size, types)
        cluster = Cluster.numbered(size, Rates(0.8, 0.4), ExplicitTasks(graph, rates))
        found = run_cluster(Run(prepare_cluster(cluster), parse("local_first"), run))
        assert found is not None
        came.append(found.arrivals)
    first, second = came
    np.testing.assert_array_equal(first, second)


def test_policies_meet_the_same_tasks_and_runs_repeat() -> None:
    cluster = Cluster.numbered(
        12, Rates(1.0, 0.4, 0.7), SampledTasks(3, 9.0, placement="hdfs"), racks=3
    )
    prepared = prepare_cluster(cluster, beneficiaries=[0, 3, 5])
    for clock in ("continuous", "slotted"):
        run = ClusterRunSettings(200.0, seed=3, clock=clock)
        first, again, other = (
            run_cluster(Run(prepared, parse(p), run, 2)) for p in ("late_binding",) * 2 + ("fifo",)
        )
        assert first is not None
        assert again is not None
        assert other is not None
        for name in ("tasks", "started", "perpendicular", "queues", "busy", "sojourn"):
            assert np.array_equal(getattr(first, name), getattr(again, name))
        assert first.arrivals.sum() == other.arrivals.sum() > 0
        assert (first.perpendicular[:, 1] != first.perpendicular[:, 0]).any()


def test_a_run_that_outgrows_the_machine_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "MOST_JOBS", 3000)
    prepared = prepare_cluster(lone_server(1.0, 40.0))
    found = run_cluster(Run(prepared, parse("local_first"), ClusterRunSettings(1000.0)))
    assert found is not None
    assert found.exploded


@pytest.mark.parametrize(
    "words",
    [
        "local_first:threshold=-1",
        "late_binding:memory_time=0",
        "priced_help:memory_time=0.5",
        "delay_scheduling:wait=-2",
    ],
)
def test_an_option_out_of_range_is_named(words: str) -> None:
    with pytest.raises(PolicyError, match=words.partition("=")[0]):
        parse(words)


def test_a_reading_must_be_known() -> None:
    with pytest.raises(UsageError, match="level 'near'"):
        ClusterRunSettings(1.0, level="near")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="drain"):
        ClusterRunSettings(1.0, drain=True, clock="slotted")
    with pytest.raises(UsageError, match="0 to 0"):
        prepare_cluster(lone_server(1.0, 0.5), beneficiaries=[1])
