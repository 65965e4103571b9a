"""Numbers of arrivals of any variance: their law, an exact chain, and Theorems 3, 5, 6 and 8."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from isocline.errors import UsageError
from isocline.model.cluster import Cluster, ExplicitTasks, Rates, SlotArrivals
from isocline.model.graph import CompatibilityGraph
from isocline.report.reproduce.neardata_heavy import even, overloaded
from isocline.simulate.scheduling.compare import simulate_cluster
from isocline.theory.scheduling.heavy_traffic import even_bounds
from isocline.theory.scheduling.near_data_plan import near_data_plan

COUNT = 200_000


@given(
    mean=st.floats(0.05, 40.0),
    dispersion=st.floats(0.0, 6.0),
    seed=st.integers(0, 2**32),
)
def test_numbers_have_the_mean_and_the_variance_that_were_asked_for(
    mean: float, dispersion: float, seed: int
) -> None:
    law = SlotArrivals(dispersion)
    part = mean % 1.0
    if dispersion * mean < part * (1.0 - part) - 1e-9:
        with pytest.raises(UsageError, match="vary by at least"):
            law.require(mean)
        return
    law.require(mean)
    numbers = law.sample(np.random.default_rng(seed), mean, 20_000).astype(float)
    assert numbers.min() >= 0
    assert (numbers == np.rint(numbers)).all()
    variance = dispersion * mean
    assert abs(numbers.mean() - mean) <= 6.0 * (variance / 20_000) ** 0.5 + 1e-9
    # The error of a variance, from the fourth moment that was found.
    square = (numbers - mean) ** 2
    error = 6.0 * square.std() / 20_000**0.5 + 0.02 * variance + 1e-9
    assert abs(square.mean() - variance) <= error


def mean_queue(law: np.ndarray, alpha: float, states: int = 800) -> float:
    """E[Q] of Q+ = max(Q + A - S, 0), S Bernoulli, from its stationary equations."""
    step = np.zeros((states, states))
    for queue in range(states):
        for served, chance in ((0, 1.0 - alpha), (1, alpha)):
            to = np.clip(queue + np.arange(law.size) - served, 0, states - 1)
            np.add.at(step[queue], to, chance * law)
    equations = np.vstack((step.T - np.eye(states), np.ones(states)))[1:]
    share = np.linalg.solve(equations, np.append(np.zeros(states - 1), 1.0))
    return float(share @ np.arange(states))


ALPHA, RATE = 0.8, 0.6
NUMBERS = np.arange(80)
LAWS = {
    # r = m^2 / (v - m) and p = m / v.
    2.5: stats.nbinom.pmf(NUMBERS, RATE / 1.5, 1.0 / 2.5),
    1.0: stats.poisson.pmf(NUMBERS, RATE),
    # m (1 - m / 2) = 0.7 m, of two trials.
    0.7: stats.binom.pmf(NUMBERS, 2, RATE / 2),
    # m (1 - m) = 0.4 m, the least there is.
    0.4: stats.bernoulli.pmf(NUMBERS, RATE),
}


@pytest.mark.parametrize("dispersion", LAWS)
def test_one_server_follows_its_chain_and_theorem_6_is_exact(
    dispersion: float,
) -> None:
    law = LAWS[dispersion]
    assert law @ NUMBERS == pytest.approx(RATE)
    assert law @ (NUMBERS - RATE) ** 2 == pytest.approx(dispersion * RATE)
    exact = mean_queue(law, ALPHA)
    bound = even_bounds(np.array([RATE]), ALPHA, "slotted", SlotArrivals(dispersion))
    assert bound.lower == pytest.approx(exact, rel=1e-6)
    graph = CompatibilityGraph.from_neighbours(1, [(0,)])
    tasks = ExplicitTasks(graph, np.array([RATE]))
    cluster = Cluster.numbered(1, Rates(ALPHA, ALPHA / 2), tasks, arrivals=SlotArrivals(dispersion))
    found = simulate_cluster(cluster, ["local_first"], clock="slotted", percentiles=False)
    tasks_seen = found.policies[0].mean_tasks
    assert tasks_seen is not None
    # Tasks are counted after the arrivals of a slot, the chain before them.
    assert abs(tasks_seen.value - RATE - exact) <= 2.0 * tasks_seen.half_width


@pytest.mark.parametrize("dispersion", [0.3, 4.0])
@pytest.mark.parametrize("case", [even, overloaded], ids=["even", "overloaded"])
def test_queues_keep_to_the_theorems_at_any_variance(
    case: Callable[[float], Cluster], dispersion: float
) -> None:
    cluster = case(0.1)
    cluster = Cluster(
        cluster.servers, cluster.rack, cluster.racks, cluster.rates, cluster.tasks,
        arrivals=SlotArrivals(dispersion),
    )  # fmt: skip
    bound = near_data_plan(cluster, clock="slotted", replicas_to_try=0).bounds
    assert bound is not None
    poisson = near_data_plan(case(0.1), clock="slotted", replicas_to_try=0).bounds
    assert poisson is not None
    found = simulate_cluster(
        cluster, ["local_first"], clock="slotted", horizon=120_000.0, warmup=20_000.0,
        percentiles=False,
    ).policies[0]  # fmt: skip
    assert found.mean_tasks is not None
    queue = found.mean_tasks.value - cluster.arrival_rate
    width = found.mean_tasks.half_width
    assert queue + 2 * width >= bound.lower
    # All queues together are above those of the beneficiaries by what the helpers hold; o(1/eps).
    assert queue - 2 * width <= 1.15 * bound.leading + 8.0
    # At a Poisson variance the theorems would put it elsewhere.
    if dispersion > 1:
        assert queue - 2 * width > poisson.leading + 8.0
    else:
        assert queue + 2 * width < 0.8 * poisson.leading + 8.0


def test_a_part_of_the_tasks_varies_less_than_all() -> None:
    law = SlotArrivals(3.0)
    generator = np.random.default_rng(5)
    part = generator.binomial(law.sample(generator, 10.0, COUNT), 0.4)
    assert law.variance_of(4.0, 10.0) == pytest.approx(4.0 * 1.8)
    assert part.var() == pytest.approx(law.variance_of(4.0, 10.0), rel=0.03)


def test_poisson_arrivals_are_what_they_were() -> None:
    ours = SlotArrivals().sample(np.random.default_rng(3), 5.0, 100)
    assert ours.tolist() == np.random.default_rng(3).poisson(5.0, 100).tolist()


def small(**others: Any) -> Cluster:
    tasks = ExplicitTasks(CompatibilityGraph.from_neighbours(2, [(0, 1)]), np.array([0.5]))
    return Cluster.numbered(2, Rates(0.5, 0.25), tasks, **others)


def test_a_variance_belongs_to_the_slotted_clock_and_keeps_its_dispersion() -> None:
    with pytest.raises(UsageError, match="give --clock slotted"):
        simulate_cluster(small(), ["local_first"], arrivals="dispersion=2")
    found = simulate_cluster(
        small(), ["local_first"], clock="slotted", arrivals="variance=0.75", load=0.8,
        replications=2, percentiles=False,
    )  # fmt: skip
    assert "arrivals with variance 1.5 times their mean" in found.source
    with pytest.raises(UsageError, match="vary by at least"):
        simulate_cluster(small(), ["local_first"], clock="slotted", arrivals="dispersion=0.1")


@pytest.mark.parametrize("word", ["gamma:cv=2", "variance", "variance=x", "dispersion=nan"])
def test_another_word_is_answered_with_the_right_ones(word: str) -> None:
    with pytest.raises(UsageError, match="give variance=V, in tasks per slot, or dispersion=D"):
        simulate_cluster(small(), ["local_first"], clock="slotted", arrivals=word)
