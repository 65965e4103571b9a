"""Lemma 13 against all subsets, the largest kappa, Propositions 3 and 4 at any state and choice."""

import json
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from isocline.errors import InfeasibleError, UsageError
from isocline.flow import capacity_scale
from isocline.model.curves import HyperbolicCurve
from isocline.model.fleet import RoutingSystem
from isocline.theory.routing.capacity_slack import capacity_slack
from isocline.theory.routing.convergence import Convergence, convergence
from tests.builders import fleet, mixed, station
from tests.flow.worlds import random_graph
from tests.theory.routing.states import (
    inflow,
    marginals,
    random_routing,
    random_state,
    served,
    subsets,
)
from tests.theory.routing.test_equilibrium import n_model, random_system

SEEDS = st.integers(0, 2**32 - 1)
LOADS = st.sampled_from([0.2, 0.7, 0.95])


def least_slack(system: RoutingSystem, capacity: np.ndarray) -> float:
    """Delta from the words of Lemma 13: over every nonempty P."""
    graph = system.graph
    return min(
        float(capacity[sorted({int(b) for f in chosen for b in graph.neighbours(f)})].sum())
        - float(system.rates[list(chosen)].sum())
        for chosen in subsets(range(graph.sources))
    )


def served_at(system: RoutingSystem, kappa: float) -> np.ndarray:
    return served(system, np.array([float(c.workload_at(kappa)) for c in system.curves]))


def test_n_model_by_hand() -> None:
    # l_1' = 1/(N+1)^2 and l_2' = 2/(N+2)^2 meet at N = sqrt 2: half of 1/(sqrt 2 + 1)^2 is kappa
    found = convergence(n_model())
    root = math.sqrt(2.0)
    kappa = 0.5 / (root + 1.0) ** 2
    assert found.kappa == pytest.approx(kappa, rel=1e-12)
    assert found.kappa_largest == pytest.approx(2.0 * kappa, rel=1e-12)
    limits = [kappa**-0.5 - 1.0, (2.0 / kappa) ** 0.5 - 2.0]
    assert [row.limit for row in found.backends] == pytest.approx(limits, rel=1e-12)
    rates = [limits[0] / (limits[0] + 1.0), limits[1] / (limits[1] + 2.0)]
    optimal = [root / (root + 1.0), root / (root + 2.0)]
    assert found.delta == pytest.approx(min(np.subtract(rates, optimal)), rel=1e-9)
    # P = {f1}: 0.4 against b1; P with f2: 0.6 or 1 against both
    slack = min(rates[0] - 0.4, sum(rates) - 1.0)
    assert found.slack == pytest.approx(slack, rel=1e-9)
    assert found.eta == pytest.approx(min(*rates, slack / 2.0), rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, load=LOADS)
def test_lemma_13_with_the_constants_of_its_proof(seed: int, load: float) -> None:
    system = random_system(seed, load)
    found = convergence(system)
    limits = np.array([row.limit for row in found.backends])
    assert marginals(system, limits) == pytest.approx(found.kappa, rel=1e-8)
    least = least_slack(system, served(system, limits))
    assert 0.0 < found.delta <= least * (1.0 + 1e-9)
    assert found.slack == pytest.approx(least, rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, load=LOADS)
def test_every_kappa_below_the_largest_works_and_none_above(seed: int, load: float) -> None:
    system = random_system(seed, load)
    found = convergence(system)
    below, above = 0.999 * found.kappa_largest, 1.001 * found.kappa_largest
    assert least_slack(system, served_at(system, below)) > 0.0
    if marginals(system, np.zeros(len(system.backends))).min() < above:
        return  # some N~_b does not exist
    assert least_slack(system, served_at(system, above)) < 0.0
    scale = capacity_scale(system.graph, system.rates, served_at(system, found.kappa_largest)).scale
    assert scale == pytest.approx(1.0, abs=1e-8)


@settings(max_examples=100, deadline=None)
@given(seed=SEEDS, share=st.floats(0.2, 3.0))
def test_capacity_slack_is_the_least_over_all_nonempty_sets(seed: int, share: float) -> None:
    """Feasible or not, with sinks that take nothing."""
    rng = np.random.default_rng(seed)
    graph = random_graph(rng, 7, 6, 0.3)
    supply = rng.uniform(0.1, 1.0, 7)
    capacity = share * rng.uniform(0.0, 2.0, 6) * (rng.random(6) < 0.9)
    found = capacity_slack(graph, supply, capacity)
    system = fleet([HyperbolicCurve(1.0, 1.0)] * 6, supply.tolist(),
                   [graph.neighbours(f).tolist() for f in range(7)])  # fmt: skip
    assert found.slack == pytest.approx(least_slack(system, capacity), rel=1e-9, abs=1e-12)
    around = {int(b) for f in found.sources for b in graph.neighbours(int(f))}
    own = capacity[sorted(around)].sum() - supply[found.sources].sum()
    assert found.slack == pytest.approx(own, rel=1e-12, abs=1e-15)


