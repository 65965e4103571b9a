"""The generated trace is as bursty, and its requests as large, as the Azure code trace."""

import numpy as np
import pytest

from isocline.model.traffic import bursty_trace


def cv(values: np.ndarray) -> float:
    return float(values.std() / values.mean())


def test_it_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    assert (bursty_trace(seed=3).times == bursty_trace(seed=3).times).all()
    assert (bursty_trace(seed=3).times != bursty_trace(seed=4).times).any()
    assert bursty_trace(seed=3).times[0] == 0.0


@pytest.mark.parametrize("seed", range(5))
def test_an_hour_of_it_is_as_bursty_as_the_real_one(seed: int) -> None:
    # The squared cv is the mean of 47 +- 7 squared pauses, each with relative deviation
    # sqrt(20) / 2: 0.36 of it, or 0.18 of the cv. Three of that about 13.6.
    trace = bursty_trace(seed=seed)
    assert 13.6 * (1 - 0.54) < cv(np.diff(trace.times)) < 13.6 * (1 + 0.54)
    # The length is the sum of as many pauses, of relative deviation sqrt(2 / 47): 0.21.
    assert 2.53 / (1 + 0.63) < trace.rate < 2.53 / (1 - 0.63)


def test_in_the_long_run_it_has_the_moments_that_were_measured() -> None:
    trace = bursty_trace(requests=2_000_000, seed=1)
    # 10 400 pauses: 1 % for the mean gap, 1.2 % for the cv; three of each.
    assert trace.rate == pytest.approx(2.53, rel=0.04)
    assert cv(np.diff(trace.times)) == pytest.approx(13.6, rel=0.04)
    assert trace.prompt_tokens.mean() == pytest.approx(2_048, rel=0.02)
    assert cv(trace.prompt_tokens) == pytest.approx(0.96, rel=0.1)
    assert trace.output_tokens.mean() == pytest.approx(27.9, rel=0.03)
    assert cv(trace.output_tokens) == pytest.approx(2.15, rel=0.1)


def test_tokens_are_whole_and_at_least_one() -> None:
    trace = bursty_trace()
    for tokens in (trace.prompt_tokens, trace.output_tokens):
        assert (tokens >= 1).all()
        assert (tokens == np.rint(tokens)).all()
