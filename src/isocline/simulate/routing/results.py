"""Results of a routing simulation: frozen records with their JSON, data frame and plot."""

from dataclasses import asdict, dataclass
from math import isnan
from typing import Any, ClassVar, final

from isocline.errors import InfeasibleError
from isocline.simulate.common.estimate import Estimate
from isocline.simulate.common.results import (
    FloatArray,
    LoadSweep,
    PolicyComparison,
    PolicyFigures,
    estimates,
)
from isocline.simulate.routing.cache_knowledge import CacheKnowledge
from isocline.simulate.routing.delay import Delay
from isocline.simulate.routing.mean_field_check import MeanFieldCheck


@final
@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class PolicyResult(PolicyFigures):
    """One routing policy on one system; latencies in seconds.

    Where jobs have patience or backends fail, `mean_latency` and percentiles are of the jobs that
    were completed, and `mean_jobs` is of all. Shares are of the jobs that left.
    """

    mean_jobs: Estimate | None
    backend_jobs: FloatArray  # (B,) mean jobs at each backend over the measured part
    workloads_over_time: FloatArray  # (blocks, B) jobs at block ends, replication 0; or (0, B)
    abandoned: Estimate | None = None  # share of the jobs that gave up; None without patience
    late: Estimate | None = None  # share completed after the deadline; None without one
    goodput: Estimate | None = None  # jobs/s completed, and by the deadline; None where all are
    lost: int | None = None  # jobs, in all replications, with failed backends; None without any
    resent: int | None = None  # times that a job was sent again when its backend failed
    relative_work: Estimate | None = None  # work over that without caches; None without any
    hit_rate: Estimate | None = None  # share of the prompt tokens that were cached; likewise
    # Of the jobs that ask for a model: share whose model was not resident, loads, and models that
    # made way, per job; None where backends load no models.
    cold: Estimate | None = None
    loads: Estimate | None = None
    evictions: Estimate | None = None
    mean_field: MeanFieldCheck | None = None  # the mean without simulation, where theory has it

    def to_dict(self) -> dict[str, Any]:
        row: dict[str, Any] = {"policy": self.policy, "status": self.status}
        means = "mean_jobs", "mean_latency", "p50", "p95", "p99", "ratio_to_bound"
        row |= estimates(self, means if self.difference is None else (*means, "difference"))
        row |= estimates(self, ("abandoned", "late", "goodput", "relative_work", "hit_rate"))
        row |= estimates(self, ("cold", "loads", "evictions"))
        check = None if self.mean_field is None else asdict(self.mean_field)
        rest = {"lost": self.lost, "resent": self.resent, "mean_field": check}
        return row | rest | self._counts()


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Comparison(PolicyComparison[PolicyResult]):
    """Several routing policies on one system; the bound is that of `routing.lower_bound`."""

    kind: ClassVar[str] = "routing"
    picture: ClassVar[str] = "plots.policies:policies_plot"
    words: ClassVar[str] = "tables.comparison:comparison_report"
    backends: tuple[str, ...]
    scale: float = 1.0  # all numbers of jobs are in units of this many
    slot: float | None = None  # s, of one slot of the simulated system; None: the continuous clock
    departures: str | None = None  # the law of the departures in a slot
    delay: Delay | None = None  # of jobs, whose travel is in the bound, too, and of news
    # What the bound knows: "mean rate", or of given arrivals "hindsight", or "hindsight of mean
    # sizes" where jobs are not memoryless, so that it is one of the fluid; None without a bound.
    lower_bound_kind: str | None = None
    lower_bound_reached: float | None = None  # s, by a routing of the fluid that knows the future
    finished_by: float | None = None  # s: the bound is for policies whose last job has left by then
    patience: str | None = None  # its distribution in words; None: jobs stay until served
    deadline: float | None = None  # s: a latency above it counts as late
    # s, beginnings and ends, inf for that of the run: where a change of the fleet, a failure or a
    # slowdown leaves less capacity than arrivals need
    beyond_capacity: tuple[tuple[float, float], ...] = ()
    # What frontends know of prefix caches, whose blocks are of so many tokens; None without any.
    # The load is then that without caches.
    caches: CacheKnowledge | None = None
    block_size: int | None = None
    eviction: str | None = None  # how models make way; None where backends load none

    @property
    def status(self) -> str:
        """`feasible`, or `overloaded` if what comes first is more than can be served and stays.

        Only a run that ends may be: of a trace, or of a fleet that changes. With prefix caches it
        depends on the policy how much work comes.
        """
        if self.load < 1.0 or self.patience is not None:
            return "feasible"
        by_policy = self.caches is not None and any(p.status == "stable" for p in self.policies)
        return "feasible" if by_policy else "overloaded"

    @property
    def least_load(self) -> float:
        """Load of the policy with the least work; that of all where there are no caches."""
        works = [p.relative_work.value for p in self.policies if p.relative_work is not None]
        return self.load * min(works, default=1.0)

    @property
    def clock(self) -> str:
        """`slotted` or `continuous`."""
        return "continuous" if self.slot is None else "slotted"

    @property
    def bound_name(self) -> str:
        """What tables and pictures call the bound."""
        hindsight = (self.lower_bound_kind or "").startswith("hindsight")
        return "hindsight bound" if hindsight else "bound"

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of `isocline simulate`."""
        return {
            "kind": self.kind,
            "status": self.status,
            "system": self.system,
            "arrivals": self.source,
            "load": self.load,
            "lower_bound": self.lower_bound,
            "lower_bound_latency": self.lower_bound_latency,
            "lower_bound_kind": self.lower_bound_kind,
            "lower_bound_reached": self.lower_bound_reached,
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
            "caches": None if self.caches is None else self._caches(self.caches),
            "eviction": self.eviction,
            "interrupted": self.interrupted,
            "policies": [policy.to_dict() for policy in self.policies],
        }

    def _caches(self, knowledge: CacheKnowledge) -> dict[str, Any]:
        return {
            "block_size": self.block_size,
            "knowledge": knowledge.caches,
            "output_lengths": knowledge.outputs,
        }


def proof_of(error: InfeasibleError) -> dict[str, Any]:
    """The violated set in the JSON of a load that no policy can serve, in place of large means."""
    return {
        "kind": "routing",
        "status": "infeasible",
        "bottleneck": {"frontends": error.frontends, "backends": error.backends},
        "supply": error.supply,
        "capacity": error.capacity,
        "lower_bound": None,
    }


@final
@dataclass(frozen=True)
class InfeasibleLoad:
    """Load of a sweep that no policy can serve, and the proof."""

    load: float
    error: InfeasibleError

    @property
    def in_words(self) -> str:
        """Line below the table of a sweep."""
        return f"Load {self.load:g} is {self.error}; give a load below 1"

    def to_dict(self) -> dict[str, Any]:
        """Its entry of `loads` in the JSON of a sweep."""
        return {"kind": "routing", "status": "infeasible", "load": self.load} | proof_of(self.error)


@final
@dataclass(frozen=True, eq=False)
class Sweep(LoadSweep[Comparison]):
    """Routing policies at several loads, lowest first."""

    kind: ClassVar[str] = "routing"
    picture: ClassVar[str] = "plots.latency:latency_plot"
    words: ClassVar[str] = "tables.comparison:sweep_report"
    infeasible: tuple[InfeasibleLoad, ...] = ()  # loads that no policy can serve, lowest first

    @property
    def bound_name(self) -> str:
        """What tables and pictures call the bound."""
        names = {one.bound_name for one in self.comparisons if not isnan(one.lower_bound)}
        return names.pop() if len(names) == 1 else "bound"

    def to_dict(self) -> dict[str, Any]:
        known = super().to_dict()
        known["loads"] += [one.to_dict() for one in self.infeasible]
        return known
