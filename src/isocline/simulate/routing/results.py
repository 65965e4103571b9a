"""Results of a simulation: frozen records with their JSON, data frame and plot."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, Protocol, TypeVar, final

import numpy as np
import numpy.typing as npt

from isocline.record import Record, brief, data_frame
from isocline.simulate.common.estimate import Estimate
from isocline.simulate.routing.delay import Delay

if TYPE_CHECKING:
    import pandas as pd

FloatArray = npt.NDArray[np.float64]


@final
@dataclass(frozen=True, eq=False)
class PolicyResult:
    """One policy on one system; latencies in seconds.

    An unstable policy has no steady state, so all its estimates are None and `overloaded` names
    the backends whose workload grew. Of a trace there are figures in any case: where it brings more
    than can be served, or than a policy's fixed shares allow, the status is `overloaded`, and they
    hold for a trace of this length only. Percentiles are None where they were not asked for.

    A run that ends, of a trace or with a change in it (of the fleet, of a backend's speed, of
    arrival rates), is followed until the last of its jobs has left. All the time that they spend in
    the system counts, in `mean_jobs` as in `mean_latency`, and is divided by the length of the
    trace or by the horizon: so mean_jobs = arrival_rate * mean_latency.

    Where jobs have patience or backends fail, `mean_latency` and percentiles are of the jobs that
    were completed, and `mean_jobs` is of all. Shares are of the jobs that left.
    """

    __repr__ = brief

    policy: str
    status: Literal["stable", "overloaded", "unstable"]
    mean_jobs: Estimate | None
    mean_latency: Estimate | None
    p50: Estimate | None
    p95: Estimate | None
    p99: Estimate | None
    ratio_to_bound: Estimate | None  # mean jobs over the lower bound
    difference: (
        Estimate | None
    )  # mean latency minus the first policy's, paired; None if it has none
    completed: int  # jobs, in the measured part of all replications
    littles_law: float  # |L - lambda W| / L with L, lambda and W all measured; nan without W
    overloaded: tuple[str, ...]
    backend_jobs: FloatArray  # (B,) mean jobs at each backend over the measured part
    total_over_time: FloatArray  # (blocks,) mean total jobs in each block; (0,) if never run
    workloads_over_time: FloatArray  # (blocks, B) jobs at block ends, replication 0; or (0, B)
    events: int
    events_per_second: float
    arrival_rate: float = float("nan")  # jobs/s in the measured part
    finished: float | None = None  # s, when the last job left; None if jobs come for ever
    abandoned: Estimate | None = None  # share of the jobs that gave up; None without patience
    late: Estimate | None = None  # share completed after the deadline; None without one
    goodput: Estimate | None = None  # jobs/s completed, and by the deadline; None where all are
    lost: int | None = None  # jobs, in all replications, with failed backends; None without any
    resent: int | None = None  # times that a job was sent again when its backend failed

    def to_dict(self) -> dict[str, Any]:
        """One entry of `policies` in the JSON of `isocline simulate`."""
        row: dict[str, Any] = {"policy": self.policy, "status": self.status}
        row |= estimates(self, "mean_jobs", "mean_latency", "p50", "p95", "p99", "ratio_to_bound")
        if self.difference is not None:
            row |= estimates(self, "difference")
        row |= estimates(self, "abandoned", "late", "goodput")
        return row | {
            "lost": self.lost,
            "resent": self.resent,
            "completed": self.completed,
            "littles_law": None if np.isnan(self.littles_law) else self.littles_law,
            "arrival_rate": None if np.isnan(self.arrival_rate) else self.arrival_rate,
            "finished": self.finished,
            "overloaded": list(self.overloaded),
            "events": self.events,
            "events_per_second": self.events_per_second,
        }


@final
@dataclass(frozen=True, eq=False)
class Comparison(Record):
    """Several policies on one system at one load, with the same arrivals and the bound."""

    picture: ClassVar[str] = "plots.policies:policies_plot"
    system: str
    source: str  # what the arrivals were, in words: "Poisson", "trace azure_llm_code.csv", ...
    backends: tuple[str, ...]
    load: float  # offered work over what can be served: 1 / capacity_scale
    lower_bound: float  # mean jobs: no policy has fewer; see `routing.lower_bound`
    lower_bound_latency: float  # s
    policies: tuple[PolicyResult, ...]
    times: FloatArray  # (blocks,) s, the end of each block
    horizon: float  # s, of each replication, warm-up included
    warmup: float  # s, discarded at the start of each replication
    warmup_rule: str  # "given" or "MSER-5"
    replications: int
    seed: int
    interrupted: bool = False
    scale: float = 1.0  # all numbers of jobs are in units of this many
    slot: float | None = None  # s, of one slot of the simulated system; None: the continuous clock
    departures: str | None = None  # the law of the departures in a slot
    delay: Delay | None = None  # of jobs, whose travel is in the bound, too, and of news
    finished_by: float | None = None  # s: the bound is for policies whose last job has left by then
    patience: str | None = None  # its distribution in words; None: jobs stay until served
    deadline: float | None = None  # s: a latency above it counts as late
    # s, beginnings and ends, inf for that of the run: where a change of the fleet, a failure or a
    # slowdown leaves less capacity than arrivals need
    beyond_capacity: tuple[tuple[float, float], ...] = ()
    percentiles: bool = True  # whether they were asked for

    @property
    def status(self) -> str:
        """`feasible`, or `overloaded` if what comes first is more than can be served and stays.

        Only a run that ends may be: of a trace, or of a fleet that changes.
        """
        return "overloaded" if self.load >= 1.0 and self.patience is None else "feasible"

    @property
    def clock(self) -> str:
        """`slotted` or `continuous`."""
        return "continuous" if self.slot is None else "slotted"

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of `isocline simulate`."""
        return {
            "kind": "routing",
            "status": self.status,
            "system": self.system,
            "arrivals": self.source,
            "load": self.load,
            "lower_bound": self.lower_bound,
            "lower_bound_latency": self.lower_bound_latency,
            "bound_finished_by": self.finished_by,
            "horizon": self.horizon,
            "warmup": self.warmup,
            "warmup_rule": self.warmup_rule,
            "replications": self.replications,
            "seed": self.seed,
            "clock": self.clock,
            "slot": self.slot,
            "departures": self.departures,
            "scale": self.scale,
            "delay": None if self.delay is None else asdict(self.delay),
            "patience": self.patience,
            "deadline": self.deadline,
            "beyond_capacity": [list(span) for span in self.beyond_capacity],
            "interrupted": self.interrupted,
            "policies": [policy.to_dict() for policy in self.policies],
        }

    @property
    def results(self) -> tuple[PolicyResult, ...]:
        """Results by policy."""
        return self.policies

    def to_frame(self) -> "pd.DataFrame":
        """One row per policy; needs `pip install 'isocline[frame]'`."""
        return data_frame(self.rows())

    def rows(self) -> list[dict[str, Any]]:
        """One flat row per policy, as a CSV can hold it."""
        common = {
            "system": self.system,
            "load": self.load,
            "lower_bound": self.lower_bound,
            "lower_bound_latency": self.lower_bound_latency,
        }
        return [common | flat_row(policy.to_dict()) for policy in self.policies]


