"""A trace of jobs on a cluster is followed to its last task, and its figures fit together."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isocline.errors import UsageError
from isocline.model.cluster import Cluster, Rates, SampledTasks
from isocline.model.cluster.blocks import BlockTrace
from isocline.report.tables.cluster import warnings
from isocline.simulate.scheduling.compare import simulate_cluster
from isocline.simulate.scheduling.results import ClusterComparison

POLICIES = ["local_first", "jsq_local_only", "late_binding"]


def cluster(size: int) -> Cluster:
    return Cluster.numbered(size, Rates(local=1.0, remote=0.5), SampledTasks(min(size, 2), 1.0))


def bursts(seed: int, jobs: int) -> BlockTrace:
    """Jobs of 1 to 20 tasks, that come in bursts with long pauses, on few paths."""
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.lognormal(0.0, 2.5, jobs))
    times -= times[0]
    blocks, path = rng.integers(1, 20, jobs), rng.integers(0, 8, jobs).astype(np.int32)
    return BlockTrace.from_jobs("made up", times, blocks, path, float(times[-1] * 1.01))


def require_consistent(found: ClusterComparison, timed: bool = True) -> None:
    for p in found.policies:
        assert p.mean_tasks
        assert p.mean_latency
        assert p.idle_share
        assert p.ratio_to_bound
        assert p.arrival_rate == pytest.approx(found.rate)
        assert found.rate * p.mean_latency.value == pytest.approx(p.mean_tasks.value, rel=1e-9)
        assert not timed or p.littles_law < 1e-9
        assert p.mean_latency.value >= found.lower_bound_latency * (1 - 1e-9)
        assert p.ratio_to_bound.value == pytest.approx(
            p.mean_latency.value / found.lower_bound_latency
        )
        assert p.idle_by_server.mean() == pytest.approx(p.idle_share.value, abs=1e-6)
        assert p.idle_by_server.min() >= -1e-6
        assert p.finished
        # Servers serve what comes, each task for at least a mean service time where its data is.
        busy = found.rate * found.horizon * found.lower_bound_latency
        assert (1.0 - p.idle_share.value) * len(found.servers) * p.finished >= busy * (1 - 1e-6)


@settings(deadline=None, max_examples=16)
@given(
    st.integers(1, 6), st.integers(0, 2**32), st.sampled_from([0.05, 0.6, 0.95, 1.5]), st.booleans()
)
def test_littles_law_and_idle_times_are_exact(
    size: int, seed: int, load: float, timed: bool
) -> None:
    found = simulate_cluster(
        cluster(size), POLICIES, trace=bursts(seed, 40), load=load, replications=2,
        seed=seed % 1000, percentiles=timed,
    )  # fmt: skip
    assert [p.status for p in found.policies] == ["overloaded" if load > 1 else "stable"] * 3
    require_consistent(found, timed)


def test_beyond_capacity_the_numbers_come_with_a_warning() -> None:
    found = simulate_cluster(cluster(4), POLICIES, trace=bursts(1, 200), load=1.49, replications=2)
    assert found.to_dict()["status"] == "overloaded"
    assert found.policies[0].overloaded
    assert "1.49 times what can be served" in warnings(found)[0]
    require_consistent(found)


def test_means_only_gives_no_percentiles_of_tasks_or_jobs() -> None:
    trace = bursts(1, 2000)
    for timed in (True, False):
        found = simulate_cluster(
            cluster(4), ["local_first"], trace=trace, replications=2, percentiles=timed
        )
        (policy,) = found.policies
        assert policy.jobs is not None
        for known in (policy, policy.jobs):
            assert {getattr(known, p) is not None for p in ("p50", "p95", "p99")} == {timed}
        assert not any("percentiles" in line for line in warnings(found))


@pytest.mark.parametrize("clock", ["continuous", "slotted"])
@pytest.mark.parametrize("warmup", [None, 130.0])
def test_servers_are_as_idle_as_they_are_on_average(clock: Any, warmup: float | None) -> None:
    world = Cluster.numbered(3, Rates(local=0.5, remote=0.25), SampledTasks(2, 0.6))
    found = simulate_cluster(
        world, ["local_first"], clock=clock, horizon=3000.0, warmup=warmup, replications=3
    ).policies[0]
    assert found.idle_share
    assert found.idle_by_server.mean() == pytest.approx(found.idle_share.value, abs=1e-6)
    # Tasks/s over rates: from all local to all remote.
    assert found.idle_share.value > 1.0 - 0.6 / 0.75 - 0.05
    assert found.idle_share.value < 1.0 - 0.6 / 1.5 + 0.05


def test_queues_are_looked_at_by_the_clock_not_by_events() -> None:
    # One task of 1 s every 50 s: looks at events alone would see one half of the time.
    times = np.cumsum(np.random.default_rng(0).uniform(45.0, 55.0, 2000))
    trace = BlockTrace.from_jobs(
        "sparse", times - times[0], np.ones(2000, int), np.zeros(2000, np.int32), 100_000.0
    )
    found = simulate_cluster(cluster(2), ["local_first"], trace=trace, replications=2).policies[0]
    assert found.idle_by_server.mean() == pytest.approx(0.99, abs=0.002)
    # |Q_perp| of (1, 0) is 1 / sqrt(2), for 1/50 of the time.
    assert found.perpendicular
    assert found.perpendicular.value == pytest.approx(0.02 / np.sqrt(2.0), rel=0.15)


@pytest.mark.parametrize("timed", [True, False])
def test_a_measured_part_in_which_nothing_comes_is_refused(timed: bool) -> None:
    trace = BlockTrace.from_jobs(
        "early", np.zeros(2), np.array([200, 100]), np.zeros(2, np.int32), 10.0
    )
    with pytest.raises(UsageError, match=r"from 9 s.* no tasks come"):
        simulate_cluster(
            cluster(3), POLICIES, trace=trace, replications=2, warmup=9.0, percentiles=timed
        )
