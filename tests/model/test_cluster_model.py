"""What a cluster knows of itself, and what cannot be one."""

from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocline.errors import IsoclineError, UsageError
from isocline.flow import LevelFlowProblem, Prices, solve
from isocline.model.cluster import (
    Cluster,
    ExplicitTasks,
    HotSpot,
    Rates,
    RecordedService,
    SampledTasks,
    popular_tasks,
    zipf_weights,
)
from isocline.model.cluster.cluster import racks_of
from isocline.model.graph import CompatibilityGraph
from isocline.model.traffic import ExponentialSizes

RATES = Rates(local=1.0, remote=0.5)


def explicit(*rates: float) -> ExplicitTasks:
    graph = CompatibilityGraph.from_neighbours(3, [[0, 1], [1, 2]])
    return ExplicitTasks(graph, np.array(rates))


def cluster(**parts: object) -> Cluster:
    given = {"servers": ("a", "b", "c"), "rack": [0, 0, 1], "racks": ("r", "s"), "rates": RATES}
    return Cluster(**given | {"tasks": explicit(1.0, 0.5)} | parts)  # type: ignore[arg-type]


def test_a_cluster_knows_its_size_its_rate_and_its_load() -> None:
    one = cluster()
    assert (one.size, one.arrival_rate, one.load) == (3, 1.5, 0.5)
    assert one.labels == ("a", "b", "c")
    assert one.service == ExponentialSizes()
    with pytest.raises(ValueError, match="read-only"):
        one.rack[0] = 1


def test_a_cluster_can_be_sped_up_and_keeps_its_mixture() -> None:
    for faster in (cluster().sped_up(2.0), cluster().at_rate(3.0)):
        assert faster.tasks.rates.tolist() == [2.0, 1.0]  # type: ignore[union-attr]
    sampled = Cluster.numbered(10, RATES, SampledTasks(2, 4.0), racks=2)
    assert sampled.at_rate(6.0).tasks == SampledTasks(2, 6.0)
    assert sampled.labels == tuple(range(10))
    for factor in (0.0, float("inf"), -1.0):
        with pytest.raises(UsageError, match="above 0"):
            sampled.sped_up(factor)


@given(st.integers(1, 300), st.data())
def test_racks_of_neighbours_are_as_equal_as_can_be(servers: int, data: st.DataObject) -> None:
    racks = data.draw(st.integers(1, servers))
    rack = racks_of(servers, racks)
    assert (np.diff(rack) >= 0).all()
    sizes = np.bincount(rack, minlength=racks)
    assert sizes.size == racks
    assert sizes.max() - sizes.min() <= 1


def test_rates_know_their_levels() -> None:
    assert RATES.levels == (1.0, 0.5, 0.5)
    assert Rates(1.0, 0.25, 0.8).levels == (1.0, 0.8, 0.25)
    assert Rates(1.0, 0.25, 0.8).slowdown == 4.0
    RATES.require_slotted()
    with pytest.raises(UsageError, match="on the slotted clock rates are probabilities"):
        Rates(1.2, 0.5).require_slotted()


def test_recorded_durations_are_drawn_with_mean_one() -> None:
    law = RecordedService(np.array([2.0, 4.0, 4.0, 6.0]))
    assert law.cv == pytest.approx(np.sqrt(2.0) / 4.0)
    sample = law.sample(np.random.default_rng(4), 100_000)
    assert set(sample) == {0.5, 1.0, 1.5}
    # five standard errors of the mean: 6e-7, at a fixed seed
    assert abs(sample.mean() - 1.0) < 5.0 * law.cv / np.sqrt(100_000)


rows_of_sets = st.integers(2, 6).flatmap(
    lambda m: st.lists(st.permutations(range(m)).map(lambda p: p[:2]), min_size=1, max_size=30)
)


@pytest.mark.parametrize("servers", [6, 2**32])  # few: rows fit into one number; many: they do not
@given(rows_of_sets)
def test_rows_with_equal_sets_become_one_type(servers: int, rows: list[list[int]]) -> None:
    rates = np.arange(1.0, len(rows) + 1.0)
    tasks = ExplicitTasks.from_rows(servers, np.array(rows, np.int32), rates)
    expected: dict[frozenset[int], float] = {}
    for row, rate in zip(rows, rates, strict=True):
        expected[frozenset(row)] = expected.get(frozenset(row), 0.0) + rate
    graph = tasks.graph
    found = {frozenset(graph.neighbours(t).tolist()): r for t, r in enumerate(tasks.rates)}
    assert graph.sources == len(found)  # no set twice
    assert found == expected
    assert all((np.diff(graph.neighbours(t)) > 0).all() for t in range(graph.sources))


