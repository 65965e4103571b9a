"""Bands between measured levels."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocline.model.curves import HyperbolicCurve, KneeCurve
from isocline.sweep.bounds import Point, band, half_width

CURVES = st.one_of(
    st.builds(HyperbolicCurve, st.floats(1.0, 100.0), st.floats(0.5, 50.0)),
    st.builds(KneeCurve, st.floats(1.0, 100.0), st.floats(0.5, 50.0), st.floats(1.0, 6.0)),
)


@given(
    curve=CURVES,
    levels=st.sets(st.integers(1, 200), min_size=2, max_size=8),
    share=st.floats(0.01, 0.99),
    error=st.floats(0.0, 0.2),
)
def test_a_concave_curve_within_the_intervals_is_within_the_band(
    curve: HyperbolicCurve | KneeCurve, levels: set[int], share: float, error: float
) -> None:
    rates = {n: float(curve.rate(n)) for n in levels}
    points = [
        Point(0.0, 0.0, 0.0),
        *(Point(n, (1 - error) * rates[n], (1 + error) * rates[n]) for n in sorted(levels)),
    ]
    for after in range(1, len(points) - 1):
        left, right = points[after].workload, points[after + 1].workload
        n = left + share * (right - left)
        low, high = band(points, after, n)
        assert low <= float(curve.rate(n)) * (1 + 1e-9)
        assert high >= float(curve.rate(n)) * (1 - 1e-9)


def test_exact_points_on_a_line_leave_no_width() -> None:
    points = [Point(0.0, 0.0, 0.0), *(Point(n, 3.0 * n, 3.0 * n) for n in (1.0, 4.0, 9.0))]
    assert band(points, 1, 2.0) == pytest.approx((6.0, 6.0))
    assert band(points, 2, 7.0) == pytest.approx((21.0, 21.0))


def test_a_far_level_bounds_where_a_near_one_is_not_known_well() -> None:
    """The line through 1 and 2 may be steep, that through 0 and 1 is not."""
    points = [
        Point(0.0, 0.0, 0.0),
        Point(1.0, 10.0, 10.0),
        Point(2.0, 5.0, 40.0),
        Point(4.0, 12.0, 50.0),
    ]
    assert band(points, 2, 3.0)[1] == pytest.approx(max(30.0, (40.0 + 50.0) / 2))


def test_rates_that_are_not_concave_leave_no_band_upside_down() -> None:
    points = [
        Point(0.0, 0.0, 0.0),
        Point(1.0, 1.0, 1.0),
        Point(4.0, 9.0, 9.0),
        Point(8.0, 9.0, 9.0),
    ]
    low, high = band(points, 1, 2.0)
    assert low <= high


def test_a_width_is_relative_and_at_most_1() -> None:
    assert half_width(9.0, 11.0) == pytest.approx(0.1)
    assert half_width(-3.0, 5.0) == 1.0
    assert half_width(2.0, 2.0) == 0.0
