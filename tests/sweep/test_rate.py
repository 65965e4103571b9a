"""Rates at one level: unbiased, and with errors that hold for requests of any kind."""

from collections.abc import Callable
from math import inf, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocline.sweep.rate import Span, Z, rate_of
from tests.sweep.closed import spans_of


def exponential(seed: int) -> Callable[[], float]:
    numbers = iter(np.random.default_rng(seed).exponential(size=100_000).tolist())
    return lambda: next(numbers)


@given(
    begin=st.floats(20.0, 40.0),
    seconds=st.floats(5.0, 60.0),
    clients=st.integers(1, 12),
    in_step=st.booleans(),
)
def test_equal_requests_have_their_rate_wherever_the_window_begins_and_ends(
    begin: float, seconds: float, clients: int, in_step: bool
) -> None:
    """They take 4 s each, whatever N: also where all end at once, and a count would jump by N."""
    spans = [
        Span(start := 4.0 * i + (0.0 if in_step else 4.0 * k / clients), start + 4.0)
        for k in range(clients)
        for i in range(40)
    ]
    found = rate_of(spans, begin, begin + seconds, tail=8.0)
    assert found is not None
    assert found.rate == pytest.approx(clients / 4.0)
    assert found.workload == pytest.approx(clients)
    assert found.latency == pytest.approx(4.0)
    assert found.error <= 0.002 * found.rate


def test_independent_requests_of_exponential_length_scatter_as_a_poisson_count() -> None:
    spans = spans_of(lambda _: 1.0, 4, exponential(1), until=9000.0)
    found = rate_of(spans, 100.0, 8900.0, tail=8.0)
    assert found is not None
    assert found.completions == pytest.approx(8800.0, rel=4.0 / sqrt(8800))
    assert found.error == pytest.approx(found.rate / sqrt(found.completions), rel=0.25)


KINDS = {
    "shared": (8, None),
    "one queue": (16, 1),
    "8 served, 8 wait": (16, 8),
}


@pytest.mark.parametrize("kind", KINDS)
def test_intervals_hold_the_true_rate_in_about_95_of_100_windows(kind: str) -> None:
    """Of 200, fewer than 176 or all would come of 95 % once in 10^4: 190 - 4.5 x 3.1."""
    clients, most = KINDS[kind]
    held, runs = 0, 200
    for seed in range(runs):
        begin, end = 3.0 * clients, 15.0 * clients
        until = end + 2.0 * clients
        spans = spans_of(
            lambda _: 1.0, clients, exponential(seed), until, most=most, stagger=float(clients)
        )
        found = rate_of(spans, begin, end, tail=2.0 * clients)
        assert found is not None
        held += abs(found.rate - 1.0) <= Z * found.error
    assert held >= 176


def test_few_parts_of_a_queue_seldom_show_far_less_than_there_is() -> None:
    """Completions of 8 busy places are a Poisson count; five turnovers of 16 clients see 80."""
    short, runs = 0, 200
    for seed in range(runs):
        spans = spans_of(float, 16, exponential(seed), until=38.0, most=8, stagger=2.0)
        found = rate_of(spans, 24.0, 34.0, tail=4.0)
        assert found is not None
        short += found.error < 0.8 * sqrt(8.0 / 10.0)
    assert short <= 0.2 * runs


def test_a_rate_is_unbiased_where_long_requests_are_not_waited_for() -> None:
    """The sum over windows of what counts, over their length: Campbell's formula."""
    rates = []
    for seed in range(100):
        spans = spans_of(lambda _: 1.0, 4, exponential(1000 + seed), until=56.0)
        found = rate_of(spans, 20.0, 50.0, tail=6.0)
        rates.append(0.0 if found is None else found.rate)
    assert np.mean(rates) == pytest.approx(1.0, abs=4.0 / sqrt(30.0 * 100))


def test_a_server_with_ups_and_downs_has_a_wider_interval() -> None:
    def at(slow: float) -> float:
        # Equal requests, one after the other; every other minute each takes `slow` times as long.
        now, spans = 0.0, []
        while now < 1300.0:
            end = now + (1.0 if now // 60.0 % 2 else slow)
            spans.append(Span(now, end))
            now = end
        found = rate_of(spans, 60.0, 1260.0, tail=4.0)
        assert found is not None
        return found.error / found.rate

    assert at(1.0) == pytest.approx(0.001)
    # Ten minutes of rate 1 and ten of 1/2, as independent halves: 0.25 / 0.75 / sqrt(20).
    assert at(2.0) == pytest.approx(0.0745, rel=0.3)


def test_work_is_counted_in_its_unit() -> None:
    spans = [Span(float(i), i + 1.0, 128.0) for i in range(50)]
    found = rate_of(spans, 10.5, 30.25, tail=2.0)
    assert found is not None
    assert found.rate == pytest.approx(128.0)
    assert found.completions == pytest.approx(19.75)


def test_windows_at_one_level_add_up() -> None:
    spans = spans_of(lambda _: 1.0, 4, exponential(5), until=700.0)
    first, second, both = (
        rate_of(spans, *window, tail=8.0) for window in ((100, 300), (300, 700), (100, 700))
    )
    assert first is not None
    assert second is not None
    assert both is not None
    added = first.with_more(second)
    assert added.rate == pytest.approx(both.rate)
    assert added.completions == pytest.approx(both.completions)
    assert added.workload == pytest.approx(both.workload)
    assert added.latency == pytest.approx(both.latency)
    assert added.error == pytest.approx(both.error, rel=0.3)


def test_a_window_without_a_completion_has_no_rate() -> None:
    assert rate_of([Span(0.0, inf)], 1.0, 5.0, tail=2.0) is None
