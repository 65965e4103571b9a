"""The range of the time left, held to runs whose end is known."""

import math

import numpy as np
import pytest

from isocline.dispatch.live_page.progress import TimeLeft, time_left


def test_a_steady_run_ends_when_it_says() -> None:
    found = time_left([(1.0, 10)] * 60, 600)
    assert found is not None
    assert found.expected == pytest.approx(60.0)
    assert found.low < 60.0 < found.high
    assert found.high - found.low < 1.0


def test_an_early_guess_is_none() -> None:
    assert time_left([], 5) is None
    assert time_left([(1.0, 100)] * 3, 5) is None  # three blocks say nothing of how they vary
    assert time_left([(1.0, 1)] * 7, 5) is None  # seven tasks, likewise
    assert time_left([(1.0, 0)] * 60, 5) is None


def test_nothing_left_takes_no_time() -> None:
    assert time_left([], 0) == TimeLeft(0.0, 0.0, 0.0)


def test_a_run_that_stands_still_now_and_then_may_take_for_ever() -> None:
    found = time_left([(1.0, 30 if n == 9 else 0) for n in range(10)], 100)
    assert found is not None
    assert found.high == math.inf
    assert found.low > 0.0


@pytest.mark.parametrize("spread", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("left", [40, 2000])
def test_the_range_holds_the_truth_in_nineteen_of_twenty_runs(spread: float, left: int) -> None:
    """Renewal processes: times between ends are gamma with this coefficient of variation."""
    rng = np.random.default_rng(7)
    held, runs = 0, 400
    for _ in range(runs):
        gaps = rng.gamma(1 / spread**2, spread**2 / 8.0, 60 * 8 * 2 + left * 2)
        ends = np.cumsum(gaps)
        seen = int(np.searchsorted(ends, 60.0))
        counts = np.histogram(ends, np.arange(61.0))[0]
        found = time_left([(1.0, int(n)) for n in counts], left)
        assert found is not None
        held += found.low <= ends[seen + left - 1] - 60.0 <= found.high
    assert 0.91 <= held / runs <= 1.0
