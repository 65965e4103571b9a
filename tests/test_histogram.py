"""Histograms: buckets as narrow as they say, the simulator's rule, and sums that are exact."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocline.histogram import Histogram, LogBuckets
from isocline.simulate.common.kernels.latency_histogram import BUCKETS, record

DURATIONS = st.floats(min_value=5e-324, max_value=1e300)


@given(st.integers(1, 2000), DURATIONS)
def test_a_bucket_ends_above_its_durations_and_is_no_wider_than_it_says(
    steps: int, seconds: float
) -> None:
    buckets = LogBuckets(steps)
    bucket = buckets.bucket(seconds)
    low, high = buckets.upper(bucket - 1), buckets.upper(bucket)
    # Less than half a unit in the last place may be lost where a bound is no float.
    assert low * (1.0 - 1e-15) <= seconds <= high * (1.0 + 1e-15)
    if seconds > 1e-300:
        assert high <= low * (1.0 + 1.0 / steps) * (1.0 + 1e-15)


@given(st.lists(DURATIONS | st.floats(max_value=0.0), min_size=2))
def test_buckets_are_in_the_order_of_durations(durations: list[float]) -> None:
    buckets = LogBuckets(1024)
    numbers = [buckets.bucket(seconds) for seconds in sorted(durations)]
    assert numbers == sorted(numbers)
    assert buckets.bucket(-1.0) == buckets.bucket(0.0) == 0
    assert buckets.upper(0) == 0.0


@given(st.floats(1e-29, 1e29), st.floats(1e-29, 1e29))
def test_the_rule_is_that_of_the_simulator_s_kernel(one: float, other: float) -> None:
    counts = np.zeros(BUCKETS, np.int32)
    record(counts, one)
    record(counts, other)
    buckets = LogBuckets(256)
    mine = sorted((buckets.bucket(one), buckets.bucket(other)))
    (theirs,) = np.nonzero(counts)
    assert mine[1] - mine[0] == theirs[-1] - theirs[0]


@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(0, 64)), max_size=40), st.integers(0, 40))
def test_a_sum_of_histograms_is_the_histogram_of_all(
    durations: list[tuple[int, int]], cut: int
) -> None:
    parts, whole = [Histogram(), Histogram()], Histogram()
    for number, (bucket, eighths) in enumerate(durations):
        parts[number >= cut].add(bucket, eighths / 8.0)
        whole.add(bucket, eighths / 8.0)
    before = parts[1].copy()
    total = parts[0].copy()
    total += parts[1]
    assert total == whole
    assert parts[1] == before
    assert whole.total == len(durations)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60), st.floats(0.0, 1.0))
def test_a_quantile_is_the_bucket_of_the_ranked_duration(buckets: list[int], share: float) -> None:
    histogram = Histogram()
    for bucket in buckets:
        histogram.add(bucket, 1.0)
    found = histogram.quantile(share)
    assert found is not None
    above = sum(bucket <= found for bucket in buckets)
    below = sum(bucket < found for bucket in buckets)
    assert above >= share * len(buckets) - 1e-9
    assert below < max(share * len(buckets), 1.0)


def test_a_share_of_whole_durations_is_not_rounded_up() -> None:
    histogram = Histogram()
    for bucket in range(10):
        histogram.add(bucket, 0.0)
    assert math.ceil(0.7 * 10 * (1.0 + 1e-15)) == 8  # as a product of floats may be
    assert histogram.quantile(0.7 * (1.0 + 1e-15)) == 6
    assert histogram.quantile(1.0) == 9


def test_an_empty_histogram_has_no_quantile_and_no_mean() -> None:
    assert Histogram().quantile(0.5) is None
    assert Histogram().mean is None
    assert Histogram({1: 2}, 3.0).mean == pytest.approx(1.5)
