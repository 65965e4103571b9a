"""Every size distribution has mean 1 and the coefficient of variation that it says."""

import numpy as np
import pytest

from isocline.errors import UsageError
from isocline.model.traffic.sizes import (
    ALL,
    DeterministicSizes,
    ExponentialSizes,
    HyperexponentialSizes,
    LognormalSizes,
    Sizes,
)

COUNT = 400_000
LEVEL = 5.0  # standard errors: 6e-7 for a normal mean; the seed is fixed, so this is paid once
CASES = [
    (ExponentialSizes(), 1.0),
    (DeterministicSizes(), 0.0),
    (LognormalSizes(0.5), 0.5),
    (LognormalSizes(1.5), 1.5),
    (HyperexponentialSizes(1.0), 1.0),
    (HyperexponentialSizes(3.0), 3.0),
]


def test_every_distribution_is_tested() -> None:
    assert {type(sizes) for sizes, _ in CASES} == set(ALL.values())


@pytest.mark.parametrize(("sizes", "cv"), CASES)
def test_mean_is_one_and_the_spread_as_stated(sizes: Sizes, cv: float) -> None:
    sample = sizes.sample(np.random.default_rng(7), COUNT)
    assert (sample > 0).all()
    assert abs(sample.mean() - 1.0) <= LEVEL * cv / np.sqrt(COUNT)
    # The standard error of the second moment, with the fourth as the sample has it.
    square = sample**2
    error = square.std() / np.sqrt(COUNT)
    assert abs(square.mean() - (1.0 + cv**2)) <= LEVEL * error + 1e-12


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: LognormalSizes(0.0), "lognormal: cv is 0.0; give a finite number above 0"),
        (lambda: LognormalSizes(float("nan")), "cv is nan"),
        (lambda: HyperexponentialSizes(0.9), "cv is 0.9; give a finite number, 1 or more"),
    ],
)
def test_a_spread_that_the_distribution_cannot_have_is_refused(make: object, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        make()  # type: ignore[operator]
