"""Base class of service curves: l(N), the rate at which a backend with N jobs finishes them.

Assumption 1 of the GMSR paper: l(0) = 0, strictly increasing, strictly concave, bounded, twice
differentiable. With p = 1/l' the price of one more job, the four functions here are

    rate(N)               l(N), jobs/s, in [0, peak)
    marginal(N)           l'(N), strictly decreasing
    workload(rate)        l^-1
    workload_at(marginal) (l')^-1, and 0 where the marginal rate exceeds l'(0)

A curve is checked when it is made, and an error names the condition that fails. All functions take
scalars or arrays.

A user's own curve derives from `Curve` and gives `supremum`, `rate` and `marginal`; the rest
follows from them, more slowly than in closed form. `isocline.model.curves.own` checks it.
`StretchedCurve` scales the speed and size of such a curve.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self, final

import numpy as np
import numpy.typing as npt

from isocline.arguments import is_number
from isocline.errors import CurveError
from isocline.user_code import arguments

FloatArray = npt.NDArray[np.float64]


class Curve(ABC):
    """A service curve; N in jobs, rates in jobs/s (or in the system's unit of work per second)."""

    type: ClassVar[str]
    """The curve's name in system files."""
    strictly_concave: ClassVar[bool] = True
    """False where Assumption 1 fails and the curve serves for simulation only."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "type" not in cls.__dict__:
            cls.type = f"{cls.__module__}:{cls.__qualname__}"  # as a system file names it

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

    def workload(self, rate: npt.ArrayLike) -> FloatArray:
        """The N with l(N) = rate, for 0 <= rate < supremum; inf beyond."""
        a = np.asarray(rate, dtype=np.float64)
        found = _crossing(lambda n: self.rate(n) >= a, a.shape)
        return np.where(a < self.supremum, np.where(a > 0.0, found, 0.0), np.inf)

    def workload_at(self, marginal: npt.ArrayLike) -> FloatArray:
        """The N with l'(N) = marginal > 0; 0 where no N has one as large."""
        g = np.asarray(marginal, dtype=np.float64)
        found = _crossing(lambda n: self.marginal(n) <= g, g.shape)
        return np.where(g < self.marginal(0.0), found, 0.0)

    def scaled(self, factor: float) -> "Curve":
        """The same backend, `factor` times as fast; also a change of the unit of work."""
        return StretchedCurve(self, factor, 1.0)

    def enlarged(self, factor: float) -> "Curve":
        """The curve c l(N / c), c = `factor`, of the scaled system (GMSR paper, Section 5).

        It holds c times the jobs at the same marginal rate and finishes c times as many.

        Raises:
            UsageError: The curve has parts that must be whole, and would not be.
        """
        return StretchedCurve(self, factor, factor)

    def parameters(self) -> dict[str, Any]:
        """The curve as it stands in a system file, without its type: the fields of a data class."""
        return arguments(self)

    def difference(self, workload: npt.ArrayLike) -> FloatArray:
        """l(N + 1) - l(N): what one more whole job adds."""
        n = np.asarray(workload, dtype=np.float64)
        return self.rate(n + 1.0) - self.rate(n)

    def __str__(self) -> str:
        entries = {"type": self.type, **self.parameters()}
        return f"{{{', '.join(f'{key}: {value}' for key, value in entries.items())}}}"


# Workloads are found in the logarithm, between bounds that no backend comes near: the bracket of 80
# decades is halved to the distance of two neighbouring doubles in 60 steps.
_LEAST, _GREATEST = 1e-40, 1e40
_STEPS = 60


def _crossing(beyond: Callable[[FloatArray], npt.NDArray[np.bool_]], shape: Any) -> FloatArray:
    """The least N at which `beyond` holds, elementwise; it fails below and holds above."""
    low, high = np.full(shape, np.log(_LEAST)), np.full(shape, np.log(_GREATEST))
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        for _ in range(_STEPS):
            middle = 0.5 * (low + high)
            is_beyond = beyond(np.exp(middle))
            low, high = np.where(is_beyond, low, middle), np.where(is_beyond, middle, high)
    return np.asarray(np.exp(high))


def log_of_ratio(above: float, below: float, marginal: FloatArray) -> FloatArray:
    """ln(above / (below marginal)) for numbers above 0, also where that quotient is no double.

    A pool asks for workloads at marginal rates down to the smallest normal number.
    """
    with np.errstate(over="ignore", divide="ignore"):
        ratio = above / (below * marginal)
        apart = math.log(above) - math.log(below) - np.log(marginal)
        return np.asarray(np.where(np.isinf(ratio), apart, np.log(ratio)))


def require_positive(curve: str, **values: float) -> None:
    """Raise CurveError unless every value is a finite number above 0."""
    for name, value in values.items():
        if not (is_number(value) and math.isfinite(value) and value > 0):
            problem = f"{curve} curve: {name} is {value!r}; give a finite number above 0"
            raise CurveError(problem).within(name)


@final
@dataclass(frozen=True)
class StretchedCurve(Curve):
    """height l(N / width), of a curve that says nothing of its own about factors."""

    inner: Curve
    height: float
    width: float

    @property
    def type(self) -> str:  # type: ignore[override]  # of one curve here, not of a class
        return self.inner.type

    @property
    def strictly_concave(self) -> bool:  # type: ignore[override]
        return self.inner.strictly_concave

    @property
    def supremum(self) -> float:
        return self.height * self.inner.supremum

    def rate(self, workload: npt.ArrayLike) -> FloatArray:
        n = np.asarray(workload, dtype=np.float64)
        return self.height * self.inner.rate(n / self.width)

    def marginal(self, workload: npt.ArrayLike) -> FloatArray:
        n = np.asarray(workload, dtype=np.float64)
        return self.height / self.width * self.inner.marginal(n / self.width)

    def workload(self, rate: npt.ArrayLike) -> FloatArray:
        a = np.asarray(rate, dtype=np.float64)
        return self.width * self.inner.workload(a / self.height)

    def workload_at(self, marginal: npt.ArrayLike) -> FloatArray:
        g = np.asarray(marginal, dtype=np.float64)
        return self.width * self.inner.workload_at(g * self.width / self.height)

    def scaled(self, factor: float) -> Self:
        return self.__class__(self.inner, self.height * factor, self.width)

    def enlarged(self, factor: float) -> Self:
        return self.__class__(self.inner, self.height * factor, self.width * factor)

    def parameters(self) -> dict[str, Any]:
        factors = {"height": self.height, "width": self.width}
        return self.inner.parameters() | {key: f for key, f in factors.items() if f != 1.0}
