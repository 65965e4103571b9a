"""Records of a plan, frozen, with their JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, final

from isocline.flow.certificate import Certificate
from isocline.model.fleet import RoutingSystem
from isocline.record import Record, data_frame

if TYPE_CHECKING:
    import pandas as pd


class BackendPlan(NamedTuple):
    """One backend at the optimum."""

    name: str
    jobs: float  # N*
    rate: float  # jobs/s it receives and serves
    marginal_rate: float  # l'(N*), jobs/s per job
    utilisation: float  # rate / capacity


class SplitRate(NamedTuple):
    """Rate of one frontend at one backend; only edges that carry something are listed."""

    frontend: str
    backend: str
    rate: float  # jobs/s


class TierPlan(NamedTuple):
    """Frontends and backends that share one marginal rate (GMSR paper, Definition 3)."""

    frontends: tuple[str, ...]
    backends: tuple[str, ...]
    marginal_rate: float


class Bottleneck(NamedTuple):
    """Frontends whose backends fill up first when all load grows in proportion; the proof."""

    frontends: tuple[str, ...]
    backends: tuple[str, ...]


class SpeedSaving(NamedTuple):
    """Seconds of mean latency saved when a backend becomes 1 % faster, to first order.

    The derivative of the mean latency by the speed, times 1 %. It falls as the backend gets faster,
    so that a whole 1 % saves less: near capacity much less, where the derivative promises even more
    than the latency itself.
    """

    backend: str
    saves: float


class EdgeSaving(NamedTuple):
    """Seconds of mean latency saved by connecting a frontend with a backend."""

    frontend: str
    backend: str
    saves: float


class FrontendOverload(NamedTuple):
    """One frontend of a load that cannot be served.

    Where frontends that pile jobs up have backends in common, many splits are alike to GMSR; the
    throughput of each is that of one of them, and the sum of all is that of any.
    """

    name: str
    rate: float  # jobs/s that arrive
    throughput: float  # jobs/s that are served in the long run


class BackendOverload(NamedTuple):
    """One backend under a load that cannot be served, in the long run."""

    name: str
    status: Literal["stable", "full", "growing"]  # full: at the last point of its table, no further
    jobs: float | None  # in the long run; None where they grow without end
    rate: float  # jobs/s that it serves
    marginal_rate: float  # l'(N), jobs/s per job; 0 is the limit of a workload that grows
    # jobs/s by which its workload grows: 0 of one that grows more slowly than in proportion to
    # time; None where the curves do not determine it
    growth: float | None


class PileUp(NamedTuple):
    """Frontends that bring too much, and the backends among which GMSR shares it."""

    frontends: tuple[str, ...]
    backends: tuple[str, ...]
    rate: float  # jobs/s that arrive
    capacity: float  # jobs/s that are served
    growth: float  # jobs/s by which the jobs there grow, all backends together


class OverloadCertificate(NamedTuple):
    """Proofs: `carried` is served by a flow, and `cut` is what no policy exceeds, both in jobs/s.

    The other two are those of the level flow on the stable part: see `Certificate`.
    """

    carried: float
    cut: float
    conservation: float
    slope_gap: float


@final
@dataclass(frozen=True)
class Overload:
    """What is served of a load that cannot be (GMSR paper, version 3).

    Throughput, the stable backends and the jobs on them are the best that any policy can do, one
    after the other. Growth is what GMSR does in the long run.
    """

    arrivals: float  # jobs/s
    throughput: float  # jobs/s, the most that any policy serves in the long run
    stable_jobs: float  # at the stable backends: the fewest of all policies with this throughput
    frontends: tuple[FrontendOverload, ...]
    backends: tuple[BackendOverload, ...]
    split: tuple[SplitRate, ...]  # in the long run; without frontends whose split is not determined
    pile_ups: tuple[PileUp, ...]  # the fastest first
    certificate: OverloadCertificate

    def to_dict(self) -> dict[str, Any]:
        """The key `overload` in the JSON document of `isocline plan`."""
        return {
            "arrivals": self.arrivals,
            "throughput": self.throughput,
            "stable_jobs": self.stable_jobs,
            "frontends": mappings(self.frontends),
            "backends": mappings(self.backends),
            "split": mappings(self.split),
            "pile_ups": [_lists(row._asdict()) for row in self.pile_ups],
            "certificate": self.certificate._asdict(),
        }


class PrefixCopy(NamedTuple):
    """A frontend's prefix in the cache of one backend."""

    frontend: str
    backend: str
    tokens: int  # that it takes there
    rate: float  # jobs/s that use it
    worth: float  # jobs that it saves, to first order: rate * work saved * price


@final
@dataclass(frozen=True)
class PrefixPlan:
    """Where prefixes are cached, and the best split of the load with them.

    `least_jobs` is a lower bound for any placement and any split. `jobs_without` are those of the
    plan without caches; None if that load cannot be served.
    """

    total_jobs: float
    least_jobs: float
    jobs_without: float | None
    mean_latency: float  # s
    copies: tuple[PrefixCopy, ...]  # the one worth most first
    split: tuple[SplitRate, ...]  # edges that carry something

    @property
    def gap(self) -> float:
        """How far it may be above the least, relative."""
        return (self.total_jobs - self.least_jobs) / self.total_jobs

    def to_dict(self) -> dict[str, Any]:
        """The key `prefix_caches` in the JSON of `isocline plan`, there with prefixes alone."""
        return {
            "total_jobs": self.total_jobs,
            "least_jobs": self.least_jobs,
            "gap": self.gap,
            "jobs_without": self.jobs_without,
            "mean_latency": self.mean_latency,
            "copies": mappings(self.copies),
            "split": mappings(self.split),
        }