class Compared(Protocol):
    """Comparison at one load, as a sweep keeps it."""

    def to_dict(self) -> dict[str, Any]: ...
    def rows(self) -> list[dict[str, Any]]: ...
    @property
    def results(self) -> tuple[Any, ...]: ...


C = TypeVar("C", bound=Compared)


@dataclass(frozen=True, eq=False)
class LoadSweep(Record, Generic[C]):
    """Comparisons at several loads, lowest first."""

    kind: ClassVar[str]  # of the system
    comparisons: tuple[C, ...]

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of `isocline simulate --load a,b,...`."""
        return {"kind": self.kind, "loads": [one.to_dict() for one in self.comparisons]}

    @property
    def results(self) -> tuple[Any, ...]:
        """Results by policy at each load."""
        return tuple(policy for one in self.comparisons for policy in one.results)

    def rows(self) -> list[dict[str, Any]]:
        """One flat row per load and policy, as a CSV can hold it."""
        return [row for one in self.comparisons for row in one.rows()]

    def to_frame(self) -> "pd.DataFrame":
        """One row per load and policy; needs `pip install 'isocline[frame]'`."""
        return data_frame(self.rows())


@final
class Sweep(LoadSweep[Comparison]):
    """Routing policies at several loads, lowest first."""

    kind: ClassVar[str] = "routing"
    picture: ClassVar[str] = "plots.latency:latency_plot"


def estimates(record: object, *names: str) -> dict[str, Any]:
    """Each of these estimates as its value and its interval."""
    row: dict[str, Any] = {}
    for name in names:
        found: Estimate | None = getattr(record, name)
        row[name] = None if found is None else found.value
        row[f"{name}_ci95"] = None if found is None else [found.low, found.high]
    return row


def flat_row(row: dict[str, Any]) -> dict[str, Any]:
    """A JSON row as a CSV can hold it: intervals as two columns each, lists as text."""
    flat: dict[str, Any] = {}
    for key, value in row.items():
        if key.endswith("_ci95"):
            flat[f"{key}_low"], flat[f"{key}_high"] = value or (None, None)
        else:
            flat[key] = " ".join(value) if isinstance(value, list) else value
    return flat
