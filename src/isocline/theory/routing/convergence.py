"""Convergence of GMSR's fluid: the constants of Section 6.3 of the GMSR paper.

Lemma 13 asks for kappa and Delta > 0 such that for every nonempty set P of frontends

    sum over P of lambda + Delta <= sum over P's backends of l_b(N~_b),   l'_b(N~_b) = kappa.

The proof takes half the lowest marginal rate at the optimum N*. **Every kappa below that marginal
rate works, and none above it does**, so the largest is known without a search: let m be the lowest
l'_b(N*_b). For kappa < m every N~_b exceeds N*_b, and every P has some slack. For kappa > m some
l'_b(0) <= m, and N~_b does not exist; or the tiers at m have frontends P, whose backends all have
l'_b(N*_b) <= m, so that N~_b < N*_b (or 0) there and P's backends serve less than P brings.

K = {N: l'_b(N_b) >= kappa for all b} then is invariant (Proposition 1, also at kappa = m), in it V
falls at least like e^(-kappa t) (Proposition 2) and |sum N - sum N*| <= V / kappa (Proposition 3);
so m is the rate at which the fluid comes to rest in the end.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, final

import numpy as np
import numpy.typing as npt

from isocline.arguments import checked
from isocline.errors import UsageError
from isocline.model.fleet import RoutingSystem
from isocline.plural import counted
from isocline.record import Record, data_frame
from isocline.theory.routing.capacity_slack import capacity_slack
from isocline.theory.routing.equilibrium import fluid_optimum, require_strictly_concave

if TYPE_CHECKING:
    import pandas as pd

FloatArray = npt.NDArray[np.float64]
MaskArray = npt.NDArray[np.bool_]

# Delta takes a maximum flow for each frontend: 0.6 s for 2000 of degree 10, as their square grows.
_MOST_FRONTENDS = 5000


class BackendLimit(NamedTuple):
    """One backend at the optimum, and where it leaves K."""

    name: str
    jobs: float  # N*
    marginal_rate: float  # l'(N*), jobs/s per job
    limit: float  # N~, jobs: l'(N~) = kappa


@final
@dataclass(frozen=True)
class Convergence(Record):
    """Constants of convergence of a routing system under GMSR (GMSR paper, Section 6.3)."""

    kind: ClassVar[str] = "convergence"
    picture: ClassVar[str] = "plots.convergence:convergence_picture"
    total_jobs: float  # sum N*
    kappa: float  # of Lemma 13's proof, jobs/s per job: half the largest
    delta: float  # of Lemma 13's proof, jobs/s: min_b l_b(N~_b) - l_b(N*_b)
    slack: float | None  # the largest Delta for this kappa, jobs/s; None beyond 5000 frontends
    kappa_largest: float  # the rate, 1/s, at which V falls in the end
    eta: float  # of Proposition 4, jobs/s: outside K some workload falls at least as fast
    backends: tuple[BackendLimit, ...]
    system: RoutingSystem = field(repr=False, compare=False)

    def marginal_rates(self, workloads: npt.ArrayLike) -> FloatArray:
        """(..., B) l'_b(N_b) of workloads (..., B).

        Raises:
            UsageError: The last dimension is not the number of backends.
        """
        at = np.asarray(workloads, dtype=np.float64)
        if at.shape[-1:] != (len(self.backends),):
            raise UsageError(
                f"workloads has shape {at.shape}; its last dimension must be the "
                f"{counted(len(self.backends), 'backend')}"
            )
        each = [curve.marginal(at[..., b]) for b, curve in enumerate(self.system.curves)]
        return np.asarray(np.stack(each, axis=-1))

    def contains(self, workloads: npt.ArrayLike, kappa: float | None = None) -> MaskArray:
        """(...) whether workloads (..., B) lie in K (Proposition 1), for the proof's kappa."""
        least = self.marginal_rates(workloads).min(axis=-1)
        return np.asarray(least >= (self.kappa if kappa is None else kappa))

    def kappa_at(self, workloads: npt.ArrayLike) -> FloatArray:
        """(...) the largest kappa whose K holds workloads (..., B), 1/s."""
        least = self.marginal_rates(workloads).min(axis=-1)
        return np.asarray(np.minimum(least, self.kappa_largest))

    def bound(self, workloads: npt.ArrayLike, lyapunov: npt.ArrayLike) -> FloatArray:
        """(...) jobs: Proposition 3's bound V / kappa on |sum N - sum N*|.

        The bound holds for every kappa whose K holds N, so the largest of them is taken, at each N
        anew: it holds outside the proof's K, too, and is sharper inside.

        Args:
            workloads: (..., B) jobs.
            lyapunov: (...) V at these workloads, jobs/s.
        """
        with np.errstate(divide="ignore"):
            return np.asarray(lyapunov, dtype=np.float64) / self.kappa_at(workloads)

    def slack_at(self, kappa: float) -> float:
        """The largest Delta, jobs/s, for another kappa; not above 0 where that kappa is too large.

        Raises:
            UsageError: kappa is not a finite number above 0.
        """
        if not 0.0 < kappa < np.inf:
            raise UsageError(f"kappa is {kappa}; give a finite number above 0")
        served = _served_at(self.system, kappa)[1]
        return capacity_slack(self.system.graph, self.system.rates, served).slack

    def gap(self, workloads: npt.ArrayLike) -> FloatArray:
        """(...) jobs: |sum N - sum N*| of workloads (..., B)."""
        total = np.asarray(workloads, dtype=np.float64).sum(axis=-1)
        return np.asarray(np.abs(total - self.total_jobs))

    def to_dict(self) -> dict[str, Any]:
        """A JSON document."""
        return {
            "kind": self.kind,
            "total_jobs": self.total_jobs,
            "kappa": self.kappa,
            "delta": self.delta,
            "slack": self.slack,
            "kappa_largest": self.kappa_largest,
            "eta": self.eta,
            "backends": [row._asdict() for row in self.backends],
        }

    def to_frame(self) -> "pd.DataFrame":
        """One row for each backend."""
        rows = [row._asdict() for row in self.backends]
        return data_frame(rows, BackendLimit._fields).set_index("name")


