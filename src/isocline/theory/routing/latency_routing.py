"""Equilibrium of routing by expected latency, and its loss against the optimum.

GMSR paper, Appendix A. Frontends that each send to the backend of the least expected latency
N/l(N) come to rest where every backend a frontend uses has one latency, and none it may use has
less (Wardrop's equilibrium): a level flow with price N/l(N) in place of 1/l'(N). As l is concave,
N/l(N) < 1/l'(N): a job sees its own latency and not what it costs the others. The ratio of the jobs
in the system there to the optimum of Eq. (1) is the price of anarchy; it has no upper bound over
all systems (Altman, Ayesta, Prabhu, Telecommunication Systems 47, 2011).
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, final

import numpy as np
import numpy.typing as npt

from isocline.arguments import checked
from isocline.compilation.interpretable import interpreted_if_small
from isocline.flow import Certificate, FlowStatus, LevelFlowProblem, Prices, solve
from isocline.model.fleet import RoutingSystem
from isocline.record import Record, data_frame
from isocline.theory.routing.equilibrium import (
    fluid_optimum,
    infeasible_load,
    require_strictly_concave,
)

if TYPE_CHECKING:
    import pandas as pd

FloatArray = npt.NDArray[np.float64]

_COLUMNS = ("name", "jobs", "rate", "latency")


@final
@dataclass(frozen=True, eq=False)
class LatencyEquilibrium(Record):
    """The equilibrium of routing by expected latency."""

    kind: ClassVar[str] = "latency_routing"
    picture: ClassVar[str] = "plots.latency_routing:latency_routing_picture"
    total_jobs: float
    mean_latency: float  # seconds
    workloads: FloatArray  # (B,) jobs
    inflow: FloatArray  # (B,) jobs/s
    latency: FloatArray  # (B,) N/l(N), seconds; of an empty backend that of a first job, 1/l'(0)
    split: FloatArray  # (E,) jobs/s on each edge of the system's graph
    certificate: Certificate  # of the level flow with price N/l(N)
    system: RoutingSystem = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Convert to its part of `isocline plan --compare --json`, without the price of anarchy."""
        return {
            "total_jobs": self.total_jobs,
            "mean_latency": self.mean_latency,
            "backends": self.rows(),
            "certificate": {
                "conservation": self.certificate.conservation,
                "slope_gap": self.certificate.slope_gap,
            },
        }

    def to_frame(self) -> "pd.DataFrame":
        """One row for each backend."""
        return data_frame(self.rows(), _COLUMNS).set_index("name")

    def rows(self) -> list[dict[str, Any]]:
        """One row for each backend, as a CSV can hold it."""
        columns = (self.workloads.tolist(), self.inflow.tolist(), self.latency.tolist())
        names = [backend.name for backend in self.system.backends]
        return [dict(zip(_COLUMNS, row, strict=True)) for row in zip(names, *columns, strict=True)]


@checked()
def latency_equilibrium(
    system: RoutingSystem, rates: FloatArray | None = None
) -> LatencyEquilibrium:
    """Equilibrium of routing by expected latency; the workloads are unique.

    Args:
        system: The system; its curves must be strictly concave, so that latency grows with load.
        rates: (F,) arrival rates to use in place of the system's own, jobs/s.

    Raises:
        UsageError: A backend has a `servers` curve, or a rate is not a finite number above 0.
        InfeasibleError: The load exceeds what the backends can serve; names the sets.
    """
    require_strictly_concave(system)
    supply = system.rates if rates is None else np.asarray(rates, dtype=np.float64)
    problem = LevelFlowProblem(system.graph, supply, Prices.of_latencies(system.curves))
    solved = interpreted_if_small(system.graph.edges, lambda: solve(problem))
    if solved.status is FlowStatus.INFEASIBLE or solved.certificate is None:
        raise infeasible_load(system, problem.supply, solved)
    jobs = solved.inflow * solved.price  # Little's law
    total = float(jobs.sum())
    return LatencyEquilibrium(
        total_jobs=total,
        mean_latency=total / float(problem.supply.sum()),
        workloads=jobs,
        inflow=solved.inflow,
        latency=solved.price,
        split=solved.flow,
        certificate=solved.certificate,
        system=system,
    )


@checked()
def price_of_anarchy(system: RoutingSystem, rates: FloatArray | None = None) -> float:
    """Jobs in the system under routing by expected latency over the least possible, 1 or more.

    By Little's law it is the ratio of the mean latencies, too. Arguments and errors are those of
    `latency_equilibrium`.
    """
    return latency_equilibrium(system, rates).total_jobs / fluid_optimum(system, rates).total_jobs
