"""Measured points: numbers checked with their place, and pooled as counts are."""

import math
from typing import Any

import pytest

from isocline.errors import UsageError
from isocline.measurements import MeasuredPoint
from isocline.measurements.points import ASSUMED, REPEATABLE, pooled


def point(**changes: Any) -> MeasuredPoint:
    fields: dict[str, Any] = {
        "workload": 8.0,
        "rate": 4.0,
        "error": None,
        "completions": 0.0,
        "seconds": 0.0,
        "source": "bench.json",
    }
    return MeasuredPoint(**fields | changes)


@pytest.mark.parametrize("name", ["workload", "rate", "error", "completions", "seconds"])
@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf, "4", True])
def test_a_number_out_of_range_is_named_with_its_source(name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=rf"bench\.json: {name} is "):
        point(**{name: value})


@pytest.mark.parametrize("name", ["workload", "rate"])
def test_workload_and_rate_are_above_0(name: str) -> None:
    with pytest.raises(UsageError, match="above 0"):
        point(**{name: 0.0})


def test_a_workload_beyond_what_can_be_fitted_is_refused() -> None:
    with pytest.raises(UsageError, match="at most 1,048,576"):
        point(workload=2e6)


def test_the_error_is_the_given_one_or_that_of_the_count_or_assumed() -> None:
    assert point(error=0.4, completions=100).spread == pytest.approx(0.1)
    assert point(completions=100).spread == pytest.approx(0.1)
    assert point().spread == ASSUMED
    assert point(completions=10**9).spread == point(error=0.0).spread == REPEATABLE
    assert [point(error=0.4).counted, point(completions=1).counted, point().counted] == [
        True,
        True,
        False,
    ]


def test_points_at_one_workload_are_one_count() -> None:
    one = point(rate=4.0, completions=100.0, seconds=25.0, source="a")
    other = point(rate=6.0, completions=300.0, seconds=50.0, source="b")
    far = point(workload=2.0, source="c")
    first, both = pooled([one, far, other])
    assert first == far
    assert (both.completions, both.seconds, both.source) == (400.0, 75.0, "a, b")
    assert both.rate == pytest.approx(400.0 / 75.0)
    assert both.spread == pytest.approx(0.05)


def test_many_sources_are_named_with_how_many_more() -> None:
    (together,) = pooled(point(source=f"{i}") for i in range(5))
    assert together.source == "0, 1, 2 and 2 more"
    assert not together.counted


def test_runs_that_are_repeated_say_how_sure_their_mean_is() -> None:
    (both,) = pooled([point(rate=rate) for rate in (4.0, 6.0)])
    assert not both.counted
    (three,) = pooled([point(rate=rate) for rate in (4.0, 5.0, 6.0)])
    assert three.error == pytest.approx(1.0 / 3.0**0.5)
    # What is known of each run stands.
    (known,) = pooled([point(rate=rate, error=0.4) for rate in (4.0, 5.0, 6.0)])
    assert known.error == pytest.approx(0.24, abs=0.02)
