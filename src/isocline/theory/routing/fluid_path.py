"""Trajectory of the fluid model, as a frozen record."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, final

import numpy as np
import numpy.typing as npt

from isocline.record import Record, data_frame
from isocline.theory.routing.plan_records import Overload, TierPlan

if TYPE_CHECKING:
    import pandas as pd

FloatArray = npt.NDArray[np.float64]


class TierChange(NamedTuple):
    """The tiers from one time on (GMSR paper, Definition 3)."""

    time: float  # s
    tiers: tuple[TierPlan, ...]  # in order of falling marginal rate


@final
@dataclass(frozen=True, eq=False)
class FluidPath(Record):
    """A solution of the differential inclusion (GMSR paper, Eq. (3)) at T times.

    A time at which parameters change stands twice: with the flows before, and with those after.
    """

    kind: ClassVar[str] = "routing"
    picture: ClassVar[str] = "plots.fluid:fluid_plot"
    backends: tuple[str, ...]
    edges: tuple[tuple[str, str], ...]  # frontend and backend of each of E edges
    times: FloatArray  # (T,) s
    workloads: FloatArray  # (T, B) jobs
    inflow: FloatArray  # (T, B) jobs/s
    flow: FloatArray  # (T, E) jobs/s on each edge, lambda_f x_fb; nan where it does not exist
    lyapunov: FloatArray  # (T,) V = sum_b |dN_b/dt|, jobs/s
    tiers: tuple[TierChange, ...]  # at the start, and whenever they change
    tolerance: float  # on sum_b |error of N_b|, relative to the jobs in the system
    error: float  # that sum as estimated, jobs: the errors of all steps together
    steps: int
    solves: int  # of level flows
    equilibrium: FloatArray | None = field(default=None)  # (B,) jobs, for the last parameters
    system: str = "system"  # its name, at the start
    overload: Overload | None = None  # of the last parameters, where they leave no equilibrium

    @property
    def total_jobs(self) -> FloatArray:
        """(T,) jobs in the system."""
        return np.asarray(self.workloads.sum(axis=1))

    @property
    def resting(self) -> Mapping[str, float]:
        """Jobs at which each backend comes to rest; without those whose workload grows for ever."""
        if self.equilibrium is not None:
            return dict(zip(self.backends, self.equilibrium.tolist(), strict=True))
        if self.overload is None:
            return {}
        last = {backend.name: backend.jobs for backend in self.overload.backends}
        # A backend that is gone by then serves what it has left.
        jobs = {name: last.get(name, 0.0) for name in self.backends}
        return {name: rest for name, rest in jobs.items() if rest is not None}

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of `isocline fluid --json`."""
        return {
            "kind": self.kind,
            "times": self.times.tolist(),
            "workloads": dict(zip(self.backends, self.workloads.T.tolist(), strict=True)),
            "lyapunov": self.lyapunov.tolist(),
            "total_jobs": self.total_jobs.tolist(),
            "inflow": dict(zip(self.backends, self.inflow.T.tolist(), strict=True)),
            "split": [
                {"frontend": f, "backend": b, "rates": rates}
                for (f, b), rates in zip(self.edges, self.flow.T.tolist(), strict=True)
            ],
            "tiers": [
                {
                    "time": change.time,
                    "tiers": [
                        {
                            "frontends": list(tier.frontends),
                            "backends": list(tier.backends),
                            "marginal_rate": tier.marginal_rate,
                        }
                        for tier in change.tiers
                    ],
                }
                for change in self.tiers
            ],
            "equilibrium": None
            if self.equilibrium is None
            else dict(zip(self.backends, self.equilibrium.tolist(), strict=True)),
            "overload": None if self.overload is None else self.overload.to_dict(),
            "tolerance": self.tolerance,
            "error": self.error,
            "steps": self.steps,
        }

    def rows(self) -> list[dict[str, float]]:
        """One flat row per time: workloads, total and V."""
        return [
            {"time": float(t), "total_jobs": float(total), "lyapunov": float(v)}
            | dict(zip(self.backends, jobs.tolist(), strict=True))
            for t, total, v, jobs in zip(
                self.times, self.total_jobs, self.lyapunov, self.workloads, strict=True
            )
        ]

    def to_frame(self) -> "pd.DataFrame":
        """One row per time.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        return data_frame(self.rows()).set_index("time")