def test_types_are_a_sample_with_the_total_of_the_rates() -> None:
    one = Cluster.numbered(50, RATES, SampledTasks(3, 20.0, HotSpot(0.5, 0.8)))
    types = one.explicit_tasks(2_000, seed=1)
    assert types.rate == pytest.approx(20.0)
    assert (np.diff(types.graph.first) == 3).all()
    hot = np.array([types.graph.neighbours(t).max() < 25 for t in range(types.graph.sources)])
    # share 0.8, and its standard error over 2000 types is 0.009
    assert abs(types.rates[hot].sum() / types.rate - 0.8) < 5 * 0.009
    again, other = one.explicit_tasks(2_000, seed=1), one.explicit_tasks(2_000, seed=2)
    np.testing.assert_array_equal(types.graph.sink, again.graph.sink)
    assert types.graph.sink.tolist() != other.graph.sink.tolist()


def test_listed_types_are_all_the_types_there_are() -> None:
    one = cluster()
    assert one.explicit_tasks(5) is one.tasks


def test_zipf_popularities_fall_as_a_power_of_the_rank() -> None:
    weights = zipf_weights(1000, 0.9)
    assert weights.sum() == pytest.approx(1.0)
    assert weights[0] / weights[99] == pytest.approx(100.0**0.9)
    assert zipf_weights(4, 0.0).tolist() == [0.25] * 4


def test_one_replica_on_few_servers_makes_one_type_a_server() -> None:
    placement = SampledTasks(1, 1.0).on(np.zeros(4, np.int32))
    tasks = popular_tasks(placement, 4, 7.0, zipf_weights(10_000, 1.0))
    assert tasks.graph.sink.tolist() == [0, 1, 2, 3]
    assert tasks.rate == pytest.approx(7.0)


def every_type(rack: np.ndarray, tasks: SampledTasks) -> ExplicitTasks:
    """All types of a sampler with their exact rates: the definitions, put into a list."""
    cut = tasks.hotspot.hot(rack.size) if tasks.hotspot else rack.size
    share = tasks.hotspot.share if tasks.hotspot else 1.0
    rows, rates = [], []
    for part, of_all in ((range(cut), share), (range(cut, rack.size), 1.0 - share)):
        for chosen in permutations(part, tasks.replicas):
            chance = of_all / len(part)
            for i in range(1, tasks.replicas):
                left = [m for m in part if m not in chosen[:i]]
                if tasks.placement == "hdfs" and i == 1:
                    left = [m for m in part if rack[m] != rack[chosen[0]]]
                if tasks.placement == "hdfs" and i == 2:
                    left = [m for m in left if rack[m] == rack[chosen[1]]]
                chance *= (chosen[i] in left) / max(len(left), 1)
            if chance > 0:
                rows.append(chosen)
                rates.append(chance * tasks.rate)
    return ExplicitTasks.from_rows(rack.size, np.array(rows, np.int32), np.array(rates))


