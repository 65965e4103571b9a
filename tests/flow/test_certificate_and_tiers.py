import numpy as np
import pytest

from isocline.flow import LevelFlowProblem, Prices, Tier, certify, tiers
from isocline.model.curves import HyperbolicCurve
from isocline.model.graph import CompatibilityGraph
from tests.flow.worlds import at_load, random_graph, solved


def two_sinks() -> LevelFlowProblem:
    """One source, two equal sinks: the optimum is half and half."""
    graph = CompatibilityGraph.from_neighbours(2, [(0, 1)])
    return LevelFlowProblem(
        graph, np.array([1.0]), Prices.of_curves([HyperbolicCurve(1.0, 1.0)] * 2)
    )


def price_of(inflow: list[float]) -> np.ndarray:
    return 1.0 / (1.0 - np.array(inflow)) ** 2  # half / peak / (1 - a/peak)^2


def test_optimum_is_certified() -> None:
    measured = certify(two_sinks(), np.array([0.5, 0.5]), price_of([0.5, 0.5]))
    assert measured.conservation == 0.0
    assert measured.slope_gap == 0.0
    assert measured.holds()


def test_uneven_split_shows_its_slope_gap() -> None:
    measured = certify(two_sinks(), np.array([0.6, 0.4]), price_of([0.6, 0.4]))
    assert measured.slope_gap == pytest.approx((0.6 / 0.4) ** 2 - 1.0)
    assert not measured.holds()


def test_lost_flow_shows_at_the_source() -> None:
    measured = certify(two_sinks(), np.array([0.5, 0.4]), price_of([0.5, 0.4]))
    assert measured.conservation == pytest.approx(0.1)


def test_price_that_does_not_belong_to_the_inflow_shows() -> None:
    measured = certify(two_sinks(), np.array([0.5, 0.5]), 1.01 * price_of([0.5, 0.5]))
    # along the inflow: da/a = (1 - a)/(2 a) dp/p = 0.5 * 1 %, to first order
    assert measured.conservation == pytest.approx(0.005, rel=0.02)


def test_negative_flow_is_never_certified() -> None:
    measured = certify(two_sinks(), np.array([1.5, -0.5]), price_of([0.5, 0.5]))
    assert not measured.holds()


def test_unused_edges_may_be_dearer() -> None:
    graph = CompatibilityGraph.from_neighbours(2, [(0, 1)])
    prices = Prices.of_curves([HyperbolicCurve(10.0, 1.0), HyperbolicCurve(1.0, 9.0)])
    problem = LevelFlowProblem(graph, np.array([1.0]), prices)
    measured = certify(problem, np.array([1.0, 0.0]), np.array([0.1 / 0.81, 9.0]))
    assert measured.slope_gap == 0.0


def test_tiers_of_the_papers_figures_1_to_4() -> None:
    """f1, f4 share b1 and b5, f2 has b2, f3 has b4, nobody prefers b3."""
    graph = CompatibilityGraph.from_neighbours(5, [(0, 1), (1, 2), (2, 3), (0, 4)])
    price = np.array([1.0, 2.0, 5.0, 3.0, 1.0])
    assert tiers(graph, price) == [
        Tier((0, 3), (0, 4), 1.0),
        Tier((1,), (1,), 2.0),
        Tier((2,), (3,), 3.0),
        Tier((), (2,), 5.0),
    ]


def test_prices_closer_than_the_tolerance_are_one_level() -> None:
    graph = CompatibilityGraph.from_neighbours(2, [(0, 1)])
    assert len(tiers(graph, np.array([1.0, 1.0 + 5e-9]))) == 1
    assert len(tiers(graph, np.array([1.0, 1.0 + 5e-8]))) == 2


@pytest.mark.parametrize("seed", range(10))
def test_edges_between_tiers_lead_to_dearer_ones_and_carry_nothing(seed: int) -> None:
    """GMSR paper, Lemma 6 at the optimum."""
    rng = np.random.default_rng(seed)
    graph = random_graph(rng, 25, 25, 0.08)
    curves = [HyperbolicCurve(float(p), float(h)) for p, h in rng.uniform(0.5, 5.0, (25, 2))]
    result = solved(at_load(graph, rng.uniform(0.1, 1.0, 25), curves, 0.9))
    found = tiers(graph, result.price)
    assert sorted(f for tier in found for f in tier.sources) == list(range(25))
    assert sorted(b for tier in found for b in tier.sinks) == list(range(25))
    of_source = {f: tier for tier in found for f in tier.sources}
    of_sink = {b: tier for tier in found for b in tier.sinks}
    for e, (f, b) in enumerate(zip(graph.source.tolist(), graph.sink.tolist(), strict=True)):
        if of_source[f] is not of_sink[b]:
            assert result.flow[e] == 0.0
            assert of_sink[b].price > of_source[f].price
