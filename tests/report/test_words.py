"""Numbers are written with the digits that are known, in units that suit them."""

import numpy as np
import pytest

from isocline.plural import stem_of
from isocline.report.words import duration, estimate, listed, number, time_unit
from isocline.simulate.common.estimate import Estimate


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"), (float("nan"), "–"), (float("inf"), "∞"), (0.0, "0"), (1.0, "1.000"),
        (0.012345, "0.01235"), (17852.0, "17,852"), (-3.14159, "-3.142"), (1.5e9, "1.500e+09"),
        (1e-9, "1.000e-09"), (336, "336"), (12_345_678, "12,345,678"), (np.int64(7), "7"), (0, "0"),
    ],
)  # fmt: skip
def test_a_number_has_four_digits(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1.897, "1.90 s"), (0.0123, "12.3 ms"), (4e-5, "40.0 µs"), (0.0, "0 s"), (None, "–")],
)
def test_a_duration_has_the_unit_that_suits_it(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_a_column_has_the_unit_of_its_smallest_time() -> None:
    assert time_unit([3.0, 0.02, None, 0.0]) == (1e-3, "ms")
    assert time_unit([]) == (1.0, "s")


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (12.0, 12.6, "12.30 ± 0.30"),
        (0.98, 1.02, "1.000 ± 0.020"),
        (1000.0, 1300.0, "1,150 ± 150"),
        (2.0, 2.0, "2.000"),
        (6.066976277869628, 6.066976277869652, "6.067"),
        (-1e-12, 1e-12, "(0.0 ± 1.0)e-12"),
        (1.12e10, 1.28e10, "(1.200 ± 0.080)e+10"),
        (123_000.0, 124_000.0, "123,500 ± 500"),
        (122_667.0, 124_245.0, "123,460 ± 790"),
        (-1.0, float("inf"), "∞"),
    ],
)
def test_an_estimate_is_cut_at_the_second_digit_of_its_half_width(
    low: float, high: float, text: str
) -> None:
    assert estimate(Estimate((low + high) / 2, low, high)) == text


def test_a_difference_shows_its_sign() -> None:
    assert estimate(Estimate(0.01, 0.008, 0.012), scale=1e-3, signed=True) == "+10.0 ± 2.0"


def test_many_names_are_listed_by_kind_and_then_counted() -> None:
    assert listed(["a-1", "a-2"]) == "a-1, a-2"
    assert listed(["a-1", "a-2", "b"], most=2) == "a (× 2), b"
    assert listed(["a", "b", "c"], most=2) == "a, b and 1 more"


def test_replicas_have_their_name_without_number_in_common() -> None:
    assert [stem_of(name) for name in ("h100-1", "l4", "eu", "7")] == ["h100", "l", "eu", "7"]
