"""Estimate: a mean over replications with its interval."""

from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True)
class Estimate:
    """A mean over replications with its Student-t 95 % interval [low, high]."""

    value: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half the length of the interval."""
        return (self.high - self.low) / 2.0

    @property
    def relative_half_width(self) -> float:
        """Half-width over the absolute value; inf for a value of 0."""
        return self.half_width / abs(self.value) if self.value else float("inf")

    def over(self, constant: float) -> "Estimate":
        """The estimate of value / constant, for a known constant > 0."""
        return Estimate(self.value / constant, self.low / constant, self.high / constant)
