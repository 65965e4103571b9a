"""Results of a simulation of a cluster: frozen records, parallel to those of routing."""

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from isocline.simulate.common.estimate import Estimate
from isocline.simulate.common.results import (
    FloatArray,
    LoadSweep,
    PolicyComparison,
    PolicyFigures,
    estimates,
    flat_row,
)
from isocline.simulate.common.run_settings import Clock
from isocline.simulate.scheduling.run_settings import Level

LEVELS = ("local", "rack", "remote")


@final
@dataclass(frozen=True)
class JobLatency:
    """Jobs of a block trace, each from its arrival to the end of its last task; seconds."""

    mean: Estimate
    p50: Estimate | None
    p95: Estimate | None
    p99: Estimate | None
    completed: int  # in all replications

    def to_dict(self) -> dict[str, Any]:
        """The entry `job_latency` of a policy."""
        return estimates(self, ("mean", "p50", "p95", "p99")) | {"completed": self.completed}


@final
@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class SchedulingResult(PolicyFigures):
    """One policy on one cluster; times in seconds, or in slots on the slotted clock.

    The latency of a task is its completion time: from its arrival to its end, whether it waits or
    is served. Servers are idle or busy until `finished`.
    """

    mean_tasks: Estimate | None  # in the system, in service included
    ratio: Estimate | None  # mean latency over the first policy's, paired
    local_share: Estimate | None  # of the tasks served
    rack_share: Estimate | None
    remote_share: Estimate | None
    idle_share: Estimate | None  # of the servers' time
    perpendicular: Estimate | None  # mean of |Q_perp| over beneficiaries, or all, tasks
    perpendicular_square: Estimate | None  # mean of |Q_perp|^2
    beneficiary_tasks: Estimate | None  # mean tasks in the queues of beneficiaries; None without
    helper_tasks: Estimate | None  # mean tasks in the queues of helpers
    reading: str  # what the policy does where the paper can be read in two ways
    jobs: JobLatency | None  # of a block trace
    idle_by_server: FloatArray  # (M,) share of its time; (0,) if unstable

    def to_dict(self) -> dict[str, Any]:
        row = {"policy": self.policy, "status": self.status, "reading": self.reading}
        row |= estimates(self, ("mean_tasks", "mean_latency", "p50", "p95", "p99"))
        row |= estimates(self, ("ratio_to_bound", "difference", "ratio"))
        row |= estimates(self, [f"{level}_share" for level in LEVELS])
        row |= estimates(self, ("idle_share", "perpendicular", "perpendicular_square"))
        row |= estimates(self, ("beneficiary_tasks", "helper_tasks"))
        return row | {
            "idle_least": _or_none(self.idle_by_server, np.min),
            "idle_most": _or_none(self.idle_by_server, np.max),
            "job_latency": None if self.jobs is None else self.jobs.to_dict(),
            **self._counts(),
            # The two kinds of system have one interface, in which a task is a job.
            "mean_jobs": row["mean_tasks"],
            "mean_jobs_ci95": row["mean_tasks_ci95"],
        }

    def flat(self) -> dict[str, Any]:
        """With the latencies of jobs as columns of their own; mean_jobs is there as mean_tasks."""
        row = self.to_dict()
        jobs = row.pop("job_latency") or {}
        kept = {key: value for key, value in row.items() if not key.startswith("mean_jobs")}
        return flat_row(kept | {f"job_latency_{key}": value for key, value in jobs.items()})


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class ClusterComparison(PolicyComparison[SchedulingResult]):
    """Several scheduling policies on one cluster."""

    kind: ClassVar[str] = "near-data"
    picture: ClassVar[str] = "plots.cluster:cluster_plot"
    words: ClassVar[str] = "tables.cluster:cluster_report"
    servers: tuple[str, ...]
    rate: float  # tasks/s, or per slot
    bound_in_words: str
    clock: Clock
    level: Level  # what makes a task local: where its data is, or where it waited
    trace: bool  # whether jobs of a block trace were replayed

    @property
    def status(self) -> str:
        """`feasible`, `infeasible`, or `overloaded` if a trace brings more than can be served."""
        if self.load < 1.0:
            return "feasible"
        return "overloaded" if self.trace else "infeasible"

    @property
    def unit(self) -> str:
        """Unit of all times."""
        return "s" if self.clock == "continuous" else "slots"

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of `isocline simulate`."""
        return {
            "kind": self.kind,
            "status": self.status,
            "system": self.system,
            "arrivals": self.source,
            "servers": len(self.servers),
            "load": self.load,
            "rate": self.rate,
            "lower_bound": self.lower_bound,
            "lower_bound_latency": self.lower_bound_latency,
            "bound": self.bound_in_words,
            "clock": self.clock,
            "level": self.level,
            "unit": self.unit,
            "horizon": self.horizon,
            "warmup": self.warmup,
            "warmup_rule": self.warmup_rule,
            "replications": self.replications,
            "seed": self.seed,
            "interrupted": self.interrupted,
            "policies": [policy.to_dict() for policy in self.policies],
        }

    def _conditions(self) -> dict[str, Any]:
        known = super()._conditions()
        return {"system": self.system, "load": self.load, "clock": self.clock} | known


@final
class ClusterSweep(LoadSweep[ClusterComparison]):
    """Scheduling policies at several loads, lowest first."""

    kind: ClassVar[str] = "near-data"
    picture: ClassVar[str] = "plots.cluster:load_plot"
    words: ClassVar[str] = "tables.cluster:cluster_sweep_report"


def _or_none(values: FloatArray, of: Any) -> float | None:
    return float(of(values)) if values.size else None
