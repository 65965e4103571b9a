"""What a service curve is: l(N), the rate at which a backend finishes jobs while it holds N.

Assumption 1 of the GMSR paper: l(0) = 0, strictly increasing, strictly concave, bounded, twice
differentiable. With p = 1/l' the price of one more job, the four functions here are

    rate(N)               l(N), jobs/s, in [0, peak)
    marginal(N)           l'(N), strictly decreasing
    workload(rate)        l^-1
    workload_at(marginal) (l')^-1, and 0 where the marginal rate exceeds l'(0)

A curve is checked when it is made; what it breaks is named. All functions take scalars or arrays.
"""

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from isocline.errors import CurveError

FloatArray = npt.NDArray[np.float64]


class Curve(ABC):
    """A service curve; N in jobs, rates in jobs/s (or in the system's unit of work per second)."""

    type: ClassVar[str]
    """The curve's name in system files."""
    strictly_concave: ClassVar[bool] = True
    """False where Assumption 1 fails and the curve serves for simulation only."""

    @property
    @abstractmethod
    def supremum(self) -> float:
        """The least upper bound of the rate: the capacity."""

    @abstractmethod
    def rate(self, workload: npt.ArrayLike) -> FloatArray:
        """l(N)."""

    @abstractmethod
    def marginal(self, workload: npt.ArrayLike) -> FloatArray:
        """l'(N); the right derivative where there are two."""

    @abstractmethod
    def workload(self, rate: npt.ArrayLike) -> FloatArray:
        """The N with l(N) = rate, for 0 <= rate < supremum; inf beyond."""

    @abstractmethod
    def workload_at(self, marginal: npt.ArrayLike) -> FloatArray:
        """The N with l'(N) = marginal > 0; 0 where no N has one as large."""

    @abstractmethod
    def scaled(self, factor: float) -> Self:
        """The same backend, `factor` times as fast; also a change of the unit of work."""

    @abstractmethod
    def enlarged(self, factor: float) -> Self:
        """The curve c l(N / c), c = `factor`, of the scaled system (GMSR paper, Section 5).

        It holds c times the jobs at the same marginal rate and finishes c times as many.

        Raises:
            UsageError: The curve has parts that must be whole, and would not be.
        """

    @abstractmethod
    def parameters(self) -> dict[str, Any]:
        """The curve as it stands in a system file, without its type."""

    def difference(self, workload: npt.ArrayLike) -> FloatArray:
        """l(N + 1) - l(N): what one more whole job adds."""
        n = np.asarray(workload, dtype=np.float64)
        return self.rate(n + 1.0) - self.rate(n)

    def __str__(self) -> str:
        inner = ", ".join(f"{key}: {value}" for key, value in self.parameters().items())
        return f"{{type: {self.type}, {inner}}}"


def require_positive(curve: str, **values: float) -> None:
    """Raise CurveError unless every value is a finite number above 0."""
    for name, value in values.items():
        if not (isinstance(value, int | float) and math.isfinite(value) and value > 0):
            problem = f"{curve} curve: {name} is {value!r}; give a finite number above 0"
            raise CurveError(problem).within(name)
