import itertools

import numpy as np
import pytest

from isocline.model.curves import HyperbolicCurve
from isocline.model.fleet import RoutingSystem
from isocline.theory import fluid_optimum, plan
from tests.builders import fleet
from tests.theory.routing.test_equilibrium import random_system


def all_savings(system: RoutingSystem) -> dict[tuple[str, str], float]:
    """Seconds of mean latency saved by each missing edge, by planning again with each."""
    before = fluid_optimum(system).total_jobs
    pairs = itertools.product(range(len(system.frontends)), range(len(system.backends)))
    return {
        (f"f{f}", f"b{b}"): (before - fluid_optimum(system.with_edge(f, b)).total_jobs)
        / system.rates.sum()
        for f, b in pairs
        if not system.graph.has_edge(f, b)
    }


@pytest.mark.parametrize("seed", range(12))
def test_listed_edges_save_what_planning_again_shows_and_are_the_best(seed: int) -> None:
    system = random_system(seed)
    every, found = all_savings(system), plan(system).missing_edges
    floor = 1e-9 * fluid_optimum(system).total_jobs / system.rates.sum()
    for edge in found:
        expected = every[edge.frontend, edge.backend]
        assert edge.saves == pytest.approx(expected, rel=1e-6, abs=floor)
    assert [edge.saves for edge in found] == sorted((e.saves for e in found), reverse=True)
    best = max(every.values(), default=0.0)
    if best > floor:
        assert found[0].saves == pytest.approx(best, rel=1e-6)


def test_no_edge_is_listed_where_none_would_help() -> None:
    system = fleet([HyperbolicCurve(1.0, 1.0)] * 2, [0.5, 0.5], [[0], [1]])
    assert plan(system).missing_edges == ()


def test_the_bridge_between_a_full_and_an_idle_part_comes_first() -> None:
    curves = [HyperbolicCurve(1.0, 1.0), HyperbolicCurve(9.0, 1.0), HyperbolicCurve(1.0, 1.0)]
    system = fleet(curves, [0.95, 0.5, 0.3], [[0], [1], [2]])
    first = plan(system).missing_edges[0]
    assert (first.frontend, first.backend) == ("f0", "b1")


def test_number_of_edges_tried_bounds_the_list() -> None:
    system = random_system(3)
    assert len(plan(system, edges_to_try=2).missing_edges) <= 2
    assert plan(system, edges_to_try=0).missing_edges == ()


def test_screening_keeps_the_best_of_many_pairs() -> None:
    # 300 x 300 chains of unlike load: the best pair joins the most loaded chain and the idlest
    n = 300
    load = np.random.default_rng(0).permutation(np.linspace(0.05, 0.9, n))
    system = fleet([HyperbolicCurve(1.0, 1.0)] * n, load.tolist(), [[i] for i in range(n)])
    first = plan(system).missing_edges[0]
    assert first.frontend == f"f{int(np.argmax(load))}"
    assert first.backend == f"b{int(np.argmin(load))}"
