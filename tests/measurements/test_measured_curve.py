"""Curves of measured points: near the truth, cut at the peak, honest about themselves."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isocline.errors import UsageError
from isocline.json_text import finite
from isocline.measurements import MeasuredPoint, measured_curve
from isocline.model.curves import KneeCurve, TableCurve
from tests.measurements.measuring import CURVES, DOUBLINGS, counted, exact

BETWEEN = np.sqrt(np.multiply(DOUBLINGS[:-1], DOUBLINGS[1:]))


@pytest.mark.parametrize("name", CURVES)
def test_exact_rates_give_the_curve_at_and_between_the_points(name: str) -> None:
    truth = CURVES[name]
    found = measured_curve(exact(truth))
    at = np.append(BETWEEN, DOUBLINGS)
    assert np.abs(found.curve.rate(at) / truth.rate(at) - 1.0).max() < 0.035


@pytest.mark.parametrize("name", CURVES)
def test_points_that_are_left_out_are_predicted(name: str) -> None:
    found = measured_curve(exact(CURVES[name]))
    assert [held.point.workload for held in found.held_out] == list(DOUBLINGS[1:-1])
    errors = sorted(abs(held.error) for held in found.held_out)
    # A station of servers has a corner, at the only point that is further off.
    assert errors[-2] < 0.05
    assert errors[-1] < (0.15 if name == "servers" else 0.05)
    assert found.within(0.1) == sum(error <= 0.1 for error in errors)


def test_a_point_has_no_part_in_its_own_prediction() -> None:
    points = exact(CURVES["knee"])
    before = measured_curve(points).held_out[2]
    wrong = MeasuredPoint(8, before.point.rate * 0.7, None, 0, 0, "wrong")
    after = measured_curve([wrong if one.workload == 8 else one for one in points]).held_out[2]
    assert after.point == wrong
    assert after.predicted == pytest.approx(before.predicted)


@pytest.mark.parametrize("completions", [60.0, 1000.0])
@pytest.mark.parametrize("name", CURVES)
def test_the_interval_holds_the_truth(name: str, completions: float) -> None:
    truth = CURVES[name]
    at = np.append(BETWEEN, DOUBLINGS)
    held = []
    for seed in range(20):
        found = measured_curve(counted(truth, completions, seed))
        low, high = found.bounds(at)
        held.append((low <= truth.rate(at)) & (truth.rate(at) <= high))
    assert np.mean(held) >= 0.95


@pytest.mark.parametrize("completions", [60.0, 1000.0])
@pytest.mark.parametrize("name", CURVES)
def test_noise_is_averaged_out(name: str, completions: float) -> None:
    truth = CURVES[name]
    errors, own = [], []
    for seed in range(20):
        points = counted(truth, completions, seed)
        found = measured_curve(points)
        n = [point.workload for point in found.kept]
        errors.append(np.mean((found.curve.rate(n) / truth.rate(n) - 1.0) ** 2))
        own.append(np.mean([(p.rate / float(truth.rate(p.workload)) - 1) ** 2 for p in points]))
    assert np.mean(errors) < 1.1 * np.mean(own)


def test_points_past_the_peak_are_cut_with_their_reason() -> None:
    truth = KneeCurve(40.0, 8.0, 3.0)
    points = exact(truth, DOUBLINGS[:6])
    peak = points[-1].rate
    past = [
        MeasuredPoint(n, peak * share, None, 0, 0, "past") for n, share in ((64, 0.9), (96, 0.7))
    ]
    found = measured_curve(points + past)
    assert [cut.point.workload for cut in found.cut] == [64, 96]
    assert found.cut[0].reason == f"past the peak of {peak:.4g} jobs/s at N = 32: 10 % lower"
    assert found.peak is not None
    assert found.peak.workload == pytest.approx(32.0)
    assert found.peak.rate == pytest.approx(peak, rel=0.01)
    assert float(found.curve.rate(96.0)) == found.peak.rate
    alone = measured_curve(points)
    assert found.entry() == alone.entry()


@pytest.mark.parametrize("completions", [0, 10_000])
def test_a_fall_within_the_errors_is_none(completions: float) -> None:
    rates = ((1, 1.1), (2, 2.0), (4, 3.4), (8, 4.9), (16, 5.8), (32, 5.7))
    points = [MeasuredPoint(n, rate, None, completions, 0, "") for n, rate in rates]
    assert measured_curve(points).cut == ()
    few = [MeasuredPoint(n, rate * (1 - 0.2 * (n == 32)), None, 40, 0, "") for n, rate in rates]
    assert measured_curve(few).cut == ()
    many = [MeasuredPoint(n, rate * (1 - 0.2 * (n == 32)), None, 400, 0, "") for n, rate in rates]
    assert [cut.point.workload for cut in measured_curve(many).cut] == [32]


def test_a_curve_that_still_rises_has_no_peak() -> None:
    truth = CURVES["hyperbolic"]
    assert measured_curve(exact(truth, (1, 2, 4, 8))).peak is None
    assert measured_curve(exact(truth, (8,))).peak is None
    found = measured_curve(exact(truth, (1, 8, 64, 512, 1024)))
    assert found.peak is not None
    assert found.peak.rate == pytest.approx(float(truth.rate(1024)), rel=0.01)


def test_a_curve_whose_last_points_are_flat_has_its_peak_where_they_begin() -> None:
    rates = ((1, 122.2), (4, 580.3), (16, 1384.2), (64, 1312.3))
    found = measured_curve([MeasuredPoint(n, rate, None, 0, 0, "") for n, rate in rates])
    assert found.cut == ()
    assert found.peak is not None
    assert found.peak.workload == pytest.approx(16.0)


def test_workloads_between_whole_numbers_are_taken_as_they_are() -> None:
    truth = CURVES["knee"]
    workloads = [0.3, 0.9, 1.7, 2.6, 5.3, 9.7, 20.2]
    found = measured_curve(exact(truth, workloads))
    assert np.abs(found.curve.rate(workloads) / truth.rate(workloads) - 1.0).max() < 0.02


def test_the_entry_is_the_curve_and_a_system_takes_all_its_points() -> None:
    found = measured_curve(exact(CURVES["sharp knee"]), "tokens", "l4")
    entry = found.entry()
    assert entry["type"] == "table"
    points = tuple((n, rate) for n, rate in entry["points"])
    assert TableCurve(points) == found.curve
    assert found.curve.dropped == ()
    assert all(isinstance(n, int) for n, _ in points)


def test_the_unit_of_rates_does_not_matter() -> None:
    points = exact(CURVES["knee"])
    found = measured_curve(points)
    for factor in (1e-200, 1e200):
        large = measured_curve(
            [MeasuredPoint(p.workload, p.rate * factor, None, 0, 0, p.source) for p in points]
        )
        assert np.allclose(large.curve.rate(DOUBLINGS), factor * found.curve.rate(DOUBLINGS))
        assert np.allclose(large.bounds(BETWEEN)[0], factor * found.bounds(BETWEEN)[0])


def test_no_points_are_refused() -> None:
    with pytest.raises(UsageError, match="no points"):
        measured_curve([])


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(1e-3, 1e4),
            st.floats(1e-3, 1e4),
            st.none() | st.floats(0.0, 1e3),
            st.floats(0.0, 1e6),
        ),
        min_size=1,
        max_size=9,
    )
)
def test_any_points_give_a_concave_curve_or_an_error_of_ours(
    rows: list[tuple[float, float, float | None, float]],
) -> None:
    points = [MeasuredPoint(n, rate, error, done, 0.0, "row") for n, rate, error, done in rows]
    try:
        found = measured_curve(points)
    except UsageError:
        return
    end = max(n for n, *_ in rows)
    at = np.linspace(0.0, end, 50)
    rate, marginal = found.curve.rate(at), found.curve.marginal(at)
    assert np.all(np.diff(rate) >= -1e-9 * rate[-1])
    assert np.all(np.diff(marginal) <= 1e-9 * marginal[0])
    low, high = found.bounds(at[1:])
    assert np.all((low <= found.curve.rate(at[1:])) & (found.curve.rate(at[1:]) <= high))
    assert TableCurve(tuple(map(tuple, found.entry()["points"]))) == found.curve
    json.dumps(finite(found.to_dict()), allow_nan=False)
