"""A curve of one's own, as fast and as large as a factor makes it."""

from dataclasses import dataclass
from typing import Any, Self, final

import numpy as np
import numpy.typing as npt

from isocline.model.curves.base import Curve, FloatArray


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
