"""Records of a plan, frozen, with their JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field
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


@final
@dataclass(frozen=True)
class Plan(Record):
    """The optimal steady state of a routing system (GMSR paper, Eq. (1)), or why there is none.

    Where status is `infeasible`, the bottleneck is the proof: its frontends bring at least what its
    backends, which are all their backends, can serve. Numbers are then None, lists empty.
    """

    kind: ClassVar[str] = "routing"
    picture: ClassVar[str] = "plots.curve:plan_picture"
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

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of `isocline plan --json`."""
        certificate = self.certificate
        return {
            "kind": self.kind,
            "status": self.status,
            "total_jobs": self.total_jobs,
            "mean_latency": self.mean_latency,
            "backends": [row._asdict() for row in self.backends],
            "split": [row._asdict() for row in self.split],
            "tiers": [_lists(row._asdict()) for row in self.tiers],
            "capacity_scale": self.capacity_scale,
            "bottleneck": _lists(self.bottleneck._asdict()),
            "certificate": None
            if certificate is None
            else {
                "conservation": certificate.conservation,
                "slope_gap": certificate.slope_gap,
            },
            "shadow_prices": [row._asdict() for row in self.shadow_prices],
            "missing_edges": [row._asdict() for row in self.missing_edges],
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


def _lists(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in row.items()}
