"""Result of an audit: frozen records with their JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, final

from isocline.audit.narrowing import Unknown
from isocline.learn import Interval, Known
from isocline.model.fleet import RoutingSystem
from isocline.record import Record, data_frame
from isocline.simulate.common.estimate import Estimate

if TYPE_CHECKING:
    import pandas as pd


class LogSummary(NamedTuple):
    """Facts of the log itself."""

    files: tuple[str, ...]
    formats: tuple[str, ...]
    lines: int
    unread: int  # lines that could not be read
    first_unread: str  # file, line number, and the line's beginning; "" if there is none
    requests: int  # that went to a backend
    without_backend: int  # that did not
    served: int
    failed: int
    abandoned: int  # the client went away
    retried: int  # requests that had more than one attempt
    seconds: float  # from the first arrival to the last end, without pauses
    pauses: tuple[int, float]  # cut out: their number, and s in all
    coarse: bool  # times are to the second
    tokens_of_a_job: float | None  # None: tokens are not known
    doubled: int = 0  # requests that two files have, which count once


@final
@dataclass(frozen=True, eq=False)
class AuditedBackend:
    """One backend, as the log shows it; rates in jobs/s."""

    name: str
    completions: int
    rate: float  # completions/s
    jobs: float  # mean N
    latency: float  # s, of an attempt
    peak: Interval
    speed: tuple[float, float]  # lowest and highest in a part of the log, over the mean
    known: Known

    def to_dict(self) -> dict[str, Any]:
        """An entry of `backends` in the JSON document."""
        low, high = self.peak
        return {
            "name": self.name,
            "completions": self.completions,
            "rate": self.rate,
            "jobs": self.jobs,
            "latency": self.latency,
            "peak": {"low": low, "high": high},
            "seen": self.known.seen,
            "cut": self.known.cut,
            "speed": list(self.speed),
        }


class AuditedFrontend(NamedTuple):
    """Requests that the router treats alike."""

    name: str
    origins: tuple[str, ...]
    rate: float  # jobs/s
    backends: tuple[str, ...]


class Part(NamedTuple):
    """One part of the mean latency."""

    name: str
    seconds: Estimate
    points: Estimate  # per cent of the least mean latency


class PolicyAudit(NamedTuple):
    """One policy on the same arrivals."""

    policy: str
    latency: Estimate  # s, mean
    p99: float | None  # s
    saving: Estimate  # share of the log's own mean latency


class Advice(NamedTuple):
    """A change of the fleet, and the mean latency that it saves at the optimum."""

    kind: str  # "connection" or "machine"
    names: tuple[str, ...]  # frontend and backend; or the backends of its kind
    seconds: Estimate
    points: Estimate  # per cent of the least mean latency


@final
@dataclass(frozen=True, eq=False)
class Audit(Record):
    """Findings on another router by its access log. Latencies are in s, intervals of 95 %.

    Without a gap, `why_not` has the reason. `cautions` say what cannot be known, or is to be
    doubted.
    """

    kind: ClassVar[str] = "audit"
    picture: ClassVar[str] = "plots.audit:audit_plot"
    words: ClassVar[str] = "tables.audit:audit_report"
    log: LogSummary
    backends: tuple[AuditedBackend, ...]
    frontends: tuple[AuditedFrontend, ...]
    edges_from: str  # "log", "edges" or "system"
    latency: float  # s, mean of what was served while all workloads are known
    least: Estimate | None  # s, the optimum if every frontend could use every backend
    above: Estimate | None  # per cent by which the mean latency is above it
    parts: tuple[Part, ...]
    why_not: str
    steady: bool  # whether requests did not pile up; if they did, the optimum and parts are rough
    replayed: int  # requests that policies were compared on
    replayed_latency: float  # s, mean of what they took
    replayed_p99: float  # s
    policies: tuple[PolicyAudit, ...]
    unknowns: tuple[Unknown, ...]  # what more of the log would narrow the intervals
    advice: tuple[Advice, ...]  # what saves most first
    cautions: tuple[str, ...]
    system: RoutingSystem = field(repr=False)  # with the learned curves

    def part(self, name: str) -> Part | None:
        """The part of this name."""
        return next((it for it in self.parts if it.name == name), None)

    @property
    def known(self) -> Mapping[str, Known]:
        """What was seen of each backend's curve."""
        return {backend.name: backend.known for backend in self.backends}

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of `isocline audit --json`."""
        return {
            "kind": self.kind,
            "log": self.log._asdict()
            | {"files": list(self.log.files), "formats": list(self.log.formats)}
            | {"pauses": {"count": self.log.pauses[0], "seconds": self.log.pauses[1]}},
            "latency": self.latency,
            "least": _estimate(self.least),
            "above": _estimate(self.above),
            "parts": [
                {"name": it.name, "seconds": _estimate(it.seconds), "points": _estimate(it.points)}
                for it in self.parts
            ],
            "why_not": self.why_not,
            "steady": self.steady,
            "backends": [backend.to_dict() for backend in self.backends],
            "frontends": [
                frontend._asdict()
                | {"origins": list(frontend.origins), "backends": list(frontend.backends)}
                for frontend in self.frontends
            ],
            "edges_from": self.edges_from,
            "replayed": {
                "requests": self.replayed,
                "latency": self.replayed_latency,
                "p99": self.replayed_p99,
            },
            "policies": [
                {
                    "policy": it.policy,
                    "latency": _estimate(it.latency),
                    "p99": it.p99,
                    "saving": _estimate(it.saving),
                }
                for it in self.policies
            ],
            "advice": [
                {
                    "kind": it.kind,
                    "names": list(it.names),
                    "seconds": _estimate(it.seconds),
                    "points": _estimate(it.points),
                }
                for it in self.advice
            ],
            "unknowns": [it._asdict() | {"usual": list(it.usual)} for it in self.unknowns],
            "cautions": list(self.cautions),
        }

    def to_frame(self) -> "pd.DataFrame":
        """One row for each policy."""
        return data_frame(self.rows())

    def rows(self) -> list[dict[str, Any]]:
        """The rows of the frame, and of the CSV."""
        return [
            {
                "policy": it.policy,
                "mean_latency": it.latency.value,
                "mean_latency_low": it.latency.low,
                "mean_latency_high": it.latency.high,
                "p99": it.p99,
                "saving": it.saving.value,
                "saving_low": it.saving.low,
                "saving_high": it.saving.high,
            }
            for it in self.policies
        ]


def _estimate(found: Estimate | None) -> dict[str, float] | None:
    return None if found is None else {"value": found.value, "low": found.low, "high": found.high}
