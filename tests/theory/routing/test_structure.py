"""Definitions 2 to 4 of the GMSR paper from their words, Lemma 6, Corollaries 1 to 3."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isocline.errors import UsageError
from isocline.model.graph import CompatibilityGraph
from isocline.model.systemfile import load
from isocline.theory import fluid_optimum
from isocline.theory.routing.structure import Structure, structure, structure_of
from isocline.theory.routing.worked_example import MARGINAL_RATES, figure_graph, figure_structure
from tests.builders import mixed
from tests.flow.worlds import random_graph
from tests.theory.routing.states import best_edges, random_state, served
from tests.theory.routing.test_equilibrium import random_system

EXAMPLE = Path(__file__).parents[3] / "examples" / "tiers.yaml"
SEEDS = st.integers(0, 2**32 - 1)


def graph_and_rates(seed: int) -> tuple[CompatibilityGraph, np.ndarray]:
    """Marginal rates from few values, so that many tie."""
    rng = np.random.default_rng(seed)
    sources, sinks = rng.integers(1, 9, 2)
    rates = rng.choice([1.0, 2.0, 3.0, 5.0, 8.0], sinks)
    return random_graph(rng, int(sources), int(sinks), 0.35), rates


def numbered(found: Structure) -> list[tuple[set[int], set[int]]]:
    """Tiers as sets of numbers from 0."""

    def numbers(names: tuple[str, ...]) -> set[int]:
        return {int(name[1:]) - 1 for name in names}

    return [(numbers(tier.frontends), numbers(tier.backends)) for tier in found.tiers]


def test_worked_example_has_the_printed_tiers() -> None:
    found = figure_structure()
    assert [(tier.frontends, tier.backends) for tier in found.tiers] == [
        (("f1", "f4"), ("b1", "b5")),
        (("f2",), ("b2",)),
        (("f3",), ("b4",)),
        ((), ("b3",)),
    ]
    assert [tier.marginal_rate for tier in found.tiers] == [3.0, 2.0, 2.0, 1.0]
    assert found.arcs == ((0, 1), (0, 2), (1, 3), (2, 3))
    assert found.acyclic
    assert found.falling


def test_example_file_is_the_worked_example_at_one_job_each() -> None:
    found = structure(load(EXAMPLE), np.ones(5))
    expected = figure_structure()
    assert found.arcs == expected.arcs
    assert found.edges == expected.edges
    assert found.best_edges == expected.best_edges
    assert [tier[:2] for tier in found.tiers] == [tier[:2] for tier in expected.tiers]
    rates = {name: tier.marginal_rate for tier in found.tiers for name in tier.backends}
    assert [rates[f"b{b}"] for b in range(1, 6)] == pytest.approx(list(MARGINAL_RATES), rel=1e-15)
    # l(1) = peak / 2: 6, 4, 2, 4, 6 leave; f1 and f4 bring 15, f2 3, f3 5
    assert [tier.imbalance for tier in found.tiers] == pytest.approx([3.0, -1.0, 1.0, -2.0])


def test_worked_example_leaves_no_end_alone() -> None:
    graph = figure_graph()
    assert (graph.sources, graph.sinks) == (4, 5)
    assert set(graph.sink.tolist()) == set(range(5))


@settings(max_examples=100, deadline=None)
@given(seed=SEEDS)
def test_definitions_hold_word_by_word(seed: int) -> None:
    graph, rates = graph_and_rates(seed)
    found = structure_of(graph, rates)
    best = {(int(graph.source[e]), int(graph.sink[e])) for e in best_edges(graph, rates)}
    named = {(int(f[1:]) - 1, int(b[1:]) - 1) for f, b in found.best_edges}
    assert named == best
    tiers = numbered(found)
    assert sorted(f for fs, _ in tiers for f in fs) == list(range(graph.sources))
    assert sorted(b for _, bs in tiers for b in bs) == list(range(graph.sinks))
    for fs, bs in tiers:
        inside = {(f, b) for f, b in best if f in fs or b in bs}
        assert all(f in fs and b in bs for f, b in inside)  # Definition 3, 2nd and 3rd clause
        assert is_connected(fs, bs, inside)  # and the 1st
        assert len({rates[b] for b in bs}) == 1
    edges = set(zip(graph.source.tolist(), graph.sink.tolist(), strict=True))
    arcs = {
        (i, j)
        for (i, (fs, _)), (j, (_, bs)) in itertools.permutations(enumerate(tiers), 2)
        if any((f, b) in edges for f in fs for b in bs)
    }
    assert set(found.arcs) == arcs  # Definition 4


def is_connected(fs: set[int], bs: set[int], edges: set[tuple[int, int]]) -> bool:
    reached = {("b", min(bs))}
    for _ in range(len(fs) + len(bs)):
        for f, b in edges:
            if ("f", f) in reached or ("b", b) in reached:
                reached |= {("f", f), ("b", b)}
    return len(reached) == len(fs) + len(bs)


@settings(max_examples=100, deadline=None)
@given(seed=SEEDS)
def test_lemma_6_and_corollaries_1_and_2(seed: int) -> None:
    graph, rates = graph_and_rates(seed)
    found = structure_of(graph, rates)
    rate = [tier.marginal_rate for tier in found.tiers]
    reached = set(found.arcs)
    for _ in rate:
        reached |= {(i, after) for i, j in reached for k, after in found.arcs if j == k}
    assert {(int(i), int(j)) for i, j in np.argwhere(found.reaches)} == reached
    assert all(rate[i] > rate[j] for i, j in reached)
    assert all(i != j for i, j in reached)
    assert found.falling
    assert found.acyclic


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS)
def test_imbalances_add_up_and_vanish_only_at_the_optimum(seed: int) -> None:
    """Corollary 3: all tiers balanced implies N = N*; the other way round is Lemma 4."""
    rng = np.random.default_rng(seed)
    system = random_system(seed)
    at = random_state(rng, system)
    tiers = structure(system, at).tiers
    imbalances = [tier.imbalance for tier in tiers if tier.imbalance is not None]
    assert len(imbalances) == len(tiers)
    assert sum(imbalances) == pytest.approx(system.rates.sum() - served(system, at).sum())
    assert np.abs(imbalances).sum() > 1e-6 * system.rates.sum()
    best = structure(system, fluid_optimum(system).workloads)
    scale = system.rates.sum()
    assert [tier.imbalance / scale for tier in best.tiers] == pytest.approx(
        [0.0] * len(best.tiers), abs=1e-9
    )


def test_a_cycle_would_be_seen() -> None:
    found = figure_structure()
    turned = Structure(found.tiers, found.best_edges, found.edges, ((0, 1), (1, 2), (2, 0)))
    assert not turned.acyclic
    assert not turned.falling
    assert turned.reaches[:3, :3].all()


def test_past_the_peak_of_a_table_the_marginal_rate_is_zero() -> None:
    system = load(EXAMPLE.with_name("regions.yaml"))
    at = np.full(6, 10.0)
    at[4] = 1000.0
    assert structure(system, at).tiers[-1].backends == ("asia-large",)
    assert structure(system, at).tiers[-1].marginal_rate == 0.0


def test_json_and_frame_tell_the_same() -> None:
    found = structure(mixed(), [3.0, 1.0])
    document = json.loads(found.to_json())
    frame = found.to_frame()
    for number, tier in enumerate(document["tiers"], 1):
        assert frame.index[frame["tier"] == number].tolist() == tier["backends"]
    assert frame["imbalance"].nunique() == len(document["tiers"])


@pytest.mark.parametrize("wrong", [[1.0], [1.0, -1.0], [1.0, np.nan], [[1.0, 1.0]]])
def test_workloads_that_make_no_sense_are_refused(wrong: list[float]) -> None:
    with pytest.raises(UsageError, match="give 2 finite numbers, 0 or more"):
        structure(mixed(), wrong)


@pytest.mark.parametrize("wrong", [[1.0] * 4, [1.0, 2.0, 3.0, 4.0, -1.0]])
def test_marginal_rates_that_make_no_sense_are_refused(wrong: list[float]) -> None:
    with pytest.raises(UsageError, match="give 5 finite numbers, 0 or more"):
        structure_of(figure_graph(), wrong)


@pytest.mark.parametrize("many", [False, True])
def test_picture_shows_the_tier_graph_and_a_small_graph_beside_it(many: bool) -> None:
    count = 30 if many else 3
    graph = CompatibilityGraph.from_neighbours(count, [range(count)] * 2)
    titles = [axes.get_title("left") for axes in structure_of(graph, np.ones(count)).plot().axes]
    assert titles == (["TierGraph"] if many else ["frontends and backends", "TierGraph"])
