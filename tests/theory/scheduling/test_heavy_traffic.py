import math

import numpy as np
import pytest
from scipy.stats import poisson

from isocline.errors import UsageError
from isocline.model.graph import CompatibilityGraph
from isocline.theory.scheduling.decomposition import decompose_load
from isocline.theory.scheduling.heavy_traffic import even_bounds, overloaded_bounds, pools


def mean_queue(rate: float, alpha: float, states: int = 1500) -> float:
    """E[Q] of Q+ = max(Q + A - S, 0), A Poisson and S Bernoulli, from its stationary equations."""
    arrivals = poisson.pmf(np.arange(40), rate)
    step = np.zeros((states, states))
    for queue in range(states):
        for served, chance in ((0, 1.0 - alpha), (1, alpha)):
            to = np.clip(queue + np.arange(40) - served, 0, states - 1)
            np.add.at(step[queue], to, chance * arrivals)
    equations = np.vstack((step.T - np.eye(states), np.ones(states)))[1:]
    share = np.linalg.solve(equations, np.append(np.zeros(states - 1), 1.0))
    return float(share @ np.arange(states))


@pytest.mark.parametrize(("rate", "alpha"), [(0.3, 0.5), (0.45, 0.5), (0.8, 0.9), (0.9, 1.0)])
def test_theorem_6_is_exact_for_one_server_in_slots(rate: float, alpha: float) -> None:
    # E[U^2] = E[U] where at most one task is served, so that the bound's last term is exact
    found = even_bounds(np.array([rate]), alpha, "slotted")
    assert found.lower == pytest.approx(mean_queue(rate, alpha), rel=1e-8)
    assert found.leading > found.lower


@pytest.mark.parametrize("rate", [0.2, 0.7, 0.99])
def test_theorem_6_is_exact_for_m_m_1_in_continuous_time(rate: float) -> None:
    assert even_bounds(np.array([rate]), 1.0).lower == pytest.approx(rate / (1.0 - rate))


@pytest.mark.parametrize("servers", [2, 5, 20])
@pytest.mark.parametrize("load", [0.3, 0.9, 0.999])
def test_m_m_n_lies_above_the_bound_and_nears_it(servers: int, load: float) -> None:
    offered = servers * load
    waiting = offered**servers / math.factorial(servers) / (1.0 - load)
    everything = waiting + sum(offered**k / math.factorial(k) for k in range(servers))
    mean = offered + waiting / everything * load / (1.0 - load)  # Erlang's C
    found = even_bounds(np.full(servers, load), 1.0)
    assert found.lower <= mean * (1 + 1e-12)
    if load > 0.99:
        # what is left is at most the servers' own tasks: o(1/epsilon)
        assert mean * found.epsilon == pytest.approx(found.limit, abs=servers * found.epsilon)


def test_shorter_slots_tend_to_continuous_time() -> None:
    load = np.array([0.9, 0.8])
    continuous = even_bounds(load, 1.0)
    slots = even_bounds(1e-6 * load, 1e-6, "slotted")
    assert slots.leading == pytest.approx(continuous.leading, rel=1e-5)
    assert slots.lower == pytest.approx(continuous.leading - 1.0, rel=1e-5)  # M/2, not 1/2


def test_variances_of_theorems_3_and_5_are_those_of_the_papers_processes() -> None:
    # two beneficiaries of load 0.6, two helpers of load 0.1 and 0.3; alpha 0.5, gamma 0.25
    found = overloaded_bounds(
        decompose_load(np.array([0.6, 0.1, 0.6, 0.3]), 0.5, 0.25), 0.5, "slotted"
    )
    g = np.array([0.25 * 0.8, 0.25 * 0.4])
    assert found.arrival_variance == pytest.approx(1.2)
    assert found.service_variance == pytest.approx(2 * 0.25 + (g * (1 - g)).sum())
    assert found.epsilon == pytest.approx(2 * 0.5 + g.sum() - 1.2)
    variance = found.arrival_variance + found.service_variance
    printed = (variance + found.epsilon**2) / (2 * found.epsilon) - 4 / 2
    assert found.lower == pytest.approx(printed)
    assert found.leading == pytest.approx(variance / (2 * found.epsilon))


def test_pools_are_servers_that_types_connect() -> None:
    graph = CompatibilityGraph.from_neighbours(7, [(4, 1), (1, 2), (0, 3), (5,)])
    assert [pool.tolist() for pool in pools(graph)] == [[0, 3], [1, 2, 4], [5], [6]]


def test_outside_the_capacity_region_there_are_no_bounds() -> None:
    with pytest.raises(UsageError, match="lower the rates"):
        even_bounds(np.array([1.0, 1.2]), 1.0)
    with pytest.raises(UsageError, match="lower the rates"):
        overloaded_bounds(decompose_load(np.array([1.9, 0.1]), 1.0, 0.5), 1.0)


def test_theorems_for_hot_spots_need_one() -> None:
    with pytest.raises(UsageError, match="use even_bounds"):
        overloaded_bounds(decompose_load(np.array([0.9, 0.1]), 1.0, 0.5), 1.0)


def test_rates_above_one_are_no_probabilities() -> None:
    with pytest.raises(UsageError, match="use the continuous clock"):
        even_bounds(np.array([1.0]), 2.0, "slotted")
