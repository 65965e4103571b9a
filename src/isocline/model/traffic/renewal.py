"""Renewal arrivals: independent gaps of one law, Gamma or Weibull.

The first arrival comes after the rest of a gap that is under way at time 0, so that the process is
stationary from its start: that rest is a uniform part of a gap drawn in proportion to its length
(Cox, *Renewal Theory*, 1962, Section 5.3).
"""

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Self, final

import numpy as np

from isocline.arguments import require_fields
from isocline.errors import UsageError
from isocline.model.traffic.arrivals import Arrivals, FloatArray, require_rate


class RenewalArrivals(Arrivals):
    """Gaps are a law's draws over `rate`."""

    @abstractmethod
    def gaps(self, rng: np.random.Generator, count: int) -> FloatArray:
        """(count,) gaps of mean 1."""

    @abstractmethod
    def long_gap(self, rng: np.random.Generator) -> float:
        """A gap drawn with probability in proportion to its length, in mean gaps."""

    @property
    def is_stationary(self) -> bool:
        return True

    def sample(self, rng: np.random.Generator, until: float) -> FloatArray:
        expected = self.rate * until
        parts = [np.array([rng.random() * self.long_gap(rng)])]
        while parts[-1][-1] < expected:
            # A few more than are expected to be left, and again if they were not enough.
            left = expected - parts[-1][-1]
            gaps = self.gaps(rng, int(left + 6.0 * math.sqrt(left) + 10.0))
            parts.append(parts[-1][-1] + np.cumsum(gaps))
        marks = np.concatenate(parts)
        return np.asarray(marks[marks < expected] / self.rate)


@final
@dataclass(frozen=True)
class GammaArrivals(RenewalArrivals):
    """Gamma gaps: bursty for cv > 1, more regular than Poisson for cv < 1."""

    per_second: float
    cv: float  # coefficient of variation of the gaps

    def __post_init__(self) -> None:
        require_fields(self, "gamma arrivals")
        require_rate(self.per_second)
        _require_shape("cv", self.cv)

    @property
    def rate(self) -> float:
        return self.per_second

    @property
    def in_words(self) -> str:
        return f"Gamma (cv {self.cv:g})"

    @property
    def _shape(self) -> float:
        return 1.0 / (self.cv * self.cv)

    def sped_up(self, factor: float) -> Self:
        return self.__class__(self.per_second * factor, self.cv)

    def gaps(self, rng: np.random.Generator, count: int) -> FloatArray:
        return rng.standard_gamma(self._shape, count) / self._shape

    def long_gap(self, rng: np.random.Generator) -> float:
        # x times the density of shape k is that of shape k + 1.
        return float(rng.standard_gamma(self._shape + 1.0) / self._shape)


@final
@dataclass(frozen=True)
class WeibullArrivals(RenewalArrivals):
    """Weibull gaps: bursty for shape < 1, Poisson at 1, more regular above."""

    per_second: float
    shape: float

    def __post_init__(self) -> None:
        require_fields(self, "weibull arrivals")
        require_rate(self.per_second)
        _require_shape("shape", self.shape)

    @property
    def rate(self) -> float:
        return self.per_second

    @property
    def in_words(self) -> str:
        return f"Weibull (shape {self.shape:g})"

    @property
    def _scale(self) -> float:
        return 1.0 / math.gamma(1.0 + 1.0 / self.shape)

    def sped_up(self, factor: float) -> Self:
        return self.__class__(self.per_second * factor, self.shape)

    def gaps(self, rng: np.random.Generator, count: int) -> FloatArray:
        return np.asarray(self._scale * rng.weibull(self.shape, count))

    def long_gap(self, rng: np.random.Generator) -> float:
        # A gap is the scale times E^(1/shape) with E exponential; times its length, E is Gamma
        # distributed with shape 1 + 1/shape.
        work = rng.standard_gamma(1.0 + 1.0 / self.shape)
        return float(self._scale * work ** (1.0 / self.shape))


def _require_shape(name: str, value: float) -> None:
    # Below, a mean over any run that fits in memory would say nothing of the long run.
    if not (math.isfinite(value) and 0.05 <= value <= 1000):
        raise UsageError(f"renewal arrivals: {name} is {value:g}; give a number from 0.05 to 1000")