@settings(max_examples=100, deadline=None)
@given(seed=SEEDS, load=LOADS)
def test_proposition_3_at_any_state_and_any_routing(seed: int, load: float) -> None:
    """In K for the proof's kappa as printed; anywhere with the largest kappa whose K holds N."""
    rng = np.random.default_rng(seed)
    system = random_system(seed, load)
    found = convergence(system)
    at = random_state(rng, system)
    velocity = inflow(system, random_routing(rng, system, at)) - served(system, at)
    lyapunov = np.abs(velocity).sum()
    slightly_more = 1.0 + 1e-9
    assert found.gap(at) <= found.bound(at, lyapunov) * slightly_more
    inside = np.minimum(at, [row.limit for row in found.backends])
    velocity = inflow(system, random_routing(rng, system, inside)) - served(system, inside)
    assert marginals(system, inside).min() >= found.kappa * (1.0 - 1e-9)
    gap = abs(inside.sum() - found.total_jobs)
    assert gap <= np.abs(velocity).sum() / found.kappa * slightly_more


@settings(max_examples=100, deadline=None)
@given(seed=SEEDS, load=LOADS)
def test_proposition_4_outside_k_some_workload_falls_at_least_at_eta(
    seed: int, load: float
) -> None:
    rng = np.random.default_rng(seed)
    system = random_system(seed, load)
    found = convergence(system)
    at = random_state(rng, system, low=1e-3)
    assume(not found.contains(at))
    velocity = inflow(system, random_routing(rng, system, at)) - served(system, at)
    assert found.eta > 0.0
    assert velocity.min() <= -found.eta * (1.0 - 1e-9)


def test_k_is_where_all_marginal_rates_are_at_least_kappa() -> None:
    found = convergence(n_model())
    limits = np.array([row.limit for row in found.backends])
    states = np.array([[0.0, 0.0], limits * (1 - 1e-9), limits * [1, 1 + 1e-6], [50.0, 0.0]])
    assert found.contains(states).tolist() == [True, True, False, False]
    assert found.contains(states[3], kappa=1e-9)
    assert found.kappa_at(states).tolist() == pytest.approx(
        [found.kappa_largest, found.kappa, found.kappa, 1.0 / 51.0**2], rel=1e-5
    )


def test_slack_at_another_kappa_falls_to_zero_at_the_largest() -> None:
    found = convergence(n_model())
    share = np.array([0.1, 0.5, 0.9, 1.0, 1.1])
    slack = [found.slack_at(s * found.kappa_largest) for s in share]
    assert slack == sorted(slack, reverse=True)
    assert slack[1] == pytest.approx(found.slack)
    assert slack[3] == pytest.approx(0.0, abs=1e-12)
    assert slack[4] < 0.0


def test_beyond_five_thousand_frontends_the_proofs_delta_stands_in() -> None:
    system = fleet([HyperbolicCurve(9000.0, 10.0)] * 2, [1.0] * 5001)
    found = convergence(system)
    assert found.slack is None
    assert found.eta == pytest.approx(found.delta / 2)


def test_json_and_frame_tell_the_same() -> None:
    found = convergence(mixed())
    document = json.loads(found.to_json())
    assert document["kappa"] == found.kappa
    assert found.to_frame()["jobs"].sum() == pytest.approx(document["total_jobs"])


def test_an_infeasible_load_or_a_servers_curve_is_refused_by_name() -> None:
    with pytest.raises(InfeasibleError):
        convergence(n_model(2.0))
    with pytest.raises(UsageError, match="backend b0: a servers curve"):
        convergence(fleet([station()], [0.5]))


@pytest.mark.parametrize("wrong", [0.0, -1.0, math.inf, math.nan])
def test_a_kappa_that_makes_no_sense_is_refused(wrong: float) -> None:
    with pytest.raises(UsageError, match="give a finite number above 0"):
        convergence(mixed()).slack_at(wrong)


def test_workloads_of_another_system_are_refused() -> None:
    found: Convergence = convergence(mixed())
    with pytest.raises(UsageError, match="last dimension must be the 2 backends"):
        found.contains(np.zeros((4, 3)))
