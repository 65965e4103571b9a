from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isocline.errors import UsageError
from isocline.flow import LevelFlowProblem, Prices, certificate
from isocline.flow.levels import TILT, inflows, levels
from isocline.model.curves import Curve, HyperbolicCurve, PoolCurve, ServersCurve
from isocline.model.graph import CompatibilityGraph
from tests.flow.worlds import PLAIN, curve, solved

SEEDS = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("kind", PLAIN)
@settings(max_examples=50, deadline=None, derandomize=True)
@given(seed=SEEDS, share=st.floats(1e-3, 0.999))
def test_level_is_the_root_of_the_curves_marginal_rate(kind: str, seed: int, share: float) -> None:
    one = curve(np.random.default_rng(seed), kind)
    inflow = np.array([share * one.supremum])
    level = levels(Prices.of_curves([one]), inflow)
    assert level**2 == pytest.approx(one.marginal(one.workload(inflow)), rel=1e-9)


@pytest.mark.parametrize("kind", [*PLAIN, "servers"])
@settings(max_examples=50, deadline=None, derandomize=True)
@given(seed=SEEDS, share=st.floats(0.2, 0.999))
def test_inflow_inverts_level(kind: str, seed: int, share: float) -> None:
    # From a fifth of the capacity on, no curve of the family is so flat that a level's rounding
    # (2^-53) costs more than 1e-9 of the inflow: the worst is a knee of sharpness 6, 0.2^-6 = 2e4.
    # Only a servers curve is, by its tilt: q changes by 2 (1 - q)^2 / TILT of the level's relative
    # error, at q = 0.2 by 7e-10 of itself for each rounding, of which there are about four.
    prices = Prices.of_curves([curve(np.random.default_rng(seed), kind)])
    inflow = share * prices.capacity
    rel = 3e-9 if kind == "servers" else 1e-9
    assert inflows(prices, levels(prices, inflow)) == pytest.approx(inflow, rel=rel)


@pytest.mark.parametrize("kind", [*PLAIN, "servers"])
@settings(max_examples=50, deadline=None, derandomize=True)
@given(seed=SEEDS, share=st.floats(0.0, 0.9999))
def test_certificates_own_formulas_agree_with_the_compiled_ones(
    kind: str, seed: int, share: float
) -> None:
    prices = Prices.of_curves([curve(np.random.default_rng(seed), kind)])
    inflow = share * prices.capacity
    price = certificate.price_at(prices, inflow)
    assert price == pytest.approx(levels(prices, inflow) ** -2.0, rel=1e-9)
    back = inflows(prices, price**-0.5)
    assert certificate.inflow_at(prices, price) == pytest.approx(back, rel=1e-6, abs=1e-3)


def test_tilt_of_servers_is_small_until_they_are_nearly_full() -> None:
    prices = Prices.of_curves([ServersCurve(2.0, 3)])
    price = certificate.price_at(prices, np.array([3.0]))  # half load: 1 + TILT * 0.5 / 0.5
    assert price == pytest.approx(0.5 * (1.0 + TILT), rel=1e-12)


def quadratic(parameters: np.ndarray, inflow: float) -> float:
    return float(parameters[0]) + inflow * inflow


def queue(parameters: np.ndarray, inflow: float) -> float:
    return float(parameters[1] / (parameters[0] - inflow) ** 2)


def test_custom_price_equals_the_closed_form_it_repeats() -> None:
    # p = half peak / (peak - a)^2 is the hyperbolic curve's price
    parts = [(2.0, 3.0), (1.0, 0.5), (4.0, 9.0)]
    graph = CompatibilityGraph.from_neighbours(3, [(0, 1), (1, 2), (0, 2)])
    supply = np.array([0.9, 0.4, 2.0])
    own = Prices.custom(queue, [p for p, _ in parts], [(p, p * h) for p, h in parts])
    closed = Prices.of_curves([HyperbolicCurve(p, h) for p, h in parts])
    ours = solved(LevelFlowProblem(graph, supply, own))
    theirs = solved(LevelFlowProblem(graph, supply, closed))
    assert ours.inflow == pytest.approx(theirs.inflow, rel=1e-9)


def test_custom_price_without_a_capacity_is_levelled() -> None:
    graph = CompatibilityGraph.from_neighbours(2, [(0, 1), (1,)])
    own = Prices.custom(quadratic, [np.inf, np.inf], [[1.0], [0.0]])
    result = solved(LevelFlowProblem(graph, np.array([3.0, 1e-3]), own))
    # x on the first, 3.001 - x on the second: 1 + x^2 = (3.001 - x)^2
    x = (3.001**2 - 1.0) / (2.0 * 3.001)
    assert result.inflow == pytest.approx([x, 3.001 - x], rel=1e-9)


def test_linear_price_balances_load_by_weight() -> None:
    graph = CompatibilityGraph.from_neighbours(3, [(0, 1), (1, 2), (2,)])
    prices = Prices.linear([1.0, 2.0, 1.0])
    result = solved(LevelFlowProblem(graph, np.array([3.0, 1.0, 5.0]), prices))
    # the third source alone loads sink 2 to 5; the other two share 1 + 2 units of weight
    assert result.price == pytest.approx([4 / 3, 4 / 3, 5.0], rel=1e-12)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Prices.custom(lambda _p, a: -a, [1.0], [[0.0]]), "must be >= 0 and increase"),
        (lambda: Prices.custom(quadratic, [-1.0], [[0.0]]), "capacity is -1.0"),
        (lambda: Prices.linear([1.0, 0.0]), "sink 1: weight is 0.0"),
    ],
)
def test_prices_that_make_no_sense_are_refused(make: Callable[[], Prices], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        make()


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_supplies_that_are_no_numbers_or_negative_are_refused_by_number(bad: float) -> None:
    graph = CompatibilityGraph.from_neighbours(1, [(0,), (0,)])
    prices = Prices.linear([1.0])
    with pytest.raises(UsageError, match="source 1: supply is"):
        LevelFlowProblem(graph, np.array([1.0, bad]), prices)


def test_wrong_shapes_are_refused_with_both_shapes() -> None:
    graph = CompatibilityGraph.from_neighbours(2, [(0,), (1,)])
    with pytest.raises(UsageError, match="shape"):
        LevelFlowProblem(graph, np.ones(3), Prices.linear([1.0, 1.0]))
    with pytest.raises(UsageError, match="1 sinks; the graph has 2"):
        LevelFlowProblem(graph, np.ones(2), Prices.linear([1.0]))


@pytest.mark.parametrize("kind", [*PLAIN, "pool"])
@settings(max_examples=20, deadline=None, derandomize=True)
@given(seed=SEEDS, share=st.floats(0.05, 0.95), factor=st.floats(0.01, 100.0))
def test_enlarged_prices_are_those_of_enlarged_curves(
    kind: str, seed: int, share: float, factor: float
) -> None:
    rng = np.random.default_rng(seed)
    several: list[Curve] = [curve(rng, kind) for _ in range(2)]
    if kind == "pool":
        several = [PoolCurve((one, curve(rng, "knee"))) for one in several]
    factors = np.array([factor, 1.0])
    ours = Prices.of_curves(several).enlarged(factors)
    theirs = Prices.of_curves(
        [one.enlarged(float(f)) for one, f in zip(several, factors, strict=True)]
    )
    assert ours.capacity == pytest.approx(theirs.capacity, rel=1e-12)
    inflow = share * ours.capacity
    assert levels(ours, inflow) == pytest.approx(levels(theirs, inflow), rel=1e-9)
