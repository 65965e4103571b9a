import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isocline.errors import UsageError
from isocline.model.cluster import Cluster, HotSpot, Rates, SampledTasks
from isocline.model.graph import CompatibilityGraph
from isocline.theory.scheduling.capacity_region import balanced_load, boundary
from isocline.theory.scheduling.cluster_sinks import rack_sinks
from isocline.theory.scheduling.rack_capacity import merged, rack_capacity
from isocline.theory.scheduling.rack_program import RackProgram, Sinks
from tests.theory.scheduling.clusters import program_scale, random_types


def in_racks(rng: np.random.Generator, servers: int) -> np.ndarray:
    return rng.integers(0, int(rng.integers(1, 5)), servers).astype(np.int32)


def random_rates(rng: np.random.Generator) -> Rates:
    local, rack, remote = np.sort(rng.uniform(0.1, 2.0, 3))[::-1].tolist()
    return Rates(local, remote, rack)


def alone(rack: np.ndarray) -> Sinks:
    return Sinks(np.ones(rack.size), rack)


def test_capacity_is_that_of_the_program_written_out_on_200_random_systems() -> None:
    by_program = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        graph, rates = random_types(rng, 8, 8)
        rack, speed = in_racks(rng, graph.sinks), random_rates(rng)
        found = rack_capacity(graph, rates, alone(rack), speed)
        expected = program_scale(graph, rates, speed, rack)
        assert found.scale == pytest.approx(expected, rel=1e-8), seed
        by_program += found.by_program
    assert by_program > 100  # the others: brackets that agree


def test_without_a_gain_in_the_rack_the_program_is_the_formula_of_two_levels() -> None:
    # the program itself, where `rack_capacity` would not ask it: all in one rack, beta for gamma
    for seed in range(50):
        graph, rates = random_types(np.random.default_rng(seed))
        rack = np.zeros(graph.sinks, dtype=np.int32)
        speed = Rates(1.0, 0.1, 0.4)
        scale, bound = RackProgram(graph, rates, alone(rack), speed).largest_scale()
        expected = boundary(balanced_load(graph, rates).load, 1.0, 0.4).scale
        assert scale == pytest.approx(expected, rel=1e-9), seed
        assert bound == pytest.approx(expected, rel=1e-9), seed


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_any_prices_prove_a_bound_that_capacity_respects(seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph, rates = random_types(rng)
    rack, speed = in_racks(rng, graph.sinks), random_rates(rng)
    program = RackProgram(graph, rates, alone(rack), speed)
    scale, bound = program.largest_scale()
    assert bound == pytest.approx(scale, rel=1e-8)
    prices = rng.exponential(1.0, program.room.size)
    assert program.bound(prices) >= scale * (1 - 1e-9)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_capacity_lies_between_those_of_two_levels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph, rates = random_types(rng)
    speed = random_rates(rng)
    assert speed.rack is not None
    load = balanced_load(graph, rates).load
    found = rack_capacity(graph, rates, alone(in_racks(rng, graph.sinks)), speed).scale
    assert boundary(load, speed.local, speed.remote).scale <= found * (1 + 1e-9)
    assert found <= boundary(load, speed.local, speed.rack).scale * (1 + 1e-9)


def test_an_even_load_needs_no_program() -> None:
    graph = CompatibilityGraph.from_neighbours(4, [(0, 1), (2, 3), (1, 2)])
    found = rack_capacity(
        graph, [1.0, 1.0, 2.0], alone(np.array([0, 0, 1, 1], np.int32)), Rates(1.0, 0.2, 0.5)
    )
    assert found.scale == pytest.approx(1.0, rel=1e-12)
    assert not found.by_program


def test_equal_sets_of_servers_become_one_type() -> None:
    graph = CompatibilityGraph.from_neighbours(3, [(0, 1), (2,), (0, 1), (1, 2)])
    sets, rates = merged(graph, np.array([1.0, 2.0, 4.0, 8.0]))
    found = {tuple(sets.neighbours(i).tolist()): rates[i] for i in range(sets.sources)}
    assert found == {(0, 1): 5.0, (2,): 2.0, (1, 2): 8.0}


def test_groups_cut_by_racks_have_the_capacity_of_the_hot_spot() -> None:
    # hot and other servers stand in racks of their own, so that no help comes from within a rack:
    # 0.8 x - 100 = (100 - 0.2 x)/4
    tasks = SampledTasks(3, 100.0, HotSpot(0.5, 0.8), "hdfs")
    cluster = Cluster.numbered(200, Rates(1.0, 0.25, 0.5), tasks, racks=10)
    cut = rack_sinks(cluster)
    assert cut.rates.sum() == pytest.approx(100.0, rel=1e-12)
    found = rack_capacity(cut.graph, cut.rates, Sinks(cut.sizes, cut.rack), cluster.rates)
    assert found.scale * 100.0 == pytest.approx(125.0 / 0.85, rel=1e-9)


def test_groups_give_nearly_what_a_sample_of_types_gives() -> None:
    tasks = SampledTasks(2, 40.0, HotSpot(0.4, 0.8))
    cluster = Cluster.numbered(40, Rates(1.0, 0.2, 0.6), tasks, racks=4)
    cut, types = rack_sinks(cluster), tasks.types(cluster, 4000)
    grouped = rack_capacity(cut.graph, cut.rates, Sinks(cut.sizes, cut.rack), cluster.rates)
    listed = rack_capacity(types.graph, types.rates, alone(cluster.rack), cluster.rates)
    # the share of hot tasks among 4000 is off by 0.0063 (one standard deviation): 1 % of the scale
    assert grouped.by_program
    assert listed.scale == pytest.approx(grouped.scale, rel=0.03)


def test_without_a_rack_rate_there_is_nothing_to_ask() -> None:
    graph = CompatibilityGraph.from_neighbours(2, [(0, 1)])
    with pytest.raises(UsageError, match="there is no rack rate"):
        rack_capacity(graph, [1.0], alone(np.zeros(2, np.int32)), Rates(1.0, 0.5))


def test_a_program_that_takes_too_long_is_given_up_with_its_bracket() -> None:
    rng = np.random.default_rng(0)
    graph, rates = random_types(rng, 8, 8)
    rack, speed = in_racks(rng, graph.sinks), random_rates(rng)
    true = rack_capacity(graph, rates, alone(rack), speed)
    assert true.by_program
    with pytest.raises(UsageError, match="is not solved within 0 s") as refused:
        rack_capacity(graph, rates, alone(rack), speed, most_seconds=0.0)
    said = re.search(r"between (\S+) and ([^ ;]+);", str(refused.value))
    assert said is not None
    low, high = map(float, said.groups())
    assert low * (1.0 - 1e-5) <= true.scale <= high * (1.0 + 1e-5)
