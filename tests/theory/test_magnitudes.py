"""Plans of extreme numbers: a certificate that holds, or a refusal that names the place."""

import math
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import isocline
from isocline.errors import CurveError, NumericalError, UsageError
from isocline.model.curves import Curve, ExponentialCurve, HyperbolicCurve, KneeCurve, TableCurve
from isocline.theory.routing.magnitudes import extremes_named
from tests.builders import fleet

numbers = st.one_of(
    st.floats(1e-2, 1e2),
    st.floats(-300.0, 300.0).map(lambda exponent: 10.0**exponent),
    st.sampled_from([5e-324, 1e-310, 1e-300, 1e-38, 1e38, 1e300, 1.7e308]),
)


@st.composite
def curves(draw: Any) -> Curve | None:
    kind = draw(st.sampled_from([HyperbolicCurve, ExponentialCurve, KneeCurve, TableCurve]))
    try:
        if kind is TableCurve:
            points = draw(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=4))
            return TableCurve(tuple(points))
        more = (4.0,) if kind is KneeCurve else ()
        made: Curve = kind(draw(numbers), draw(numbers), *more)
        return made
    except CurveError:
        return None


@settings(max_examples=300, deadline=None)
@given(st.lists(curves(), min_size=1, max_size=3), numbers, st.sampled_from([0.0, 0.5, 0.99]))
def test_a_plan_of_extreme_numbers_has_its_certificate_or_is_refused(
    found: list[Curve | None], rate: float, load: float
) -> None:
    backends = [curve for curve in found if curve is not None]
    if not backends:
        return
    if load:
        rate = load * sum(curve.supremum for curve in backends)
    with suppress(UsageError):  # and no other error, nor a warning
        require_certificate(isocline.plan(fleet(backends, [rate])))


def require_certificate(plan: isocline.Plan) -> None:
    assert plan.status in ("optimal", "infeasible")
    if plan.status == "optimal":
        assert plan.certificate is not None
        assert plan.certificate.holds()
        assert plan.mean_latency is not None
        assert math.isfinite(plan.mean_latency)


@pytest.mark.parametrize(
    ("curve", "rate", "words"),
    [
        (HyperbolicCurve(1e300, 1.0), 1.0, "the capacity of backend b0 is 1e[+]300 jobs/s: beyond"),
        (HyperbolicCurve(1.0, 1.0), 1e-300, "the rate of frontend f0 is 1e-300 jobs/s: beyond"),
        (HyperbolicCurve(1.0, 1e-99), 0.5, "first job of backend b0 is 1e[+]99 /s: beyond"),
    ],
)
def test_what_cannot_be_planned_with_is_named(curve: Curve, rate: float, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        isocline.plan(fleet([curve], [rate]))


def test_a_numerical_failure_names_what_lies_too_far_apart() -> None:
    far = fleet([HyperbolicCurve(1.0, 1e20), KneeCurve(2e-8, 2e-3, 2.0)], [0.9])
    words = "first job of backend b1 is .* and the rate per job of backend b0 when busy .* too far"
    with pytest.raises(UsageError, match=words), extremes_named(far):
        raise NumericalError("misses its certificate")
    near = fleet([HyperbolicCurve(1.0, 2.0)], [0.9])
    with pytest.raises(NumericalError, match="misses"), extremes_named(near):
        raise NumericalError("misses its certificate")


def test_points_too_far_apart_for_a_curve_are_refused_at_their_place() -> None:
    with pytest.raises(CurveError, match=r"point \[1e-38, 1\] is too close .*; leave it out"):
        TableCurve(((1e-38, 1.0), (5.0, 10.0)))
