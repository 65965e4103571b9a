"""Bounds that no policy goes below, against exact and independent results."""

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given
from hypothesis import strategies as st

from isocline.model.cluster import Cluster, ExplicitTasks, HotSpot, Rates, SampledTasks, ServiceLaw
from isocline.model.graph import CompatibilityGraph
from isocline.model.traffic import DeterministicSizes
from isocline.simulate.scheduling.lower_bound import erlang_c, least_latency
from isocline.theory.scheduling.near_data_plan import near_data_plan
from tests.naive import erlang_c_mean

PAPER = HotSpot(servers=0.5, share=0.8)


def loads(cluster: Cluster) -> np.ndarray:
    return np.array(near_data_plan(cluster, replicas_to_try=0).loads)


@given(st.integers(1, 60), st.floats(0.01, 0.99))
def test_the_probability_of_waiting_is_erlangs(servers: int, load: float) -> None:
    offered = load * servers
    exact = erlang_c_mean(offered, servers)
    found = offered + erlang_c(offered, servers) * load / (1 - load)
    assert found == pytest.approx(exact, rel=1e-9)


def test_a_million_servers_at_a_load_of_095_never_make_anyone_wait() -> None:
    assert erlang_c(0.95e6, 10**6) == 0.0


def test_one_server_with_all_data_is_mm1() -> None:
    types = ExplicitTasks(CompatibilityGraph.from_neighbours(1, [[0]]), np.array([0.7]))
    one = Cluster.numbered(1, Rates(local=1.0, remote=0.5), types)
    assert least_latency(one, loads(one), slotted=False).latency == pytest.approx(1 / (1 - 0.7))


def test_the_hot_spot_of_the_paper_must_run_a_fifth_remotely_at_capacity() -> None:
    # 0.8 of 833.3 tasks/s want the 500 tasks/s of the hot half: 166.7, a fifth, go elsewhere, for
    # twice as long.
    cluster = Cluster.numbered(1000, Rates(local=1.0, remote=0.5), SampledTasks(3, 2500 / 3, PAPER))
    bound = least_latency(cluster, loads(cluster), slotted=True)
    assert bound.latency == pytest.approx(0.8 + 0.2 * 2.0)
    assert "20.0%" in bound.in_words


@pytest.mark.parametrize("service", [None, DeterministicSizes()])
def test_near_capacity_the_bound_grows_only_where_service_is_exponential(
    service: ServiceLaw | None,
) -> None:
    def at(load: float) -> float:
        tasks = SampledTasks(1, 10 * load / 1.2, PAPER)
        cluster = Cluster.numbered(10, Rates(local=1.0, remote=0.5), tasks, service=service)
        return least_latency(cluster, loads(cluster), slotted=False).latency

    assert (at(0.999) > 50.0) == (service is None)


def least_mean_tasks(hot: float, cold: float, largest: int = 14) -> float:
    """The least mean number of tasks of any policy, for one beneficiary and one helper.

    alpha = 1, gamma = 1/2, preemption allowed, so that it bounds policies without it. The linear
    program of the Markov decision process over (hot, cold) tasks, cut at `largest` by blocking,
    which lowers the mean further.
    """
    size = largest + 1
    actions = []
    for h in range(size):
        for c in range(size):
            for own in ("h", "c", ""):
                for other in ("h", "c", ""):
                    busy = [own, other]
                    if busy.count("h") <= h and busy.count("c") <= c:
                        rate_h = 1.0 * (own == "h") + 0.5 * (other == "h")
                        rate_c = 0.5 * (own == "c") + 1.0 * (other == "c")
                        actions.append((h, c, rate_h, rate_c))
    balance = np.zeros((size * size + 1, len(actions)))
    for i, (h, c, rate_h, rate_c) in enumerate(actions):
        moves = ((h + 1, c, hot), (h, c + 1, cold), (h - 1, c, rate_h), (h, c - 1, rate_c))
        for to_h, to_c, rate in moves:
            if 0 <= to_h < size and 0 <= to_c < size and rate > 0:
                balance[h * size + c, i] -= rate
                balance[to_h * size + to_c, i] += rate
        balance[-1, i] = 1.0
    right = np.zeros(size * size + 1)
    right[-1] = 1.0
    cost = np.array([h + c for h, c, *_ in actions], dtype=np.float64)
    found = scipy.optimize.linprog(cost, A_eq=balance, b_eq=right, method="highs")
    assert found.status == 0
    assert found.fun is not None
    return float(found.fun)


@pytest.mark.parametrize(("hot", "cold"), [(0.6, 0.3), (1.05, 0.2), (0.9, 0.0001), (0.3, 0.3)])
def test_no_policy_of_a_small_decision_process_goes_below(hot: float, cold: float) -> None:
    types = ExplicitTasks(CompatibilityGraph.from_neighbours(2, [[0], [1]]), np.array([hot, cold]))
    pair = Cluster.numbered(2, Rates(local=1.0, remote=0.5), types)
    bound = least_latency(pair, loads(pair), slotted=False).latency * (hot + cold)
    least = least_mean_tasks(hot, cold)
    assert bound <= least
    assert bound > 0.6 * least, "a bound this loose would show nothing"