@final
@dataclass(frozen=True)
class ZonePlan:
    """The best split where jobs are longer on their way to other zones.

    Jobs are those at backends and on their way together. `least_jobs` is a lower bound for any
    split.
    """

    total_jobs: float
    least_jobs: float
    on_their_way: float  # of the jobs, there and back
    mean_latency: float  # s, the way included
    crossing: float  # share of the jobs that leave their zone
    split: tuple[SplitRate, ...]  # edges that carry something

    @property
    def gap(self) -> float:
        """How far it may be above the least, relative."""
        return (self.total_jobs - self.least_jobs) / self.total_jobs

    def to_dict(self) -> dict[str, Any]:
        """The key `zones` in the JSON of `isocline plan`, there with distances alone."""
        return {
            "total_jobs": self.total_jobs,
            "least_jobs": self.least_jobs,
            "gap": self.gap,
            "on_their_way": self.on_their_way,
            "mean_latency": self.mean_latency,
            "crossing": self.crossing,
            "split": mappings(self.split),
        }


class ModelCopy(NamedTuple):
    """A model in the memory of one backend."""

    model: str
    backend: str
    rate: float  # jobs/s that use it, at the rates that there are
    copies: int  # of this model, in all


class MoreMemory(NamedTuple):
    """Share by which the bound of the capacity grows with one unit of memory, to first order."""

    backend: str
    gain: float


@final
@dataclass(frozen=True)
class ResidencyPlan:
    """Copies of models, and the capacity that can be used with them.

    Capacities are factors by which all rates could grow, as `Plan.capacity_scale`. `bound` is one
    that no policy exceeds, whatever it loads and when. `cold` is the share of the requests that
    load their model, as there is no copy for them.
    """

    capacity_scale: float
    bound: float
    cold: float
    copies: tuple[ModelCopy, ...]  # that which carries most first
    memory: tuple[MoreMemory, ...]  # where memory is short: what is worth most first

    @property
    def gap(self) -> float:
        """How far the copies may be below the best, relative."""
        return 1.0 - self.capacity_scale / self.bound

    def to_dict(self) -> dict[str, Any]:
        """The key `residency` in the JSON of `isocline plan`, there with models alone."""
        return {
            "capacity_scale": self.capacity_scale,
            "bound": self.bound,
            "gap": self.gap,
            "cold": self.cold,
            "copies": mappings(self.copies),
            "memory": mappings(self.memory),
        }


@final
@dataclass(frozen=True)
class Plan(Record):
    """The optimal steady state of a routing system (GMSR paper, Eq. (1)), or why there is none.

    Where status is `infeasible`, the bottleneck is the proof: its frontends bring at least what its
    backends, which are all their backends, can serve. Numbers are then None, lists empty, and
    `overload` says what is served all the same.
    """

    kind: ClassVar[str] = "routing"
    picture: ClassVar[str] = "plots.curve:plan_picture"
    words: ClassVar[str] = "tables.plan:plan_report"
    status: Literal["optimal", "infeasible"]
    total_jobs: float | None  # jobs in the system, the objective of Eq. (1)
    mean_latency: float | None  # seconds: Little's law, total_jobs over the sum of the rates
    backends: tuple[BackendPlan, ...]
    split: tuple[SplitRate, ...]
    tiers: tuple[TierPlan, ...]  # in order of falling marginal rate
    capacity_scale: float  # the largest factor by which all rates could grow
    bottleneck: Bottleneck
    certificate: Certificate | None
    shadow_prices: tuple[SpeedSaving, ...]
    missing_edges: tuple[EdgeSaving, ...]  # best first
    system: RoutingSystem = field(repr=False, compare=False)  # what was planned
    overload: Overload | None = None  # of a load that cannot be served
    prefix_caches: PrefixPlan | None = None  # where frontends have prefixes that are cached
    residency: ResidencyPlan | None = None  # where backends hold only some models
    zones: ZonePlan | None = None  # where zones have distances, which all else leaves out

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of `isocline plan --json`."""
        certificate = self.certificate
        return {
            "kind": self.kind,
            "status": self.status,
            "total_jobs": self.total_jobs,
            "mean_latency": self.mean_latency,
            "backends": mappings(self.backends),
            "split": mappings(self.split),
            "tiers": [_lists(row._asdict()) for row in self.tiers],
            "capacity_scale": self.capacity_scale,
            "bottleneck": _lists(self.bottleneck._asdict()),
            "certificate": None
            if certificate is None
            else {
                "conservation": certificate.conservation,
                "slope_gap": certificate.slope_gap,
            },
            "shadow_prices": mappings(self.shadow_prices),
            "missing_edges": mappings(self.missing_edges),
            "overload": None if self.overload is None else self.overload.to_dict(),
            **({"prefix_caches": self.prefix_caches.to_dict()} if self.prefix_caches else {}),
            **({"residency": self.residency.to_dict()} if self.residency else {}),
            **({"zones": self.zones.to_dict()} if self.zones else {}),
        }

    def to_frame(self) -> "pd.DataFrame":
        """One row for each backend: its plan and what 1 % more speed would save, to first order.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        rows = [
            {**row._asdict(), "saves_per_percent": saving.saves}
            for row, saving in zip(self.backends, self.shadow_prices, strict=True)
        ]
        return data_frame(rows, (*BackendPlan._fields, "saves_per_percent")).set_index("name")


def mappings(rows: Sequence[NamedTuple]) -> list[dict[str, Any]]:
    """`_asdict` of each of up to 10^6 records of one kind, without a call of Python for each."""
    return list(map(dict, map(zip, repeat(rows[0]._fields), rows))) if rows else []


def _lists(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in row.items()}
