"""Sinks made of parts: pools, steps of the fluid, and latencies as prices."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from isocline.errors import UsageError
from isocline.flow import LevelFlowProblem, Prices, certify, solve
from isocline.flow.curve_levels import part_at
from isocline.flow.levels import inflows, levels
from isocline.flow.sink_levels import states_at, step_workloads
from isocline.model.curves import (
    Curve,
    HyperbolicCurve,
    KneeCurve,
    PoolCurve,
    ServersCurve,
    TableCurve,
)
from tests.flow.worlds import CONSERVATION, PLAIN, SLOPE_GAP, curve, random_graph

SEEDS = st.integers(0, 2**32 - 1)


def curves_of(rng: np.random.Generator, count: int, pools: bool = False) -> list[Curve]:
    """Random curves; every second one a pool of three where asked."""
    found = [curve(rng, str(rng.choice(PLAIN))) for _ in range(count)]
    if pools:
        for b in range(0, count, 2):
            found[b] = PoolCurve(tuple(curve(rng, str(rng.choice(PLAIN))) for _ in range(3)))
    return found


@settings(max_examples=50, deadline=None)
@given(seed=SEEDS, share=st.floats(0.05, 0.98))
def test_workload_rate_and_level_of_a_sink_are_those_of_its_curve(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    some = curves_of(rng, 4, pools=True)
    n = np.array([float(one.workload(share * one.supremum)) for one in some])
    parts = Prices.of_curves_in_parts(some).parts
    level, rate, _ = states_at(parts, n)
    marginal = np.array([float(one.marginal(at)) for one, at in zip(some, n, strict=True)])
    assert level**2 == pytest.approx(marginal, rel=1e-7)
    rates = np.array([float(one.rate(at)) for one, at in zip(some, n, strict=True)])
    assert rate == pytest.approx(rates, rel=1e-9)


@pytest.mark.parametrize("sharpness", [30.0, 1e3, 1e6, 1e12])
def test_a_sharp_knee_in_parts_serves_as_its_curve(sharpness: float) -> None:
    one, n = KneeCurve(20.0, 8.0, sharpness), 8.0 * np.geomspace(1e-12, 1e6, 60)
    parts = Prices.of_curves_in_parts([one] * n.size).parts
    level, rate, _ = states_at(parts, n)
    np.testing.assert_allclose(rate, one.rate(n), rtol=1e-12)
    assert np.all(np.diff(level) <= 0.0)
    # However full, it has a level, at which it holds those jobs.
    for b in np.flatnonzero(n > 8.0).tolist():
        assert part_at(parts, b, level[b])[0] == pytest.approx(n[b], rel=1e-6)


@pytest.mark.parametrize("sharpness", [1e3, 1e6, 1e12])
@pytest.mark.parametrize("load", [0.1, 0.9, 1.0 - 1e-9])
def test_pools_and_latencies_of_sharp_knees_are_certified(sharpness: float, load: float) -> None:
    knee = KneeCurve(20.0, 8.0, sharpness)
    some = [knee, PoolCurve((knee, knee)), PoolCurve((knee, HyperbolicCurve(10.0, 5.0)))]
    graph = random_graph(np.random.default_rng(0), 2, 3, 1.0)
    supply = load * 90.0 * np.array([0.3, 0.7])
    for prices in (Prices.of_curves(some), Prices.of_latencies(some)):
        solve(LevelFlowProblem(graph, supply, prices))  # raises without its certificate


def test_a_table_of_very_unlike_slopes_has_one_workload_at_each_level() -> None:
    """Its last slope is 1e-11 of its first."""
    one = TableCurve(((1e-4, 100.0), (1.0, 101.0), (1e4, 102.0), (2e4, 102.1)))
    jobs = np.concatenate([np.geomspace(1e-5, 1.9e4, 50), [1e5, 1e7]])
    parts = Prices.of_curves_in_parts([one] * jobs.size).parts
    level, rate, _ = states_at(parts, jobs)
    np.testing.assert_allclose(rate, one.rate(jobs), rtol=1e-12)
    held = [part_at(parts, b, level[b])[0] for b in range(jobs.size)]
    np.testing.assert_allclose(held, jobs, rtol=1e-6)
    prices = Prices.of_latencies([one])
    inflow = np.array([101.5])
    np.testing.assert_allclose(inflows(prices, levels(prices, inflow)), inflow, rtol=1e-9)


@pytest.mark.parametrize("kind", PLAIN)
@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, share=st.floats(0.3, 0.98))
def test_workload_at_a_level_inverts_level_at_a_workload(
    kind: str, seed: int, share: float
) -> None:
    one = curve(np.random.default_rng(seed), kind)
    n = float(one.workload(share * one.supremum))
    parts = Prices.of_curves_in_parts([one]).parts
    held, rate, fall = part_at(parts, 0, float(states_at(parts, np.array([n]))[0][0]))
    assert held == pytest.approx(n, rel=1e-6)
    assert rate == pytest.approx(float(one.rate(n)), rel=1e-6)
    assert fall > 0.0


@settings(max_examples=50, deadline=None)
@given(seed=SEEDS, share=st.floats(0.1, 0.95))
def test_bend_is_the_second_derivative(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    one = HyperbolicCurve(float(rng.uniform(1, 9)), float(rng.uniform(1, 9)))
    n = float(one.workload(share * one.supremum))
    parts = Prices.of_curves_in_parts([one]).parts
    bend = states_at(parts, np.array([n]))[2]
    change = one.marginal(n * (1 + 1e-5)) - one.marginal(n * (1 - 1e-5))
    assert bend[0] == pytest.approx(-change / (2e-5 * n), rel=1e-6)


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, log_length=st.floats(-3, 3))
@example(seed=1_210_507_434, log_length=0.0)  # a pool of members of very unlike sizes
@example(seed=270_431_723, log_length=2.82)  # overloaded for long: exp(-N / scale) is 0
@example(seed=3_646_757_165, log_length=-0.87)
def test_a_step_is_implicit_euler_to_where_gmsr_would_send(seed: int, log_length: float) -> None:
    rng = np.random.default_rng(seed)
    graph = random_graph(rng, 4, 5, 0.5)
    some, length = curves_of(rng, 5, pools=True), 10.0**log_length
    start, supply = rng.uniform(0, 20, 5) * (rng.random(5) < 0.8), rng.uniform(0.1, 2.0, 4)
    prices = Prices.of_curves_in_parts(some).after(start, length)
    problem = LevelFlowProblem(graph, supply, prices)
    solved = solve(problem)
    proof = certify(problem, solved.flow, solved.price)
    assert proof.conservation <= CONSERVATION
    assert proof.slope_gap <= SLOPE_GAP
    level = np.minimum(solved.price**-0.5, prices.row[:, 1])
    after = step_workloads(prices.parts, solved.inflow, level)
    rates = np.array([float(one.rate(n)) for one, n in zip(some, after, strict=True)])
    scale = after + start + length * (solved.inflow + rates) + 1e-9
    # Where neither the level nor the inflow tells a workload to more than about eight digits.
    assert np.abs(after - start - length * (solved.inflow - rates)) / scale == pytest.approx(
        0.0, abs=1e-7
    )
    marginal = np.array([float(one.marginal(n)) for one, n in zip(some, after, strict=True)])
    for edge in np.flatnonzero(solved.flow > 0.0):
        mine = marginal[graph.neighbours(int(graph.source[edge]))]
        # Tables have no marginal rate past their last point.
        assert marginal[graph.sink[edge]] >= (1 - 1e-6) * mine.max() - 1e-7


@settings(max_examples=50, deadline=None)
@given(seed=SEEDS, share=st.floats(0.05, 0.95))
@example(seed=3_743_258_180, share=0.9375)  # likewise
def test_latency_price_is_workload_over_rate(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    some = curves_of(rng, 4, pools=True)
    prices = Prices.of_latencies(some)
    inflow = np.array([share * one.supremum for one in some])
    n = np.array([float(one.workload(a)) for one, a in zip(some, inflow, strict=True)])
    level = levels(prices, inflow)
    # In a pool of members almost straight the level tells a workload to about six digits.
    assert level**-2.0 == pytest.approx(n / inflow, rel=1e-5)
    # From a tenth on no curve here is so flat that rounding of the level shows.
    assert inflows(prices, level) == pytest.approx(inflow, rel=1e-5, abs=1e-3)


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS)
def test_pools_take_in_what_their_members_would_together(seed: int) -> None:
    rng = np.random.default_rng(seed)
    members = [curves_of(rng, 3) for _ in range(3)]
    graph = random_graph(rng, 4, 3, 0.6)
    flat = [[3 * b + i for b in graph.neighbours(f) for i in range(3)] for f in range(4)]
    supply = rng.uniform(0.1, 1.0, 4)
    supply *= 0.6 * min(sum(one.supremum for one in some) for some in members) / supply.sum()
    pooled = solve(
        LevelFlowProblem(graph, supply, Prices.of_curves([PoolCurve(tuple(m)) for m in members]))
    )
    each = solve(
        LevelFlowProblem(
            type(graph).from_neighbours(9, flat),
            supply,
            Prices.of_curves([one for some in members for one in some]),
        )
    )
    assert pooled.inflow == pytest.approx(each.inflow.reshape(3, 3).sum(axis=1), abs=1e-8)
    assert pooled.level == pytest.approx(each.level, rel=1e-8)


def test_near_solution_changes_nothing_but_the_time() -> None:
    rng = np.random.default_rng(5)
    graph, some = random_graph(rng, 8, 8, 0.4), curves_of(rng, 8)
    supply = rng.uniform(0.1, 1.0, 8)
    first = LevelFlowProblem(graph, supply, Prices.of_curves_in_parts(some).after(np.zeros(8), 1.0))
    second = LevelFlowProblem(graph, supply, Prices.of_curves_in_parts(some).after(np.ones(8), 0.5))
    cold, warm = solve(second), solve(second, solve(first))
    assert warm.price == pytest.approx(cold.price, rel=1e-9)
    assert warm.inflow == pytest.approx(cold.inflow, abs=1e-9)


def test_linear_prices_with_an_offset() -> None:
    """Two sinks a/1 and 1 + a/2 behind one source of 3: a = 5/3 and 4/3, both at 5/3."""
    graph = random_graph(np.random.default_rng(0), 1, 2, 1.0)
    solved = solve(LevelFlowProblem(graph, np.array([3.0]), Prices.linear([1.0, 2.0], [0.0, 1.0])))
    price = brentq(lambda p: p + 2 * (p - 1) - 3, 0, 9)
    assert solved.inflow == pytest.approx([price, 2 * (price - 1)], rel=1e-12)


def test_refusals() -> None:
    with pytest.raises(UsageError, match="sink 0: a servers curve is not strictly concave"):
        Prices.of_curves_in_parts([ServersCurve(1.0, 2)])
    with pytest.raises(UsageError, match="sink 0: a servers curve"):
        Prices.of_latencies([ServersCurve(1.0, 2)])
    with pytest.raises(UsageError, match="offset"):
        Prices.linear([1.0], [-1.0])
