"""Convergence phases of a path of the fluid, compared with Section 6.3 of the GMSR paper.

Theorem 3: a start with delta jobs too many or too few is within epsilon of the optimum after
O(delta + log 1/epsilon). Outside the invariant set K jobs drain at a constant rate (Proposition 4);
inside, V falls exponentially (Proposition 2) and bounds the gap (Proposition 3). The second phase
begins where the path enters K to stay, K taken for the kappa of Lemma 13's proof.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, final

import numpy as np
import numpy.typing as npt

from isocline.arguments import checked
from isocline.errors import UsageError
from isocline.record import Record, data_frame
from isocline.theory.routing.convergence import Convergence
from isocline.theory.routing.fluid_path import FluidPath

if TYPE_CHECKING:
    import pandas as pd

FloatArray = npt.NDArray[np.float64]

# A path is right to `tolerance` of the jobs in the system, and V thus to that many jobs times a
# marginal rate. V is fitted down to this many times that, where the error is a tenth.
_FITTED = 10.0

# A line through fewer points than this is none.
_FEWEST = 3


class PhaseFit(NamedTuple):
    """A straight line through a phase, by least squares over time."""

    start: float  # s
    end: float  # s
    slope: float  # linear phase: jobs/s of the total; exponential: 1/s of log V
    r_squared: float  # share of the variance that the line explains


@final
@dataclass(frozen=True, eq=False)
class Approach(Record):
    """Convergence of one path to the optimum."""

    kind: ClassVar[str] = "approach"
    picture: ClassVar[str] = "plots.approach:approach_picture"
    times: FloatArray  # (T,) s
    gap: FloatArray  # (T,) |sum N - sum N*|, jobs
    lyapunov: FloatArray  # (T,) V, jobs/s
    bound: FloatArray  # (T,) jobs: Proposition 3's V / kappa, kappa as large as K allows at N
    delta: float  # the gap at the start, jobs
    entered: float  # s, when the path enters K to stay; inf if it does not
    linear: PhaseFit | None  # of the total before that; None where there are too few points
    exponential: PhaseFit | None  # of log V after that
    kappa: float  # of the proof, 1/s: V falls at least so fast in K
    kappa_largest: float  # and in the end at least so fast
    system: str = "system"  # its name

    def to_dict(self) -> dict[str, Any]:
        """A JSON document."""
        return {
            "kind": self.kind,
            "times": self.times.tolist(),
            "gap": self.gap.tolist(),
            "lyapunov": self.lyapunov.tolist(),
            "bound": self.bound.tolist(),
            "delta": self.delta,
            "entered": self.entered,
            "linear": None if self.linear is None else self.linear._asdict(),
            "exponential": None if self.exponential is None else self.exponential._asdict(),
            "kappa": self.kappa,
            "kappa_largest": self.kappa_largest,
        }

    def to_frame(self) -> "pd.DataFrame":
        """One row for each time."""
        columns = ("time", "gap", "lyapunov", "bound")
        values = zip(self.times, self.gap, self.lyapunov, self.bound, strict=True)
        rows = (dict(zip(columns, map(float, row), strict=True)) for row in values)
        return data_frame(rows, columns).set_index("time")


@checked()
def approach(path: FluidPath, constants: Convergence) -> Approach:
    """Compare a path with the constants of its system.

    Args:
        path: A path whose parameters do not change.
        constants: `convergence(system)` of the system whose path it is.

    Raises:
        UsageError: The path is of another system.
    """
    if path.backends != tuple(row.name for row in constants.backends):
        raise UsageError("the path has other backends than the constants; give those of one system")
    gap = constants.gap(path.workloads)
    outside = np.flatnonzero(~constants.contains(path.workloads))
    first = int(outside[-1]) + 1 if outside.size else 0
    inside = np.arange(path.times.size) >= first
    blur = path.tolerance * constants.total_jobs * constants.kappa_largest
    seen = path.lyapunov > _FITTED * blur
    with np.errstate(divide="ignore"):
        log = np.log(path.lyapunov)
    return Approach(
        times=path.times,
        gap=gap,
        lyapunov=path.lyapunov,
        bound=constants.bound(path.workloads, path.lyapunov),
        delta=float(gap[0]),
        entered=float(path.times[first]) if first < path.times.size else float("inf"),
        linear=_fit(path.times[:first], path.total_jobs[:first]),
        exponential=_fit(path.times[inside & seen], log[inside & seen]),
        kappa=constants.kappa,
        kappa_largest=constants.kappa_largest,
        system=path.system,
    )


@checked()
def time_to(path: FluidPath, epsilon: npt.ArrayLike) -> FloatArray:
    """(...) seconds after which |sum N - sum N*| stays within epsilon (...); inf if it does not.

    Not the first time that the gap is so small: the total may cross its optimum on the way, with
    the jobs in the wrong places.

    Args:
        path: A path of a system that has an equilibrium, its last one if parameters change.
        epsilon: Jobs, above 0.

    Raises:
        UsageError: An epsilon is not above 0, or the path has no equilibrium.
    """
    wanted = np.asarray(epsilon, dtype=np.float64)
    if not (wanted > 0.0).all():
        raise UsageError(f"epsilon is {wanted}; give jobs, above 0")
    if path.equilibrium is None:
        raise UsageError("the load of this path cannot be served; it has no equilibrium")
    gap = np.abs(path.total_jobs - path.equilibrium.sum())
    each = [_last_crossing(path.times, gap, float(e)) for e in wanted.ravel()]
    return np.array(each).reshape(wanted.shape)


def _last_crossing(times: FloatArray, gap: FloatArray, epsilon: float) -> float:
    above = np.flatnonzero(gap > epsilon)
    if not above.size:
        return float(times[0])
    last = int(above[-1])
    if last + 1 == times.size:
        return float("inf")
    # Between two points the gap falls exponentially.
    before, after = np.log(gap[last]), np.log(max(gap[last + 1], 1e-300))
    part = (before - np.log(epsilon)) / (before - after)
    return float(times[last] + part * (times[last + 1] - times[last]))


def _fit(times: FloatArray, values: FloatArray) -> PhaseFit | None:
    """Each point weighs the time around it: steps are short where little happens in a while."""
    if times.size < _FEWEST or not times[-1] > times[0]:
        return None
    weight = np.gradient(times)
    slope, offset = np.polyfit(times, values, 1, w=np.sqrt(weight))
    left = np.average((values - slope * times - offset) ** 2, weights=weight)
    spread = np.average((values - np.average(values, weights=weight)) ** 2, weights=weight)
    explained = 1.0 - float(left / spread) if spread > 0.0 else 1.0
    return PhaseFit(float(times[0]), float(times[-1]), float(slope), explained)
