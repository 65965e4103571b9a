"""Hyperbolic saturation, l(N) = peak * N / (N + half): half the peak rate at N = half.

The curve of the GMSR paper's Appendix F; also Michaelis-Menten, and what one resource shared by
jobs that each need a private one first gives.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Self, final

import numpy as np
import numpy.typing as npt

from isocline.model.curves.base import Curve, FloatArray, require_positive


@final
@dataclass(frozen=True)
class HyperbolicCurve(Curve):
    """l(N) = peak N / (N + half)."""

    type: ClassVar[str] = "hyperbolic"
    peak: float
    half: float

    def __post_init__(self) -> None:
        require_positive(self.type, peak=self.peak, half=self.half)

    @property
    def supremum(self) -> float:
        return self.peak

    def rate(self, workload: npt.ArrayLike) -> FloatArray:
        n = np.asarray(workload, dtype=np.float64)
        return self.peak * n / (n + self.half)

    def marginal(self, workload: npt.ArrayLike) -> FloatArray:
        n = np.asarray(workload, dtype=np.float64)
        return self.peak * self.half / (n + self.half) ** 2

    def workload(self, rate: npt.ArrayLike) -> FloatArray:
        a = np.asarray(rate, dtype=np.float64)
        with np.errstate(divide="ignore"):
            return np.where(a < self.peak, self.half * a / np.maximum(self.peak - a, 0.0), np.inf)

    def workload_at(self, marginal: npt.ArrayLike) -> FloatArray:
        g = np.asarray(marginal, dtype=np.float64)
        return np.maximum(np.sqrt(self.peak * self.half / g) - self.half, 0.0)

    def scaled(self, factor: float) -> Self:
        return self.__class__(self.peak * factor, self.half)

    def enlarged(self, factor: float) -> Self:
        return self.__class__(self.peak * factor, self.half * factor)

    def parameters(self) -> dict[str, Any]:
        return {"peak": self.peak, "half": self.half}