@checked()
def convergence(system: RoutingSystem) -> Convergence:
    """The constants of convergence of a system under GMSR.

    Args:
        system: The system; its curves must be strictly concave (Assumption 1).

    Raises:
        UsageError: A backend has a `servers` curve.
        InfeasibleError: The load exceeds what the backends can serve (Assumption 2).
    """
    require_strictly_concave(system)
    optimum = fluid_optimum(system)
    pairs = list(zip(system.curves, optimum.workloads, strict=True))
    marginal = np.array([float(curve.marginal(jobs)) for curve, jobs in pairs])
    largest = float(marginal.min())
    kappa = 0.5 * largest
    limit, served = _served_at(system, kappa)
    delta = float(np.min(served - [float(curve.rate(jobs)) for curve, jobs in pairs]))
    moderate = len(system.frontends) <= _MOST_FRONTENDS
    slack = capacity_slack(system.graph, system.rates, served).slack if moderate else None
    names = (backend.name for backend in system.backends)
    return Convergence(
        total_jobs=optimum.total_jobs,
        kappa=kappa,
        delta=delta,
        slack=slack,
        kappa_largest=largest,
        eta=_eta(served, delta if slack is None else slack),
        backends=tuple(
            map(
                BackendLimit,
                names,
                optimum.workloads.tolist(),
                marginal.tolist(),
                limit.tolist(),
            )
        ),
        system=system,
    )


def _served_at(system: RoutingSystem, kappa: float) -> tuple[FloatArray, FloatArray]:
    """(B,) N~_b with l'_b(N~_b) = kappa, and (B,) l_b(N~_b)."""
    limit = np.array([float(curve.workload_at(kappa)) for curve in system.curves])
    served = [float(curve.rate(jobs)) for curve, jobs in zip(system.curves, limit, strict=True)]
    return limit, np.array(served)


def _eta(served: FloatArray, delta: float) -> float:
    """Proposition 4: a backend outside K without inflow falls at l_b(N~_b) or more.

    (The proof goes on to kappa N~_b, which is less.) Else the tier of the lowest marginal rate has
    Delta less inflow than it serves, of which one of its backends has its share or more.
    """
    return float(min(served.min(), delta / served.size))
