import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isocline.model.cluster import Rates
from isocline.model.graph import CompatibilityGraph
from isocline.theory.scheduling.capacity_region import (
    BalancedLoad,
    balanced_load,
    boundary,
    is_overloaded,
)
from isocline.theory.scheduling.cluster_sinks import ClusterSinks
from isocline.theory.scheduling.replication_advice import _limits, new_replicas
from tests.theory.scheduling.clusters import program_scale, random_types


def each_server(graph: CompatibilityGraph, rates: np.ndarray) -> ClusterSinks:
    servers = graph.sinks
    rack = (np.arange(servers) % 2).astype(np.int32)
    each = np.arange(servers, dtype=np.int32)
    return ClusterSinks(graph, np.asarray(rates), np.ones(servers), each, rack, "types")


def random_case(seed: int) -> tuple[ClusterSinks, BalancedLoad, float, Rates]:
    graph, rates = random_types(np.random.default_rng(seed), 6, 7)
    speed = Rates(1.0, 0.4)
    balanced = balanced_load(graph, rates)
    now = boundary(balanced.load, speed.local, speed.remote).scale
    return each_server(graph, rates), balanced, now, speed


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_every_gain_is_the_linear_programs(seed: int) -> None:
    sinks, balanced, now, speed = random_case(seed)
    for replica in new_replicas(sinks, balanced, now, speed):
        more = sinks.graph.with_edge(replica.type, replica.sink)
        expected = program_scale(more, sinks.rates, speed)
        assert replica.scale == pytest.approx(expected, rel=1e-8)
        assert 0.0 < replica.share <= 1.0 + 1e-12


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_no_replica_beats_its_types_limit(seed: int) -> None:
    sinks, balanced, now, speed = random_case(seed)
    overloaded = is_overloaded(now * balanced.load, speed.local)
    limit = np.maximum(_limits(sinks, balanced.load, overloaded, speed), now)
    for kind in range(sinks.graph.sources):
        for server in range(sinks.graph.sinks):
            if not sinks.graph.has_edge(kind, server):
                more = balanced_load(sinks.graph.with_edge(kind, server), sinks.rates).load
                after = boundary(more, speed.local, speed.remote).scale
                assert after <= limit[kind] * (1 + 1e-10)


def test_gains_with_three_levels_are_the_linear_programs() -> None:
    graph = CompatibilityGraph.from_neighbours(6, [(0, 2), (1,), (3, 5), (0,)])
    rates, speed = np.array([0.9, 0.2, 0.3, 0.5]), Rates(1.0, 0.2, 0.5)
    sinks = each_server(graph, rates)
    now = program_scale(graph, rates, speed, sinks.rack)
    found = new_replicas(sinks, balanced_load(graph, rates), now, speed)
    assert found
    for replica in found:
        more = graph.with_edge(replica.type, replica.sink)
        expected = program_scale(more, rates, speed, sinks.rack)
        assert replica.scale == pytest.approx(expected, rel=1e-8)
        assert replica.scale > now


def test_an_even_load_gains_nothing() -> None:
    graph = CompatibilityGraph.from_neighbours(2, [(0, 1)])
    sinks = each_server(graph, np.array([1.0]))
    assert new_replicas(sinks, balanced_load(graph, [1.0]), 2.0, Rates(1.0, 0.5)) == []


def test_the_most_asked_for_data_come_first() -> None:
    # one hot server with two types; all of the larger one may move
    graph = CompatibilityGraph.from_neighbours(3, [(0,), (0,), (1,)])
    rates = np.array([1.0, 2.0, 0.5])
    balanced = balanced_load(graph, rates)
    now = boundary(balanced.load, 1.0, 0.5).scale
    first, second = new_replicas(each_server(graph, rates), balanced, now, Rates(1.0, 0.5))
    assert (first.type, first.sink) == (1, 2)
    assert second.type == 0
    assert first.scale > second.scale > now
