import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from isocline.model.graph import CompatibilityGraph
from isocline.theory.scheduling.capacity_region import BalancedLoad, balanced_load, boundary
from isocline.theory.scheduling.decomposition import Decomposition, decompose_load, share_out
from tests.theory.scheduling.clusters import random_types

seeds = st.integers(0, 2**32 - 1)
loads = st.sampled_from([0.3, 0.8, 0.99, 1 - 1e-9])
LOCAL = 1.0


def decomposed(
    seed: int, load: float
) -> tuple[CompatibilityGraph, np.ndarray, float, BalancedLoad, Decomposition]:
    """A random system at a share of its capacity, its balanced load and its decomposition."""
    rng = np.random.default_rng(seed)
    graph, rates = random_types(rng)
    remote = float(rng.uniform(0.05, 0.95))
    rates = rates * (load * boundary(balanced_load(graph, rates).load, LOCAL, remote).scale)
    balanced = balanced_load(graph, rates)
    return graph, rates, remote, balanced, decompose_load(balanced.load, LOCAL, remote)


def by_type_queue_and_server(
    graph: CompatibilityGraph, balanced: BalancedLoad, found: Decomposition
) -> np.ndarray:
    """lambda_{L,n,m}: what is queued at n is helped in the same proportion for all types."""
    servers = graph.sinks
    nu = np.zeros((servers, servers))
    nu[found.helps.beneficiary, found.helps.helper] = found.helps.rate
    nu[np.diag_indices(servers)] = found.load - nu.sum(axis=1)
    rate = np.zeros((graph.sources, servers, servers))
    for edge in np.flatnonzero(balanced.flow):
        kind, queue = graph.source[edge], graph.sink[edge]
        rate[kind, queue] = balanced.flow[edge] * nu[queue] / found.load[queue]
    return rate


@given(seed=seeds, load=loads)
def test_the_decomposition_satisfies_eq_1(seed: int, load: float) -> None:
    graph, rates, remote, balanced, found = decomposed(seed, load)
    rate = by_type_queue_and_server(graph, balanced, found)
    assert rate.min() >= -1e-14
    assert rate.sum(axis=(1, 2)) == pytest.approx(rates, rel=1e-10)
    for m in range(graph.sinks):
        local = np.array([m in graph.neighbours(kind) for kind in range(graph.sources)])
        work = rate[local, :, m].sum() / LOCAL + rate[~local, :, m].sum() / remote
        # one share of all remote service is in use, so at 1 - 1e-9 helpers are almost never idle
        assert work < 1.0 + 1e-11


@given(seed=seeds, load=loads)
def test_overloaded_servers_receive_only_types_that_are_local_to_no_other_eq_2(
    seed: int, load: float
) -> None:
    graph, _, _, balanced, found = decomposed(seed, load)
    inside = np.logical_and.reduceat(found.overloaded[graph.sink], graph.first[:-1])
    into = found.overloaded[graph.sink] & ~inside[graph.source]
    assert balanced.flow[into].sum() <= 1e-12 * balanced.flow.sum()


@given(seed=seeds, load=loads)
def test_every_server_is_a_helper_or_a_beneficiary_lemma_3(seed: int, load: float) -> None:
    _, _, remote, _, found = decomposed(seed, load)
    both = np.concatenate((found.helpers, found.beneficiaries))
    assert sorted(both.tolist()) == list(range(found.load.size))
    assert (found.load[found.helpers] < LOCAL).all()
    assert (found.load[found.beneficiaries] >= LOCAL * (1 - 1e-12)).all()
    assert np.isin(found.helps.helper, found.helpers).all()
    assert np.isin(found.helps.beneficiary, found.beneficiaries).all()
    got = np.bincount(found.helps.beneficiary, found.helps.rate, found.load.size)
    assert got == pytest.approx(np.maximum(found.load - LOCAL, 0.0), abs=1e-10)
    given_ = np.bincount(found.helps.helper, found.helps.rate, found.load.size)
    assert (given_ <= remote * np.maximum(1.0 - found.load, 0.0) + 1e-11).all()


@given(seed=seeds, load=loads)
def test_slack_is_epsilon_of_eq_10(seed: int, load: float) -> None:
    graph, rates, remote, _, found = decomposed(seed, load)
    helpers, needy = found.helpers, found.beneficiaries
    at_helpers = np.isin(graph.sink, helpers)
    joined = np.logical_or.reduceat(at_helpers, graph.first[:-1])  # types in L*_H
    phi = rates[joined].sum() / LOCAL
    served = needy.size * LOCAL + phi * LOCAL + remote * (helpers.size - phi)
    assert found.slack == pytest.approx(served - rates.sum(), abs=1e-10)
    assert found.slack > 0


def test_outside_the_region_all_helpers_give_all_and_needs_are_met_in_one_share() -> None:
    found = decompose_load(np.array([3.0, 2.0, 0.5, 0.0]), 1.0, 0.5)
    assert found.slack == pytest.approx(0.75 - 3.0)
    got = np.bincount(found.helps.beneficiary, found.helps.rate, 4)
    gave = np.bincount(found.helps.helper, found.helps.rate, 4)
    assert gave == pytest.approx([0.0, 0.0, 0.25, 0.5])
    assert got == pytest.approx([0.5, 0.25, 0.0, 0.0])  # a quarter of what each needs


@example(offered=[3.875], wanted=[2e-313])
@given(
    offered=st.lists(st.floats(0.0, 10.0), min_size=1, max_size=12),
    wanted=st.lists(st.floats(0.0, 10.0), min_size=1, max_size=12),
)
def test_sharing_out_gives_every_one_its_part_in_few_entries(
    offered: list[float], wanted: list[float]
) -> None:
    size = max(len(offered), len(wanted))
    give, take = np.zeros(size), np.zeros(size)
    give[: len(offered)], take[: len(wanted)] = offered, wanted
    helps = share_out(give, take)
    total = min(math.fsum(give), math.fsum(take))
    if total == 0.0:
        assert not helps.rate.size
        return
    assert helps.rate.size < np.count_nonzero(give) + np.count_nonzero(take)
    gave = np.bincount(helps.helper, helps.rate, size)
    got = np.bincount(helps.beneficiary, helps.rate, size)
    # The smallest numbers have few digits: each rate may be off by one of the last.
    rounding = 1e-10 * total + helps.rate.size * math.ulp(0.0)
    assert gave == pytest.approx(give / give.sum() * total, abs=rounding)
    assert got == pytest.approx(take / take.sum() * total, abs=rounding)
