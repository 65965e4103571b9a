"""Records of a cluster's plan, frozen, with their JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, final

from isocline.flow.certificate import Certificate
from isocline.model.cluster import Cluster
from isocline.record import Record, data_frame

if TYPE_CHECKING:
    import pandas as pd

ServerName = int | str
"""The number of a server where the file gives their count, its name where it names them."""


class Help(NamedTuple):
    """Remote service that one server gives the tasks waiting for another (nu_{n,m}, n != m)."""

    helper: ServerName
    beneficiary: ServerName
    rate: float  # tasks/s
    level: Literal["rack", "remote"]


class ServerPlan(NamedTuple):
    """One server: its part, its load, and the remote service that it gives or gets, tasks/s."""

    server: ServerName
    rack: str
    role: Literal["beneficiary", "helper"]
    load: float
    utilisation: float  # load / alpha
    gives: float
    receives: float


class ServerPool(NamedTuple):
    """Servers that types connect, directly or through others (remark after Theorem 8)."""

    servers: tuple[ServerName, ...]
    rate: float  # tasks/s that only they hold the data of
    epsilon: float  # what they could serve locally beyond that, tasks/s; below 0: they need help
    leading: float | None  # (sigma^2 + nu^2)/(2 epsilon), tasks; None where not evenly loaded


class QueueBound(NamedTuple):
    """Bounds on the mean number of tasks present, those in service included."""

    queues: Literal["beneficiaries", "all"]  # whose queues the sum is over
    theorems: tuple[int, int]  # of the near-data paper: lower, upper
    clock: Literal["continuous", "slotted"]
    epsilon: float  # tasks/s or per slot, Eq. (10) or (20)
    arrival_variance: float  # sigma^2
    service_variance: float  # nu^2
    lower: float  # tasks, any policy
    leading: float  # tasks, local tasks first, but for a term of o(1/epsilon)


class Replicate(NamedTuple):
    """More replicas, and what they do to the capacity; each entry for itself.

    Of a listed type: one more holder, `server`, which is all of `onto`. Of drawn types: each chunk
    of a `share` of the data on `servers` gets one more holder among `onto`; `server` is None.
    """

    servers: tuple[ServerName, ...]  # that hold the data now
    server: ServerName | None
    onto: tuple[ServerName, ...]
    share: float  # of those data that has to be copied
    capacity_scale: float  # with it
    gain: float  # tasks/s that the cluster can serve more


@final
@dataclass(frozen=True)
class NearDataPlan(Record):
    """Capacity and ideal load decomposition of a cluster (near-data paper, Section 3)."""

    kind: ClassVar[str] = "near-data"
    picture: ClassVar[str] = "plots.near_data:near_data_picture"
    words: ClassVar[str] = "tables.near_data:near_data_report"
    status: Literal["stable", "unstable"]
    capacity_scale: float  # the least factor on all rates that cannot be stabilised
    helpers: tuple[ServerName, ...]  # servers with load below alpha
    beneficiaries: tuple[ServerName, ...]  # servers with load of at least alpha: the set D
    loads: tuple[float, ...]  # tasks/s that join each server's queue, in the servers' order: nu
    certificate: Certificate
    helps: tuple[Help, ...]
    remote_share: float  # of all tasks that cannot be served locally
    bottleneck: tuple[ServerName, ...]  # servers that are overloaded at the boundary
    pools: tuple[ServerPool, ...]
    bounds: QueueBound | None  # None where no theorem applies: `bounds_missing` says why
    bounds_missing: str
    replicate: tuple[Replicate, ...]  # best first
    basis: str  # what the loads were computed from, in words
    cluster: Cluster = field(repr=False, compare=False)  # what was planned

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of `isocline plan --json`."""
        return {
            "kind": self.kind,
            "status": self.status,
            "capacity_scale": self.capacity_scale,
            "helpers": list(self.helpers),
            "beneficiaries": list(self.beneficiaries),
            "loads": list(self.loads),
            "certificate": {
                "conservation": self.certificate.conservation,
                "slope_gap": self.certificate.slope_gap,
            },
            "helps": [entry._asdict() for entry in self.helps],
            "remote_share": self.remote_share,
            "bottleneck": list(self.bottleneck),
            "pools": [_lists(entry._asdict()) for entry in self.pools],
            "bounds": None if self.bounds is None else _lists(self.bounds._asdict()),
            "bounds_missing": self.bounds_missing,
            "replicate": [_lists(entry._asdict()) for entry in self.replicate],
            "basis": self.basis,
        }

    @property
    def servers(self) -> list[ServerPlan]:
        """Each server, in the cluster's order."""
        gives: dict[ServerName, float] = {}
        gets: dict[ServerName, float] = {}
        for entry in self.helps:
            gives[entry.helper] = gives.get(entry.helper, 0.0) + entry.rate
            gets[entry.beneficiary] = gets.get(entry.beneficiary, 0.0) + entry.rate
        needy, cluster = frozenset(self.beneficiaries), self.cluster
        return [
            ServerPlan(
                name,
                cluster.racks[rack],
                "beneficiary" if name in needy else "helper",
                load,
                load / cluster.rates.local,
                gives.get(name, 0.0),
                gets.get(name, 0.0),
            )
            for name, rack, load in zip(
                cluster.labels, cluster.rack.tolist(), self.loads, strict=True
            )
        ]

    def rows(self) -> list[dict[str, Any]]:
        """One row for each server, as a CSV can hold it."""
        return [server._asdict() for server in self.servers]

    def to_frame(self) -> "pd.DataFrame":
        """One row for each server, as `rows`.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        return data_frame(self.rows()).set_index("server")


def _lists(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in row.items()}
