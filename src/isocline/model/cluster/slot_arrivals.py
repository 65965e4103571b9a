"""Numbers of tasks per slot, of any variance: the theorems depend on nothing else.

Near-data paper, Section 2: numbers of arrivals are independent from slot to slot with a mean and a
variance sigma^2; Theorems 3, 5, 6 and 8 hold for any such law.
"""

import math
from dataclasses import dataclass
from typing import Self, final

import numpy as np
import numpy.typing as npt

from isocline.arguments import require_fields
from isocline.errors import UsageError

IndexArray = npt.NDArray[np.int64]

_ROUNDING = 1e-9


@final
@dataclass(frozen=True)
class SlotArrivals:
    """Numbers of tasks with variance `dispersion` times the mean; 1 is Poisson.

    Above 1 they are negative binomial; below, a mixture of two binomial laws with the same mean, or
    of one and the law that varies least, which takes the two whole numbers next to the mean.
    """

    dispersion: float = 1.0

    def __post_init__(self) -> None:
        require_fields(self, "arrivals")
        if not (math.isfinite(self.dispersion) and self.dispersion >= 0):
            raise UsageError(
                f"arrivals: variance over mean is {self.dispersion:g}; give a finite number, 0 or "
                "more"
            )

    @classmethod
    def of_variance(cls, variance: float, mean: float) -> Self:
        """With this variance where `mean` tasks come in a slot."""
        return cls(variance / mean)

    @classmethod
    def parse(cls, text: str, mean: float) -> Self:
        """From `variance=V` (at `mean` tasks per slot) or `dispersion=D`.

        Raises:
            UsageError: It is not written so.
        """
        key, _, value = text.partition("=")
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if key not in ("variance", "dispersion") or math.isnan(number):
            raise UsageError(
                f"arrivals {text!r}: of kind near-data give variance=V, in tasks per slot, or "
                "dispersion=D, the variance over the mean; 1 is Poisson"
            )
        return cls.of_variance(number, mean) if key == "variance" else cls(number)

    @property
    def in_words(self) -> str:
        """Name in the small print."""
        if self.dispersion == 1.0:
            return "Poisson arrivals"
        return f"arrivals with variance {self.dispersion:g} times their mean"

    def variance_of(self, rate: float, total: float) -> float:
        """sigma^2 of those tasks that are `rate` of all `total` per slot, types being drawn.

        Each task is one of them with probability q = rate/total, so that the variance is
        q^2 D total + q (1 - q) total = rate (1 + q (D - 1)).
        """
        return rate * (1.0 + rate / total * (self.dispersion - 1.0))

    def require(self, mean: float) -> None:
        """Raise UsageError where whole numbers of this mean cannot vary so little."""
        part = mean - math.floor(mean)
        least = part * (1.0 - part) / mean
        if self.dispersion < least - _ROUNDING:
            raise UsageError(
                f"arrivals: variance over mean is {self.dispersion:g}; numbers of tasks with mean "
                f"{mean:g} per slot vary by at least {least:.6g} times their mean"
            )

    def sample(self, rng: np.random.Generator, mean: float, count: int) -> IndexArray:
        """(count,) numbers of tasks in slots, `mean` on average."""
        if self.dispersion == 1.0:
            return rng.poisson(mean, count)
        variance = self.dispersion * mean
        if variance > mean:
            # n = m^2 / (v - m), p = m / v.
            return rng.negative_binomial(mean * mean / (variance - mean), mean / variance, count)
        # Binomial(n, m / n) has variance m (1 - m / n), which rises with n: take neighbours.
        trials = max(math.ceil(mean * mean / (mean - variance) - _ROUNDING), math.ceil(mean))
        more = mean * (1.0 - mean / trials)
        fewer, less = trials - 1, 0.0
        if fewer >= mean:
            less = mean * (1.0 - mean / fewer)
        else:
            part = mean - math.floor(mean)
            less = part * (1.0 - part)
        share = 1.0 if more <= less else min(max((variance - less) / (more - less), 0.0), 1.0)
        numbers = rng.binomial(trials, mean / trials, count)
        if share == 1.0:
            return numbers
        other = (
            rng.binomial(fewer, mean / fewer, count)
            if fewer >= mean
            else math.floor(mean) + (rng.random(count) < mean - math.floor(mean))
        )
        return np.where(rng.random(count) < share, numbers, other).astype(np.int64)
