"""Assumption 1 of the GMSR paper, and the four functions' agreement, for every curve in ALL."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import isocline
from isocline.errors import CurveError
from isocline.model.curves import (
    ALL,
    Curve,
    ExponentialCurve,
    HyperbolicCurve,
    KneeCurve,
    PoolCurve,
    ServersCurve,
    TableCurve,
)
from isocline.model.curves.knee import LEAST_SHARPNESS
from tests.builders import fleet

size = st.floats(1e-3, 1e5)
points = st.lists(
    st.tuples(st.floats(0.1, 1e3), st.floats(0.1, 1e3)),
    min_size=1,
    max_size=8,
    unique_by=lambda point: round(point[0], 1),  # neighbours far enough apart to have a slope
).map(tuple)
# Of like size: else, where a small member bends, a large one is straight to within rounding.
part = st.floats(1.0, 10.0)
alike = st.one_of(
    st.builds(HyperbolicCurve, part, part),
    st.builds(ExponentialCurve, part, part),
    st.builds(KneeCurve, part, part, st.floats(0.5, 4.0)),
)
CURVES: dict[str, st.SearchStrategy[Curve]] = {
    "hyperbolic": st.builds(HyperbolicCurve, size, size),
    "exponential": st.builds(ExponentialCurve, size, size),
    "knee": st.builds(KneeCurve, size, size, st.floats(0.3, 8.0)),
    "table": st.builds(TableCurve, points),
    "servers": st.builds(ServersCurve, size, st.integers(1, 1000)),
    "pool": st.builds(PoolCurve, st.lists(alike, min_size=1, max_size=4).map(tuple)),
}
any_curve = st.one_of(*CURVES.values())
smooth_curve = st.one_of(*(CURVES[name] for name in ALL if ALL[name].strictly_concave))

# Relative rounding of a rate: a handful of operations, each good to 1.1e-16.
ROUNDING = 1e-13


def knee(curve: Curve) -> float:
    return curve.supremum / float(curve.marginal(0.0))


def end(curve: Curve) -> float:
    """Where a curve stops to grow, as far as doubles can tell; at most 20 knees."""
    if isinstance(curve, TableCurve):
        return float(curve.knots[-1, 0])
    return 20.0 * knee(curve)


def test_every_curve_is_tested() -> None:
    assert CURVES.keys() == ALL.keys()


# Far beyond its scale an exponential curve's marginal rate is less than the smallest double.
@example(PoolCurve((ExponentialCurve(4.0, 1.0),)))
@given(any_curve)
def test_an_empty_backend_serves_nothing_and_a_full_one_less_than_its_supremum(
    curve: Curve,
) -> None:
    assert float(curve.rate(0.0)) == 0.0
    far = np.array([10.0, 1e3, 1e6, 1e12]) * end(curve)
    assert np.all(curve.rate(far) <= curve.supremum * (1 + ROUNDING))
    assert float(curve.rate(far[-1])) == pytest.approx(curve.supremum, rel=0.1)


@pytest.mark.parametrize(
    "curve", [ExponentialCurve(4.0, 0.1), KneeCurve(8.0, 0.1, 8.0), ExponentialCurve(1e5, 1e-3)]
)
def test_the_least_marginal_rates_have_workloads(curve: Curve) -> None:
    marginal = np.array([5e-324, 2e-308, 1e-300, 1e-200])
    found = curve.workload_at(marginal)
    assert np.all(np.isfinite(found))
    assert np.all(np.diff(found) < 0.0)
    assert curve.marginal(found[2:]) == pytest.approx(marginal[2:], rel=1e-9)


@given(any_curve)
def test_rates_never_fall_and_marginal_rates_never_rise(curve: Curve) -> None:
    n = np.linspace(0.0, end(curve), 200)
    assert np.all(np.diff(curve.rate(n)) >= -ROUNDING * curve.supremum)
    assert np.all(np.diff(curve.marginal(n)) <= ROUNDING * curve.marginal(0.0))


@given(smooth_curve)
def test_strictly_concave_curves_grow_strictly_and_bend_strictly(curve: Curve) -> None:
    n = np.linspace(0.0, min(2.0 * knee(curve), end(curve)), 20)
    assert np.all(np.diff(curve.rate(n)) > 0)
    assert np.all(np.diff(curve.marginal(n)) < 0)


@given(any_curve, st.floats(0.0, 1.0), st.floats(1e-3, 1.0))
def test_a_difference_quotient_lies_between_the_marginal_rates_at_its_ends(
    curve: Curve, at: float, step: float
) -> None:
    # By concavity this is exact, and needs no step size that balances two errors.
    n, h = at * 3.0 * knee(curve), step * knee(curve)
    quotient = float(curve.rate(n + h) - curve.rate(n)) / h
    slack = 1e-10 * float(curve.marginal(0.0))  # ROUNDING * supremum / h with h >= knee / 1000
    assert float(curve.marginal(n + h)) - slack <= quotient <= float(curve.marginal(n)) + slack


@given(any_curve, st.floats(1e-6, 0.999))
def test_workload_is_the_inverse_of_rate(curve: Curve, share: float) -> None:
    rate = share * curve.supremum
    assert float(curve.rate(curve.workload(rate))) == pytest.approx(rate, rel=1e-9)


@given(smooth_curve)
def test_no_workload_reaches_the_supremum(curve: Curve) -> None:
    assert np.isinf(curve.workload([curve.supremum, 2.0 * curve.supremum])).all()


@given(smooth_curve, st.floats(1e-4, 0.999))
def test_workload_at_is_the_inverse_of_marginal(curve: Curve, share: float) -> None:
    wanted = share * float(curve.marginal(0.0))
    assert float(curve.marginal(curve.workload_at(wanted))) == pytest.approx(wanted, rel=1e-9)


@given(smooth_curve)
def test_a_marginal_rate_above_all_others_needs_no_workload(curve: Curve) -> None:
    assert float(curve.workload_at(2.0 * float(curve.marginal(0.0)))) == 0.0


@given(any_curve, st.floats(1e-3, 1e3), st.floats(0.0, 4.0))
def test_a_faster_backend_is_faster_at_every_workload(
    curve: Curve, factor: float, at: float
) -> None:
    n = at * knee(curve)
    faster = curve.scaled(factor)
    assert faster.supremum == pytest.approx(factor * curve.supremum)
    assert float(faster.rate(n)) == pytest.approx(factor * float(curve.rate(n)), rel=1e-9)


@given(any_curve)
def test_the_difference_is_what_one_more_job_adds(curve: Curve) -> None:
    n = np.arange(5.0)
    np.testing.assert_array_equal(curve.difference(n), curve.rate(n + 1.0) - curve.rate(n))


@given(points)
def test_a_table_runs_through_what_it_keeps_and_above_what_it_drops(
    measured: tuple[tuple[float, float], ...],
) -> None:
    curve = TableCurve(measured)
    assert sorted((*curve.kept, *curve.dropped)) == sorted(measured)
    kept_n, kept_rate = np.array(curve.kept).T
    np.testing.assert_allclose(curve.rate(kept_n), kept_rate, rtol=1e-9)
    assert curve.supremum == max(rate for _, rate in measured)
    for n, rate in curve.dropped:
        assert float(curve.rate(n)) >= rate * (1 - 1e-9)


@pytest.mark.parametrize(
    "measured",
    [
        ((1, 1), (2, 2), (4, 4), (8, 8)),
        ((1, 0.995), (2, 1.99), (4, 4.0), (8, 7.99)),
        ((1, 1), (8, 8)),
        ((2, 2), (4, 4), (8, 8), (16, 9), (32, 8)),
        ((1, 2), (4, 5), (5, 5.5), (6, 6), (8, 7)),  # a line that does not begin at 0
    ],
)
def test_a_table_of_points_on_a_line_keeps_near_them(
    measured: tuple[tuple[float, float], ...],
) -> None:
    curve = TableCurve(measured)
    peak = curve.kept[-1][0]
    for n, rate in measured:
        if n <= peak:
            assert rate * (1 - 1e-12) <= float(curve.rate(n)) <= rate * 1.021


def between(curve: TableCurve) -> np.ndarray:
    """Workloads of the pieces of the hull that have points between their corners."""
    corners = [0.0, *(n for n, _ in curve.kept)]
    parts = [
        np.linspace(left, right, 60)[1:]
        for left, right in pairwise(corners)
        if any(left < n < right for n, _ in curve.dropped)
    ]
    return np.concatenate(parts) if parts else np.zeros(0)


@given(points)
def test_a_table_is_within_a_hundredth_of_the_hull_where_that_was_measured(
    measured: tuple[tuple[float, float], ...],
) -> None:
    curve = TableCurve(measured)
    n = between(curve)
    hull = np.interp(n, *np.array(((0.0, 0.0), *curve.kept)).T)
    found = curve.rate(n)
    assert np.all(found >= hull * (1 - 1e-12))
    assert np.all(found <= hull * 1.01 * (1 + 1e-12))


def test_a_table_of_a_smooth_curve_is_the_curve() -> None:
    n = 2.0 ** np.arange(9)
    for truth in (HyperbolicCurve(10.0, 8.0), ExponentialCurve(10.0, 10.0)):
        measured = TableCurve(tuple(zip(n.tolist(), truth.rate(n).tolist(), strict=True)))
        at = np.linspace(1.0, 128.0, 300)
        np.testing.assert_allclose(measured.rate(at), truth.rate(at), rtol=0.016)


def test_a_table_says_which_points_it_dropped() -> None:
    curve = TableCurve(((0, 0), (1, 2), (2, 3), (4, 5), (5, 4)))
    assert curve.kept == ((1, 2), (4, 5))
    assert curve.dropped == ((2, 3), (5, 4))


def test_points_on_one_line_are_kept_once() -> None:
    assert TableCurve(((1, 1), (2, 2), (3, 3))).kept == ((3, 3),)


def test_the_knee_with_sharpness_one_is_the_hyperbolic_curve() -> None:
    n = np.geomspace(0.01, 1e6, 50)
    np.testing.assert_allclose(KneeCurve(7, 3, 1).rate(n), HyperbolicCurve(7, 3).rate(n))
    np.testing.assert_allclose(KneeCurve(7, 3, 1).marginal(n), HyperbolicCurve(7, 3).marginal(n))


def test_a_knee_so_blunt_that_a_plan_would_hold_any_number_of_jobs_is_refused() -> None:
    with pytest.raises(CurveError, match=r"knee curve: sharpness is 0.01; give 0.1 or more") as bad:
        KneeCurve(10.0, 4.0, 0.01)
    assert bad.value.field == ("sharpness",)
    blunt = KneeCurve(10.0, 4.0, LEAST_SHARPNESS)
    # Two like backends in closed form: each has half of what comes.
    found = isocline.plan(fleet([blunt, blunt], [12.0]))
    assert found.total_jobs is not None
    np.testing.assert_allclose(found.total_jobs, 2.0 * blunt.workload(6.0), rtol=1e-6)


def test_servers_serve_at_full_rate_until_all_are_busy() -> None:
    curve = ServersCurve(2.0, 3)
    assert curve.rate([0, 1, 2, 3, 4]).tolist() == [0, 2, 4, 6, 6]
    assert curve.marginal([0, 1, 2, 3, 4]).tolist() == [2, 2, 2, 0, 0]


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf"), "fast"])
@pytest.mark.parametrize(
    "make",
    [
        lambda bad: HyperbolicCurve(bad, 1.0),
        lambda bad: HyperbolicCurve(1.0, bad),
        lambda bad: ExponentialCurve(1.0, bad),
        lambda bad: KneeCurve(1.0, 1.0, bad),
        lambda bad: ServersCurve(bad, 1),
    ],
)
def test_a_parameter_that_is_no_positive_number_is_refused(make: object, bad: object) -> None:
    with pytest.raises(CurveError, match="give a finite number above 0"):
        make(bad)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("measured", "problem"),
    [
        ((), "no point with a rate above 0"),
        (((1, 0),), "no point with a rate above 0"),
        (((-1, 2),), "not >= 0"),
        (((1, float("nan")),), "not >= 0"),
        (((0, 1), (2, 3)), r"l\(0\) must be 0"),
        (((1, 1), (1, 2)), "stands twice"),
    ],
)
def test_a_table_that_is_no_service_curve_is_refused(
    measured: tuple[tuple[float, float], ...], problem: str
) -> None:
    with pytest.raises(CurveError, match=problem):
        TableCurve(measured)


def test_a_broken_number_of_servers_is_refused() -> None:
    with pytest.raises(CurveError, match="whole number"):
        ServersCurve(1.0, 1.5)  # type: ignore[arg-type]
