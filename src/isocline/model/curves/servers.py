"""The classical multi-server station, l(N) = rate * min(N, count): M/M/1 with count 1, M/M/n else.

Not strictly concave (Assumption 1 fails: many splits can be optimal), hence for simulation only.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Self, final

import numpy as np
import numpy.typing as npt

from isocline.arguments import is_number
from isocline.errors import CurveError, UsageError
from isocline.model.curves.base import Curve, FloatArray, require_positive


@final
@dataclass(frozen=True)
class ServersCurve(Curve):
    """`count` servers of `rate` jobs/s each."""

    type: ClassVar[str] = "servers"
    strictly_concave: ClassVar[bool] = False
    each: float
    count: int = 1

    def __post_init__(self) -> None:
        require_positive(self.type, rate=self.each)
        whole = is_number(self.count) and math.isfinite(self.count)
        if not (whole and self.count == int(self.count) and self.count >= 1):
            problem = f"servers curve: count is {self.count!r}; give a whole number above 0"
            raise CurveError(problem).within("count")

    @property
    def supremum(self) -> float:
        return self.each * self.count

    def rate(self, workload: npt.ArrayLike) -> FloatArray:
        return self.each * np.minimum(np.asarray(workload, dtype=np.float64), self.count)

    def marginal(self, workload: npt.ArrayLike) -> FloatArray:
        n = np.asarray(workload, dtype=np.float64)
        return np.where(n < self.count, self.each, 0.0)

    def workload(self, rate: npt.ArrayLike) -> FloatArray:
        a = np.asarray(rate, dtype=np.float64)
        return np.where(a <= self.supremum, a / self.each, np.inf)

    def workload_at(self, marginal: npt.ArrayLike) -> FloatArray:
        """The largest N that still has this marginal rate."""
        g = np.asarray(marginal, dtype=np.float64)
        return np.where(g <= self.each, float(self.count), 0.0)

    def scaled(self, factor: float) -> Self:
        return self.__class__(self.each * factor, self.count)

    def enlarged(self, factor: float) -> Self:
        count = self.count * factor
        # A factor such as 0.1 is no binary fraction: 10 * 0.1 servers may miss 1 by rounding.
        if round(count) < 1 or not math.isclose(count, round(count), rel_tol=1e-12):
            raise UsageError(
                f"scale {factor:g}: a servers curve of {self.count} would have {count:g} servers; "
                "give a scale that makes it a whole number"
            )
        return self.__class__(self.each, round(count))

    def parameters(self) -> dict[str, Any]:
        return {"rate": self.each, "count": self.count}