def balanced(graph: CompatibilityGraph, rates: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    flow = solve(LevelFlowProblem(graph, rates, Prices.linear(sizes.astype(np.float64))))
    return flow.price


@pytest.mark.parametrize("replicas", [1, 2, 3])
@pytest.mark.parametrize("kind", ["uniform", "hdfs"])
@pytest.mark.parametrize("hotspot", [None, HotSpot(0.5, 0.8), HotSpot(0.7, 1.0)])
@pytest.mark.parametrize("sizes", [(3, 3, 3, 3), (2, 4, 3, 3), (4, 2, 2, 4)])
def test_groups_have_the_balanced_loads_of_all_types_one_by_one(
    replicas: int, kind: str, hotspot: HotSpot | None, sizes: tuple[int, ...]
) -> None:
    rack = np.repeat(np.arange(4, dtype=np.int32), sizes)
    tasks = SampledTasks(replicas, 5.0, hotspot, kind)
    one = Cluster(tuple("abcdefghijkl"), rack, tuple("wxyz"), RATES, tasks)
    groups = tasks.groups(one)
    assert groups is not None
    assert groups.sizes.sum() == 12
    np.testing.assert_array_equal(np.bincount(groups.group), groups.sizes)
    listed = every_type(rack, tasks)
    of_class: dict[frozenset[int], float] = {}
    for kind_of_task, rate in enumerate(listed.rates):
        touched = frozenset(groups.group[listed.graph.neighbours(kind_of_task)].tolist())
        of_class[touched] = of_class.get(touched, 0.0) + rate
    found = {frozenset(groups.graph.neighbours(c).tolist()): r for c, r in enumerate(groups.rates)}
    assert found == pytest.approx(of_class)
    assert listed.rate == pytest.approx(5.0)
    of_group = balanced(groups.graph, groups.rates, groups.sizes)
    of_server = balanced(listed.graph, listed.rates, np.ones(12))
    np.testing.assert_allclose(of_group[groups.group], of_server, rtol=1e-9, atol=1e-9)


def test_groups_are_not_listed_where_they_are_too_many() -> None:
    tasks = SampledTasks(4, 1.0, None, "hdfs")
    rack = np.array([0, 0, 0, 1, 1, 2, 2], np.int32)
    one = Cluster(tuple("abcdefg"), rack, tuple("rst"), RATES, tasks)
    assert tasks.groups(one) is None


BAD: dict[str, tuple[Callable[[], object], str]] = {
    "no servers": (lambda: cluster(servers=(), rack=[]), "there is no server"),
    "racks missing": (lambda: cluster(rack=[0]), "1 rack number for 3 servers"),
    "rack unknown": (lambda: cluster(rack=[0, 0, 2]), "server 'c' stands in rack 2; there are 2"),
    "rack rate": (
        lambda: cluster(rack=[0, 0, 0], racks=("r",), rates=Rates(1.0, 0.5, 0.8)),
        "rack rate is 0.8, and all servers stand in one rack",
    ),
    "graph": (lambda: cluster(servers=("a", "b"), rack=[0, 0]), "tasks are for 3 servers"),
    "replicas": (lambda: cluster(tasks=SampledTasks(4, 1.0)), "4 replicas need as many servers"),
    "racks": (lambda: Cluster.numbered(3, RATES, explicit(1, 1), racks=4), "4 racks for 3 servers"),
    "rates missing": (lambda: explicit(1.0), "1 rate for 2 types"),
    "rate of zero": (lambda: explicit(1.0, 0.0), r"tasks\[1\]: rate is 0; give a finite number"),
    "sampled rate": (lambda: SampledTasks(3, float("nan")), "rate is nan"),
    "local rate": (lambda: Rates(float("inf"), 0.5), "local rate is inf"),
    "equal rates": (lambda: Rates(0.5, 0.5), "local rate is 0.5 and remote rate 0.5"),
    "rack rate between": (lambda: Rates(1.0, 0.5, 1.5), "local rate is 1 and rack rate 1.5"),
    "server twice": (
        lambda: ExplicitTasks.from_rows(4, np.array([[1, 1]], np.int32), np.ones(1)),
        "names a server twice",
    ),
    "server unknown": (
        lambda: ExplicitTasks.from_rows(4, np.array([[1, 4]], np.int32), np.ones(1)),
        "a server number outside 0 ... 3",
    ),
    "rows without rates": (
        lambda: ExplicitTasks.from_rows(4, np.array([[1, 2]], np.int32), np.ones(2)),
        "2 rates for 1 type",
    ),
    "no type": (
        lambda: ExplicitTasks.from_rows(4, np.zeros((0, 2), np.int32), np.ones(0)),
        "there is no type; give at least one",
    ),
    "no chunks": (lambda: zipf_weights(0, 1.0), "chunks is 0"),
    "bad skew": (lambda: zipf_weights(5, float("nan")), "zipf exponent is nan"),
    "no durations": (lambda: RecordedService(np.zeros(0)), "there are no durations"),
    "duration of zero": (lambda: RecordedService(np.array([1.0, 0.0])), "duration 1 is 0"),
}


@pytest.mark.parametrize(("make", "problem"), BAD.values(), ids=BAD.keys())
def test_what_cannot_be_is_refused_with_a_remedy(make: Callable[[], object], problem: str) -> None:
    with pytest.raises(IsoclineError, match=problem):
        make()
