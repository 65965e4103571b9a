"""The least of a short sample is that of `least_of_sample`, after the same draws."""

import numpy as np
import pytest

from isocline.policies.routing.contract import View
from isocline.policies.routing.power_of_d import (
    LARGEST_SAMPLE,
    least_of_sample,
    least_of_short_sample,
)
from isocline.randomness.draws import stream


def picture(rng: np.random.Generator, backends: int, option: list[float]) -> View:
    """Few distinct scores, some of them infinite or not a number; with prices also work."""
    return View(
        rng.permutation(backends).astype(np.int32),
        rng.integers(0, 6, size=backends, dtype=np.int32),  # beyond the table, too
        rng.integers(0, 3, size=backends, dtype=np.int32),
        rng.choice([0.5, 1.0, 2.0, np.inf, np.nan], size=(3, 4), p=[0.3, 0.3, 0.2, 0.1, 0.1]),
        np.zeros((backends, 0)),
        np.zeros((1, LARGEST_SAMPLE)),
        np.array(option),
        rng.choice([1.0, 2.0], size=(backends, 2)) if option[1] else np.zeros((0, 2)),
    )


@pytest.mark.parametrize("ties", [0.0, 1.0])
@pytest.mark.parametrize("prices", [0.0, 1.0])
@pytest.mark.parametrize("replaced", [0.0, 1.0])
@pytest.mark.parametrize("d", [1, 2, 3, 4])
def test_it_is_the_least_of_the_same_sample(
    d: int, replaced: float, prices: float, ties: float
) -> None:
    rng = np.random.default_rng(d)
    one, other = stream(d), stream(d)
    for size in (1, 2, 3, 4, 10, 100) * 30:
        view = picture(rng, size + 3, [ties, prices, float(d), replaced])
        candidates = np.arange(2, 2 + size, dtype=np.int32)
        expected = least_of_sample(candidates, view, 0.0, one)
        assert least_of_short_sample(candidates, view, 0.0, other) == expected
        np.testing.assert_array_equal(one, other)
