"""A pool: one router over members, as one curve.

Its rate is the most that its members can serve together, max sum l_m(N_m) over sum N_m = N. That is
a level flow with one source, so by Lemma 3 of the GMSR paper all members in use have one marginal
rate, which is the pool's own: l'(N) = g with sum (l'_m)^-1(g) = N. Strictly concave if the members
are. It is what a backend with a local router serves if the jobs inside are balanced at every moment
(the paper's Section 7 asks how near a real router comes: `isocline simulate --layers`).
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self, final

import numpy as np
import numpy.typing as npt

from isocline.arguments import require_fields
from isocline.errors import CurveError
from isocline.model.curves.base import Curve, FloatArray

# Marginal rates are found in the logarithm: the bracket's ratio is squared away once per step, so a
# ratio of 1e300 is closed to two neighbouring doubles in log2(690 / 1.1e-16) = 63 steps.
_STEPS = 64
_TINY = float(np.finfo(np.float64).tiny)


@final
@dataclass(frozen=True)
class PoolCurve(Curve):
    """The curve of a router over `members`, any strictly concave curves, pools among them."""

    type: ClassVar[str] = "pool"
    members: tuple[Curve, ...]

    def __post_init__(self) -> None:
        require_fields(self, "pool curve")
        if not self.members:
            raise CurveError("pool curve: no members; give at least one curve")
        for i, member in enumerate(self.members):
            if not member.strictly_concave:
                raise CurveError(
                    f"pool curve: members[{i}] is a {member.type} curve, which is not strictly "
                    "concave (Assumption 1), so that the pool's split is not unique; give it a "
                    "hyperbolic or knee curve"
                ).within("members", i)

    @property
    def supremum(self) -> float:
        return sum(member.supremum for member in self.members)

    @cached_property
    def parts(self) -> Mapping[Curve, int]:
        """The curves that are no pools, of members and their members, and how many of each."""
        found: Counter[Curve] = Counter()
        for member in self.members:
            found.update(member.parts if isinstance(member, PoolCurve) else {member: 1})
        return found

    def rate(self, workload: npt.ArrayLike) -> FloatArray:
        n = np.asarray(workload, dtype=np.float64)
        g = self.marginal(n)
        level = np.maximum(g, _TINY)
        held, rate = self._held(level), self._served(level)
        # To first order in what rounding of g leaves out; the second order is below rounding.
        return np.asarray(np.where(n > 0.0, rate + g * (n - held), 0.0))

    def marginal(self, workload: npt.ArrayLike) -> FloatArray:
        n = np.asarray(workload, dtype=np.float64)
        # A member with jobs has the level g at no more than N, and one without has at most g empty.
        # Some member has at least its even part of N, and that is a bound from above.
        low = np.max([part.marginal(n) for part in self.parts], axis=0)
        even = n / sum(self.parts.values())
        high = np.max([part.marginal(even) for part in self.parts], axis=0)
        return _falling_root(self._held, n, low, high)

    def workload(self, rate: npt.ArrayLike) -> FloatArray:
        a = np.asarray(rate, dtype=np.float64)
        share = np.minimum(a / self.supremum, 1.0 - 2.0**-53)
        # If each has its part by capacity, the common level is between the least and the greatest.
        even = [part.marginal(part.workload(share * part.supremum)) for part in self.parts]
        g = _falling_root(self._served, a, np.min(even, axis=0), np.max(even, axis=0))
        with np.errstate(divide="ignore", invalid="ignore"):
            n = self._held(g) + (a - self._served(g)) / g
        return np.asarray(np.where(a < self.supremum, n, np.inf))

    def workload_at(self, marginal: npt.ArrayLike) -> FloatArray:
        return self._held(np.asarray(marginal, dtype=np.float64))

    def scaled(self, factor: float) -> Self:
        return self.__class__(tuple(member.scaled(factor) for member in self.members))

    def enlarged(self, factor: float) -> Self:
        return self.__class__(tuple(member.enlarged(factor) for member in self.members))

    def parameters(self) -> dict[str, Any]:
        members = [{"type": member.type, **member.parameters()} for member in self.members]
        return {"members": members}

    def __str__(self) -> str:
        return f"{{type: {self.type}, members: [{', '.join(map(str, self.members))}]}}"

    def _held(self, g: FloatArray) -> FloatArray:
        """Jobs at the common marginal rate g."""
        return np.asarray(sum(k * part.workload_at(g) for part, k in self.parts.items()))

    def _served(self, g: FloatArray) -> FloatArray:
        """Jobs/s at the common marginal rate g."""
        rates = (k * part.rate(part.workload_at(g)) for part, k in self.parts.items())
        return np.asarray(sum(rates))


def _falling_root(
    falling: Callable[[FloatArray], FloatArray],
    value: FloatArray,
    low: FloatArray,
    high: FloatArray,
) -> FloatArray:
    """The g in [low, high] with falling(g) = value, to rounding: bisection of the exponent.

    Where low is 0 (all members are tables, past their ends) so is g, unless a g above 0 does it.
    """
    below, above = np.maximum(low, _TINY), np.maximum(high, _TINY)
    for _ in range(_STEPS):
        middle = np.sqrt(below) * np.sqrt(above)
        too_low = falling(middle) > value
        below, above = np.where(too_low, middle, below), np.where(too_low, above, middle)
    return np.asarray(np.where((below == _TINY) & (low == 0.0), 0.0, np.clip(above, low, high)))
