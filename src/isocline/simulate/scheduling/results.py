"""Results of a simulation of a cluster: frozen records, parallel to those of routing."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

import numpy as np
import numpy.typing as npt

from isocline.record import Record, brief, data_frame
from isocline.simulate.common.estimate import Estimate
from isocline.simulate.common.slotted_clock import Clock
from isocline.simulate.routing.results import LoadSweep, estimates, flat_row
from isocline.simulate.scheduling.run_settings import Level

if TYPE_CHECKING:
    import pandas as pd

FloatArray = npt.NDArray[np.float64]
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
        return estimates(self, "mean", "p50", "p95", "p99") | {"completed": self.completed}


@final
@dataclass(frozen=True, eq=False)
class SchedulingResult:
    """One policy on one cluster; times in seconds, or in slots on the slotted clock.

    The latency of a task is its completion time: from its arrival to its end, whether it waits or
    is served. An unstable policy has no steady state, so all its estimates are None and
    `overloaded` names the servers whose queues grew. Of a trace there are figures in any case: of
    one that brings more than can be served the status is `overloaded`, and they hold for a trace of
    this length only.

    A trace is followed until its last task has ended. All the time that tasks spend in the system
    counts, in `mean_tasks` as in `mean_latency`, and is divided by the length of the trace: so
    mean_tasks = arrival_rate * mean_latency. Servers are idle or busy until `finished`.
    """

    __repr__ = brief

    policy: str
    status: Literal["stable", "overloaded", "unstable"]
    mean_tasks: Estimate | None  # in the system, in service included
    mean_latency: Estimate | None
    p50: Estimate | None
    p95: Estimate | None
    p99: Estimate | None
    ratio_to_bound: Estimate | None  # mean latency over the lower bound
    difference: Estimate | None  # mean latency minus the first policy's, paired
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
    completed: int  # tasks, in the measured part of all replications
    littles_law: float  # |L - lambda W| / L with L, lambda and W all measured; nan without W
    overloaded: tuple[str, ...]
    idle_by_server: FloatArray  # (M,) share of its time; (0,) if unstable
    total_over_time: FloatArray  # (blocks,) mean tasks in each block; (0,) if never run
    events: int
    events_per_second: float
    arrival_rate: float = float("nan")  # in the measured part
    finished: float | None = None  # when the last task ended; None if tasks come for ever

    def to_dict(self) -> dict[str, Any]:
        """One entry of `policies` in the JSON of `isocline simulate`."""
        row = {"policy": self.policy, "status": self.status, "reading": self.reading}
        row |= estimates(self, "mean_tasks", "mean_latency", "p50", "p95", "p99")
        row |= estimates(self, "ratio_to_bound", "difference", "ratio")
        row |= estimates(self, *(f"{level}_share" for level in LEVELS))
        row |= estimates(self, "idle_share", "perpendicular", "perpendicular_square")
        row |= estimates(self, "beneficiary_tasks", "helper_tasks")
        return row | {
            "idle_least": _or_none(self.idle_by_server, np.min),
            "idle_most": _or_none(self.idle_by_server, np.max),
            "job_latency": None if self.jobs is None else self.jobs.to_dict(),
            "completed": self.completed,
            "littles_law": None if np.isnan(self.littles_law) else self.littles_law,
            "arrival_rate": None if np.isnan(self.arrival_rate) else self.arrival_rate,
            "finished": self.finished,
            "overloaded": list(self.overloaded),
            "events": self.events,
            "events_per_second": self.events_per_second,
            # The two kinds of system have one interface, in which a task is a job.
            "mean_jobs": row["mean_tasks"],
            "mean_jobs_ci95": row["mean_tasks_ci95"],
        }


@final
@dataclass(frozen=True, eq=False)
class ClusterComparison(Record):
    """Several policies on one cluster at one load, with the same arrivals."""

    picture: ClassVar[str] = "plots.cluster:cluster_plot"
    system: str
    source: str  # what came and how long it takes, in words
    servers: tuple[str, ...]
    load: float  # arrivals over the most that can be served: 1 / capacity_scale
    rate: float  # tasks/s, or per slot
    lower_bound: float  # mean tasks: no policy has fewer
    lower_bound_latency: float
    bound_in_words: str
    policies: tuple[SchedulingResult, ...]
    times: FloatArray  # (blocks,) the end of each block
    clock: Clock
    level: Level  # what makes a task local: where its data is, or where it waited
    trace: bool  # whether jobs of a block trace were replayed
    horizon: float  # of each replication, warm-up included
    warmup: float  # discarded at the start of each replication
    warmup_rule: str  # "given" or "MSER-5"
    replications: int
    seed: int
    interrupted: bool = False
    percentiles: bool = True  # whether they were asked for

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

    @property
    def results(self) -> tuple[SchedulingResult, ...]:
        """Results by policy."""
        return self.policies

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of `isocline simulate`."""
        return {
            "kind": "near-data",
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

    def to_frame(self) -> "pd.DataFrame":
        """One row per policy; needs `pip install 'isocline[frame]'`."""
        return data_frame(self.rows())

    def rows(self) -> list[dict[str, Any]]:
        """One flat row per policy, as a CSV can hold it."""
        common = {
            "system": self.system,
            "load": self.load,
            "clock": self.clock,
            "lower_bound": self.lower_bound,
            "lower_bound_latency": self.lower_bound_latency,
        }
        return [common | _flat(policy.to_dict()) for policy in self.policies]


@final
class ClusterSweep(LoadSweep[ClusterComparison]):
    """Scheduling policies at several loads, lowest first."""

    kind: ClassVar[str] = "near-data"
    picture: ClassVar[str] = "plots.cluster:load_plot"


def _or_none(values: FloatArray, of: Any) -> float | None:
    return float(of(values)) if values.size else None


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """With the latencies of jobs as columns of their own; mean_jobs is there as mean_tasks."""
    jobs = row.pop("job_latency") or {}
    kept = {key: value for key, value in row.items() if not key.startswith("mean_jobs")}
    return flat_row(kept | {f"job_latency_{key}": value for key, value in jobs.items()})
