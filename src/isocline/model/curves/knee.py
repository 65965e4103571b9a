"""The knee, l(N) = peak * N / (N^p + knee^p)^(1/p): linear, then flat, with a bend at N = knee.

p = 1 is the hyperbolic curve; as p grows it approaches peak * min(N / knee, 1). Most published
LLM serving curves need p above 1: batching is almost free until memory bandwidth is used up.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Self, final

import numpy as np
import numpy.typing as npt

from isocline.errors import CurveError
from isocline.model.curves.base import Curve, FloatArray, log_of_ratio, require_positive

# Half the peak takes (2^p - 1)^(-1/p) knees: 1 at p = 1, 3e11 here, and 6e215 at p = 0.01, where a
# plan would hold 1e163 jobs.
LEAST_SHARPNESS = 0.1


@final
@dataclass(frozen=True)
class KneeCurve(Curve):
    """l(N) = peak N / (N^sharpness + knee^sharpness)^(1/sharpness)."""

    type: ClassVar[str] = "knee"
    peak: float
    knee: float
    sharpness: float

    def __post_init__(self) -> None:
        require_positive(self.type, peak=self.peak, knee=self.knee, sharpness=self.sharpness)
        if self.sharpness < LEAST_SHARPNESS:
            raise CurveError(
                f"knee curve: sharpness is {self.sharpness:g}; give {LEAST_SHARPNESS:g} or more: "
                "below it, no number of jobs that a machine holds comes near the peak"
            ).within("sharpness")

    @property
    def supremum(self) -> float:
        return self.peak

    # Below, z = 1 + (N/knee)^p, so that l = peak ((z-1)/z)^(1/p), l' = (peak/knee) z^-(1+1/p).

    def rate(self, workload: npt.ArrayLike) -> FloatArray:
        q = np.asarray(workload, dtype=np.float64) / self.knee
        p = self.sharpness
        small = np.minimum(q, 1.0)
        inverse = 1.0 / np.maximum(q, 1.0)  # two branches: q^p would overflow for large q
        below = small / (1.0 + small**p) ** (1.0 / p)
        above = (1.0 + inverse**p) ** (-1.0 / p)
        return self.peak * np.where(q <= 1.0, below, above)

    def marginal(self, workload: npt.ArrayLike) -> FloatArray:
        q = np.asarray(workload, dtype=np.float64) / self.knee
        p = self.sharpness
        small = np.minimum(q, 1.0)
        inverse = 1.0 / np.maximum(q, 1.0)
        below = (1.0 + small**p) ** (-1.0 - 1.0 / p)
        above = (1.0 + inverse**p) ** (-1.0 - 1.0 / p) * inverse ** (p + 1.0)
        return self.peak / self.knee * np.where(q <= 1.0, below, above)

    def workload(self, rate: npt.ArrayLike) -> FloatArray:
        share = np.minimum(np.asarray(rate, dtype=np.float64) / self.peak, 1.0)
        p = self.sharpness
        with np.errstate(divide="ignore"):
            return self.knee * share * (-np.expm1(p * np.log(share))) ** (-1.0 / p)

    def workload_at(self, marginal: npt.ArrayLike) -> FloatArray:
        g = np.asarray(marginal, dtype=np.float64)
        p = self.sharpness
        log_z = log_of_ratio(self.peak, self.knee, g) * p / (p + 1.0)
        return self.knee * np.expm1(np.maximum(log_z, 0.0)) ** (1.0 / p)

    def scaled(self, factor: float) -> Self:
        return self.__class__(self.peak * factor, self.knee, self.sharpness)

    def enlarged(self, factor: float) -> Self:
        return self.__class__(self.peak * factor, self.knee * factor, self.sharpness)

    def parameters(self) -> dict[str, Any]:
        return {"peak": self.peak, "knee": self.knee, "sharpness": self.sharpness}
