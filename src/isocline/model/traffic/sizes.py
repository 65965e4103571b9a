"""Job sizes relative to the mean: every distribution here has mean 1.

A backend at workload N works at l(N) mean jobs per second, so that the mean service demand is the
same whatever the distribution; `cv` is the coefficient of variation.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import numpy.typing as npt

from isocline.errors import UsageError

FloatArray = npt.NDArray[np.float64]


class Sizes(ABC):
    """A job-size distribution with mean 1."""

    type: ClassVar[str]
    """Its name in system files."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "type" not in cls.__dict__:
            cls.type = f"{cls.__module__}:{cls.__qualname__}"

    @abstractmethod
    def sample(self, rng: np.random.Generator, count: int) -> FloatArray:
        """(count,) independent sizes, > 0."""


@final
@dataclass(frozen=True)
class ExponentialSizes(Sizes):
    """The memoryless one, for which the simulator needs no clock per job."""

    type: ClassVar[str] = "exponential"

    def sample(self, rng: np.random.Generator, count: int) -> FloatArray:
        return rng.standard_exponential(count)


@final
@dataclass(frozen=True)
class DeterministicSizes(Sizes):
    """All jobs alike."""

    type: ClassVar[str] = "deterministic"

    def sample(self, rng: np.random.Generator, count: int) -> FloatArray:  # noqa: ARG002
        return np.ones(count)


@final
@dataclass(frozen=True)
class LognormalSizes(Sizes):
    """Log-normal with coefficient of variation `cv`."""

    type: ClassVar[str] = "lognormal"
    cv: float

    def __post_init__(self) -> None:
        _require_cv(self.type, self.cv, least=0.0)

    def sample(self, rng: np.random.Generator, count: int) -> FloatArray:
        # E = exp(m + s^2/2) = 1 and cv^2 = exp(s^2) - 1
        variance = math.log1p(self.cv**2)
        return rng.lognormal(-variance / 2.0, math.sqrt(variance), count)


@final
@dataclass(frozen=True)
class HyperexponentialSizes(Sizes):
    """Mixture of two exponentials with balanced means, cv >= 1."""

    type: ClassVar[str] = "hyperexponential"
    cv: float

    def __post_init__(self) -> None:
        _require_cv(self.type, self.cv, least=1.0)

    def sample(self, rng: np.random.Generator, count: int) -> FloatArray:
        # Balanced means: p m1 = (1 - p) m2 = 1/2, with p = (1 + sqrt((cv^2-1)/(cv^2+1))) / 2.
        square = self.cv**2
        share = (1.0 + math.sqrt((square - 1.0) / (square + 1.0))) / 2.0
        short = rng.random(count) < share
        mean = np.where(short, 0.5 / share, 0.5 / (1.0 - share))
        return mean * rng.standard_exponential(count)


def _require_cv(name: str, cv: float, least: float) -> None:
    if not (math.isfinite(cv) and cv >= least and cv > 0):
        # Sizes, patience and service times are drawn from these laws: the caller says which.
        bound = f", {least:g} or more" if least > 0 else " above 0"
        raise UsageError(f"{name}: cv is {cv}; give a finite number{bound}").within("cv")


ALL: dict[str, type[Sizes]] = {
    sizes.type: sizes
    for sizes in (ExponentialSizes, DeterministicSizes, LognormalSizes, HyperexponentialSizes)
}
