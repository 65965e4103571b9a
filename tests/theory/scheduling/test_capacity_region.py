import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocline.errors import UsageError
from isocline.model.cluster import Cluster, HotSpot, Rates, SampledTasks
from isocline.model.graph import CompatibilityGraph
from isocline.theory.scheduling.capacity_region import balanced_load, boundary, is_overloaded
from tests.theory.scheduling.clusters import program_scale, random_types

seeds = st.integers(0, 2**32 - 1)


def test_capacity_is_that_of_the_linear_program_on_200_random_systems() -> None:
    for seed in range(200):
        rng = np.random.default_rng(seed)
        graph, rates = random_types(rng)
        local = float(rng.uniform(0.2, 5.0))
        remote = local * float(rng.uniform(0.05, 0.95))
        found = boundary(balanced_load(graph, rates).load, local, remote).scale
        expected = program_scale(graph, rates, Rates(local, remote))
        assert found == pytest.approx(expected, rel=1e-8), seed


@given(seed=seeds, slowdown=st.floats(1.01, 20.0))
def test_at_the_boundary_the_service_missing_is_the_service_to_spare(
    seed: int, slowdown: float
) -> None:
    # the definition: sum max(s nu - alpha, 0) = gamma sum max(1 - s nu/alpha, 0)
    load = balanced_load(*random_types(np.random.default_rng(seed))).load
    scaled = boundary(load, 1.0, 1.0 / slowdown).scale * load
    missing = np.maximum(scaled - 1.0, 0.0).sum()
    assert missing == pytest.approx(np.maximum(1.0 - scaled, 0.0).sum() / slowdown, abs=1e-11)


@given(seed=seeds)
def test_the_overloaded_set_does_not_depend_on_the_order_of_types_and_servers(seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph, rates = random_types(rng)
    types, servers = rng.permutation(graph.sources), rng.permutation(graph.sinks)
    shuffled = CompatibilityGraph.from_neighbours(
        graph.sinks, [servers[graph.neighbours(kind)] for kind in types]
    )
    load = balanced_load(graph, rates).load
    again = balanced_load(shuffled, rates[types]).load[servers]
    assert again == pytest.approx(load, rel=1e-12, abs=1e-12)
    # a level of the loads is the hardest alpha to agree on
    alpha = float(rng.choice(load[load > 0]))
    assert (is_overloaded(load, alpha) == is_overloaded(again, alpha)).all()


@given(seed=seeds)
def test_each_type_uses_only_its_least_loaded_servers(seed: int) -> None:
    graph, rates = random_types(np.random.default_rng(seed))
    found = balanced_load(graph, rates)
    assert np.bincount(graph.sink, found.flow, graph.sinks) == pytest.approx(found.load, abs=1e-11)
    assert np.add.reduceat(found.flow, graph.first[:-1]) == pytest.approx(rates, rel=1e-11)
    for edge in np.flatnonzero(found.flow > 0):
        others = found.load[graph.neighbours(graph.source[edge])]
        assert found.load[graph.sink[edge]] <= others.min() * (1 + 1e-8)


def test_groups_of_servers_that_are_alike_have_the_load_of_each() -> None:
    # 2 x 3 servers; every type of one server of each triple, at rates that sum to 3 and 6
    pairs = [(i, 3 + j) for i in range(3) for j in range(3)]
    each = balanced_load(
        CompatibilityGraph.from_neighbours(6, [*pairs, (3,), (4,), (5,)]), [1 / 3] * 9 + [2.0] * 3
    )
    grouped = balanced_load(
        CompatibilityGraph.from_neighbours(2, [(0, 1), (1,)]), [3.0, 6.0], [3.0, 3.0]
    )
    assert each.load == pytest.approx(np.repeat(grouped.load, 3), rel=1e-12)
    assert grouped.load == pytest.approx([1.0, 2.0])


def test_the_hot_spot_of_section_6_has_0_8333_per_server() -> None:
    # at x tasks/s the hot half misses 0.8 x - 500, the other gives (500 - 0.2 x)/2: x = 2500/3
    tasks = SampledTasks(3, 1000.0, HotSpot(0.5, 0.8))
    cluster = Cluster.numbered(1000, Rates(1.0, 0.5), tasks)
    groups = tasks.groups(cluster)
    assert groups is not None
    load = balanced_load(groups.graph, groups.rates, groups.sizes).load[groups.group]
    found = boundary(load, 1.0, 0.5)
    assert found.scale == pytest.approx(2.5 / 3.0, rel=1e-12)
    assert found.overloaded.tolist() == list(range(500))


def test_an_even_load_reaches_the_rate_of_all_servers_together() -> None:
    found = boundary(np.full(7, 0.1), 1.0, 0.3)
    assert found.scale == pytest.approx(10.0, rel=1e-14)
    assert found.overloaded.tolist() == list(range(7))


def test_servers_without_data_help_others() -> None:
    # s - 1 tasks/s are left for the idle server, at 0.25
    found = boundary(
        balanced_load(CompatibilityGraph.from_neighbours(2, [(0,)]), [1.0]).load, 1, 0.25
    )
    assert found.scale == pytest.approx(1.25)
    assert found.overloaded.tolist() == [0]


@pytest.mark.parametrize(("local", "remote"), [(1.0, 1.0), (0.5, 1.0), (1.0, 0.0), (np.inf, 1.0)])
def test_rates_that_do_not_fall_with_the_distance_are_refused(local: float, remote: float) -> None:
    with pytest.raises(UsageError, match="give finite numbers above 0 that fall in this order"):
        boundary(np.ones(3), local, remote)


def test_no_load_at_all_has_no_boundary() -> None:
    with pytest.raises(UsageError, match="give arrival rates above 0"):
        boundary(np.zeros(3), 1.0, 0.5)
