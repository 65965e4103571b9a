"""The least of a word of candidates is the least: the same one, after the same draws."""

import numpy as np
import pytest

from isocline.policies.routing.contract import View
from isocline.policies.routing.picks import WORD, least, least_of_many, ones
from isocline.randomness.draws import stream


def picture(rng: np.random.Generator, backends: int, ties: float, prices: float) -> View:
    """Few distinct scores, some of them infinite or not a number; with prices also work."""
    scores = rng.choice([0.5, 1.0, 2.0, np.inf, np.nan], size=(3, 4), p=[0.3, 0.3, 0.2, 0.1, 0.1])
    return View(
        rng.permutation(backends).astype(np.int32),
        rng.integers(0, 6, size=backends, dtype=np.int32),  # beyond the table, too
        rng.integers(0, 3, size=backends, dtype=np.int32),
        scores,
        np.zeros((backends, 0)),
        np.zeros((backends, 0)),
        np.array([ties, prices]),
        rng.choice([1.0, 2.0], size=(backends, 2)) if prices else np.zeros((0, 2)),
    )


@pytest.mark.parametrize("ties", [0.0, 1.0])
@pytest.mark.parametrize("prices", [0.0, 1.0])
@pytest.mark.parametrize("size", [1, 2, 3, 10, WORD - 1, WORD, WORD + 1])
def test_it_is_the_least_after_the_same_draws(size: int, prices: float, ties: float) -> None:
    rng = np.random.default_rng(size)
    one, other = stream(size), stream(size)
    for _ in range(200):
        view = picture(rng, size + 3, ties, prices)
        candidates = np.arange(2, 2 + size, dtype=np.int32)
        expected = least_of_many(candidates, view, 0.0, one)
        assert least(candidates, view, 0.0, other) == expected
        np.testing.assert_array_equal(one, other)


def test_bits_are_counted() -> None:
    for word in (0, 1, 2**63, 2**64 - 1, 0x123456789ABCDEF):
        assert ones(np.uint64(word)) == word.bit_count()
