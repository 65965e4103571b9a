"""Lemmas 3 to 12, Propositions 1 to 3 and Theorem 2 of the GMSR paper over random systems.

What needs no trajectory of its own is in test_structure.py (Lemma 6, Corollaries 1 to 3) and
test_convergence.py (Lemma 13, Propositions 3 and 4).
"""

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from isocline.model.fleet import RoutingSystem
from isocline.theory import fluid_optimum
from isocline.theory.routing.convergence import convergence
from isocline.theory.routing.direction import direction
from isocline.theory.routing.inclusion import fluid
from isocline.theory.routing.structure import Structure, structure_of
from tests.theory.routing.states import (
    inflow,
    marginals,
    random_routing,
    random_state,
    served,
    subsets,
)
from tests.theory.routing.test_equilibrium import random_system

SEEDS = st.integers(0, 2**32 - 1)
LOADS = st.sampled_from([0.2, 0.7, 0.95])


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, load=LOADS)
def test_lemma_3_the_plan_levels_and_no_other_split_has_fewer_jobs(seed: int, load: float) -> None:
    rng = np.random.default_rng(seed)
    system = random_system(seed, load)
    graph, best = system.graph, fluid_optimum(system)
    price = 1.0 / marginals(system, best.workloads)
    for f in range(graph.sources):
        edges = range(graph.first[f], graph.first[f + 1])
        least = min(price[graph.sink[e]] for e in edges)
        used = [price[graph.sink[e]] for e in edges if best.split[e] > 1e-9 * system.rates[f]]
        assert used == pytest.approx([least] * len(used), rel=1e-6)
    other = np.concatenate(
        [
            rate * rng.dirichlet(np.full(graph.first[f + 1] - graph.first[f], 0.5))
            for f, rate in enumerate(system.rates)
        ]
    )
    for share in (1e-3, 0.03, 0.3, 1.0):
        received = inflow(system, (1.0 - share) * best.split + share * other)
        jobs = [float(c.workload(a)) for c, a in zip(system.curves, received, strict=True)]
        assert sum(jobs) >= best.total_jobs * (1.0 - 1e-12)


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, load=LOADS)
def test_lemma_4_the_fluid_rests_at_the_optimum(seed: int, load: float) -> None:
    system = random_system(seed, load)
    best = fluid_optimum(system)
    found = direction(system, best.workloads)
    assert found.lyapunov <= 1e-7 * system.rates.sum()


@settings(max_examples=100, deadline=None)
@given(seed=SEEDS, load=LOADS)
def test_lemma_5_v_is_positive_elsewhere_whatever_the_routing(seed: int, load: float) -> None:
    rng = np.random.default_rng(seed)
    system = random_system(seed, load)
    at = random_state(rng, system)
    assume(np.abs(at - fluid_optimum(system).workloads).sum() > 1e-3 * at.sum())
    velocity = inflow(system, random_routing(rng, system, at)) - served(system, at)
    assert np.abs(velocity).sum() > 1e-6 * system.rates.sum()
    assert direction(system, at).lyapunov > 1e-6 * system.rates.sum()


@settings(max_examples=100, deadline=None)
@given(seed=SEEDS, load=LOADS)
def test_drift_is_a_routing_that_gmsr_may_choose(seed: int, load: float) -> None:
    """Eq. (4): it lies in H(N)."""
    system = random_system(seed, load)
    graph, at = system.graph, random_state(np.random.default_rng(seed), system)
    found, marginal = direction(system, at), marginals(system, at)
    assert (found.flow >= 0.0).all()
    assert np.add.reduceat(found.flow, graph.first[:-1]) == pytest.approx(system.rates, rel=1e-11)
    most = np.maximum.reduceat(marginal[graph.sink], graph.first[:-1])[graph.source]
    assert (marginal[graph.sink][found.flow > 0.0] >= most[found.flow > 0.0] * (1 - 1e-7)).all()
    assert found.velocity == pytest.approx(
        inflow(system, found.flow) - served(system, at), abs=1e-9 * system.rates.sum()
    )


class Moment(NamedTuple):
    """A state with ties and the tiers an instant later, when those that split have split."""

    system: RoutingSystem
    served: np.ndarray  # (B,) at the state
    velocity: np.ndarray  # (B,)
    tiers: list[tuple[list[int], list[int]]]


