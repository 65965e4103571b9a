"""Ratios to rivals: what counts as a fall, and beside what."""

from typing import Any

import pytest

from benchmarks.ratios import FALL, KEPT, Ratio, fallen, machine


def ratio(value: float) -> Ratio:
    return Ratio("plan", "rival", value, value, value)


def entries(*values: float, on: str = "") -> list[dict[str, Any]]:
    key = ratio(1.0).key
    return [{"machine": on or machine(), "ratios": {key: value}} for value in values]


def test_a_fall_is_against_the_median_of_the_last() -> None:
    history = entries(100.0, *[10.0] * KEPT)
    assert fallen([ratio(10.0 * FALL)], history) == []
    (said,) = fallen([ratio(0.99 * 10.0 * FALL)], history)
    assert "plan / rival" in said
    assert "21% below" in said


@pytest.mark.parametrize("history", [[], entries(10.0, on="another machine")])
def test_nothing_has_fallen_where_nothing_is_known(history: list[dict[str, Any]]) -> None:
    assert fallen([ratio(0.1)], history) == []
