"""Batch arrivals: groups of jobs that come at one moment."""

import math
from dataclasses import dataclass
from typing import Literal, Self, final

import numpy as np

from isocline.arguments import require_fields
from isocline.errors import UsageError
from isocline.model.traffic.arrivals import Arrivals, FloatArray, PoissonArrivals, require_rate

SizeLaw = Literal["geometric", "fixed"]


@final
@dataclass(frozen=True)
class BatchArrivals(Arrivals):
    """Batches come as a Poisson process; `size` is the mean number of jobs in one.

    Sizes are geometric on 1, 2, ..., or all alike (`fixed`, a whole number).
    """

    per_second: float  # jobs/s: batches/s times the mean size
    size: float
    law: SizeLaw = "geometric"

    def __post_init__(self) -> None:
        require_fields(self, "batch arrivals")
        require_rate(self.per_second)
        if self.law not in ("geometric", "fixed"):
            raise UsageError(f"batch arrivals: law is {self.law!r}; give geometric or fixed")
        if not (math.isfinite(self.size) and self.size >= 1):
            raise UsageError(f"batch arrivals: size is {self.size:g}; give a mean of at least 1")
        if self.law == "fixed" and self.size != round(self.size):
            raise UsageError(f"batch arrivals: size is {self.size:g}; fixed needs a whole number")

    @property
    def rate(self) -> float:
        return self.per_second

    @property
    def is_stationary(self) -> bool:
        return True

    @property
    def in_words(self) -> str:
        return f"batch ({self.law}, mean {self.size:g})"

    def sped_up(self, factor: float) -> Self:
        return self.__class__(self.per_second * factor, self.size, self.law)

    def sample(self, rng: np.random.Generator, until: float) -> FloatArray:
        moments = PoissonArrivals(self.per_second / self.size).sample(rng, until)
        if self.law == "fixed":
            return np.repeat(moments, round(self.size))
        return np.repeat(moments, rng.geometric(1.0 / self.size, moments.size))