def moment(seed: int, load: float) -> Moment | None:
    """A random one; None where a finite step cannot tell who splits.

    The marginal rates change by 1e-5 at most: those that stay level differ by 1e-10 times their
    curvature after that, those that do not by 1e-5 times their difference in speed, which may be
    small where another backend is much faster.
    """
    system = random_system(seed, load)
    at = random_state(np.random.default_rng(seed), system)
    before, velocity = marginals(system, at), direction(system, at).velocity
    tiny = 1e-6 * max(at.max(), 1e-3) / np.abs(velocity).max()
    change = np.abs(marginals(system, at + tiny * velocity) / before - 1.0).max()
    if change == 0.0:
        return None
    later = at + min(1e-5 * tiny / change, tiny) * velocity
    after = marginals(system, later)
    spread = np.abs(after[:, None] / after[None, :] - 1.0)
    together = np.abs(before[:, None] / before[None, :] - 1.0) < 1e-9
    if (together & (spread > 2e-10) & (spread < 3e-8)).any():
        return None
    # Along a piece of a table that is nearly straight the marginal rate hardly changes, whoever
    # stays level with whom.
    moved = np.abs(after / before - 1.0)
    still = np.maximum(moved[:, None], moved[None, :]) < 1e-7
    np.fill_diagonal(together, val=False)
    if (together & still & (spread <= 2e-10)).any():
        return None
    found = structure_of(system.graph, after, same=3e-9)
    return Moment(system, served(system, at), velocity, numbered(found))


def numbered(found: Structure) -> list[tuple[list[int], list[int]]]:
    return [
        (
            [int(name[1:]) - 1 for name in tier.frontends],
            [int(name[1:]) - 1 for name in tier.backends],
        )
        for tier in found.tiers
    ]


@settings(max_examples=150, deadline=None)
@given(seed=SEEDS, load=LOADS)
def test_lemmas_7_to_10_in_every_tier_that_stays_together(seed: int, load: float) -> None:
    now = moment(seed, load)
    assume(now is not None)
    assert now is not None
    graph, rates = now.system.graph, now.system.rates
    rounding = 1e-7 * rates.sum()
    for frontends, backends in now.tiers:
        velocity = now.velocity[backends]
        imbalance = rates[frontends].sum() - now.served[backends].sum()
        assert (velocity >= -rounding).all() or (velocity <= rounding).all()  # Lemma 7
        assert np.abs(velocity).sum() == pytest.approx(abs(imbalance), abs=rounding)  # Lemma 10
        if imbalance >= 0.0:  # Lemma 8
            assert (velocity >= -rounding).all()
            for chosen in subsets(tuple(backends)):
                near = [f for f in frontends if set(chosen) & set(graph.neighbours(f).tolist())]
                assert rates[near].sum() >= now.served[list(chosen)].sum() - rounding
        if imbalance <= 0.0:  # Lemma 9
            assert (velocity <= rounding).all()
            for some in subsets(tuple(frontends)):
                near = [b for b in backends if any(b in graph.neighbours(f) for f in some)]
                assert rates[list(some)].sum() <= now.served[near].sum() + rounding


def test_the_moments_above_have_tiers_of_several_backends_that_rise_and_that_fall() -> None:
    moments = [moment(seed, 0.7) for seed in range(300)]
    known = [now for now in moments if now is not None]
    signs = [
        np.sign(now.velocity[backends].sum())
        for now in known
        for frontends, backends in now.tiers
        if len(backends) > 1 and frontends
    ]
    assert len(known) > 200
    assert signs.count(1.0) > 5
    assert signs.count(-1.0) > 5


# A path is followed for long enough to reconfigure its tiers; tolerances as `fluid` has them.
PATHS = settings(max_examples=10, deadline=None)


@PATHS
@given(seed=SEEDS, load=LOADS)
def test_lemmas_10_to_12_v_never_rises_and_theorem_2(seed: int, load: float) -> None:
    """Whatever tiers slide, split or merge, from any start to the one equilibrium.

    Steps of any length obey both; long ones get there in half the time.
    """
    system = random_system(seed, load)
    start = random_state(np.random.default_rng(seed), system, low=0.02)
    path = fluid(system, start=start, tolerance=1e-2)
    assert np.diff(path.lyapunov).max(initial=0.0) <= 1e-6 * path.lyapunov[0]
    optimum = fluid_optimum(system).workloads
    assert path.workloads[-1] == pytest.approx(optimum, abs=1e-6 * optimum.sum())


@PATHS
@given(seed=SEEDS, load=LOADS)
def test_propositions_1_to_3_along_a_path_from_k(seed: int, load: float) -> None:
    system = random_system(seed, load)
    found = convergence(system)
    limits = np.array([row.limit for row in found.backends])
    start = np.minimum(random_state(np.random.default_rng(seed), system), limits)
    path = fluid(system, start=start)
    rounding = 1.0 - 1e-9
    assert found.contains(path.workloads, found.kappa * rounding).all()  # Proposition 1
    # V of a state that is wrong by `tolerance` of the jobs is wrong by that times l'.
    steepest = marginals(system, np.zeros(limits.size)).max()
    blur = 2.0 * path.tolerance * path.total_jobs.max() * steepest
    decayed = path.lyapunov[0] * np.exp(-found.kappa * (path.times - path.times[0]))
    assert (path.lyapunov <= decayed + blur).all()  # Proposition 2
    gap = found.gap(path.workloads)
    assert (gap * rounding <= path.lyapunov / found.kappa + 1e-9 * gap.max()).all()  # Prop. 3
    assert (gap * rounding <= found.bound(path.workloads, path.lyapunov) + 1e-9 * gap.max()).all()
