"""Exponential saturation, l(N) = peak * (1 - exp(-N / scale))."""

from dataclasses import dataclass
from typing import Any, ClassVar, Self, final

import numpy as np
import numpy.typing as npt

from isocline.model.curves.base import Curve, FloatArray, log_of_ratio, require_positive


@final
@dataclass(frozen=True)
class ExponentialCurve(Curve):
    """l(N) = peak (1 - e^(-N/scale)): every further job closes the same share of the gap."""

    type: ClassVar[str] = "exponential"
    peak: float
    scale: float

    def __post_init__(self) -> None:
        require_positive(self.type, peak=self.peak, scale=self.scale)

    @property
    def supremum(self) -> float:
        return self.peak

    def rate(self, workload: npt.ArrayLike) -> FloatArray:
        n = np.asarray(workload, dtype=np.float64)
        return -self.peak * np.expm1(-n / self.scale)

    def marginal(self, workload: npt.ArrayLike) -> FloatArray:
        n = np.asarray(workload, dtype=np.float64)
        return self.peak / self.scale * np.exp(-n / self.scale)

    def workload(self, rate: npt.ArrayLike) -> FloatArray:
        a = np.minimum(np.asarray(rate, dtype=np.float64), self.peak)
        with np.errstate(divide="ignore"):
            return -self.scale * np.log1p(-a / self.peak)

    def workload_at(self, marginal: npt.ArrayLike) -> FloatArray:
        g = np.asarray(marginal, dtype=np.float64)
        return np.maximum(self.scale * log_of_ratio(self.peak, self.scale, g), 0.0)

    def scaled(self, factor: float) -> Self:
        return self.__class__(self.peak * factor, self.scale)

    def enlarged(self, factor: float) -> Self:
        return self.__class__(self.peak * factor, self.scale * factor)

    def parameters(self) -> dict[str, Any]:
        return {"peak": self.peak, "scale": self.scale}
