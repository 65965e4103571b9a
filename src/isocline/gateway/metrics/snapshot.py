"""Snapshot of one process as plain data: snapshots add up, and go between processes as JSON.

Numbers add up unless a field says otherwise. Values that are no sums, such as a backend's state or
marginal rate, are summed too, and divided by `workers` for display: the mean over the workers.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cache, reduce
from typing import Any, TypeVar, cast, final

from pydantic import TypeAdapter

from isocline.histogram import Histogram

T = TypeVar("T")

STATES = ("up", "draining", "ejected", "full")  # of a backend; more than one may hold


def _latest(one: Any, other: Any) -> Any:
    return one if other is None else other


def _latest_text(one: str, other: str) -> str:
    # Counts of the router's own process have no names, and must not erase those of its workers.
    return other or one


def _largest(one: Any, other: Any) -> Any:
    return max((it for it in (one, other) if it is not None), default=None)


def _smallest(one: Any, other: Any) -> Any:
    return min((it for it in (one, other) if it is not None), default=None)


def _usage(one: dict[str, float], other: dict[str, float]) -> dict[str, float]:
    first = {"process_start_time_seconds", "process_max_fds"}
    return {
        name: min(both) if name in first else sum(both)
        for name in {**one, **other}
        for both in [[it[name] for it in (one, other) if name in it]]
    }


_LATEST = {"merge": _latest}
_LATEST_TEXT = {"merge": _latest_text}
_LARGEST = {"merge": _largest}
_SMALLEST = {"merge": _smallest}
_USAGE = {"merge": _usage}


@final
@dataclass(frozen=True, slots=True)
class Pair:
    """Requests of one frontend at one backend, ever; the name of either may be empty, for none."""

    codes: dict[int, int] = field(default_factory=dict)  # requests by status, as clients had it
    failed: dict[str, int] = field(default_factory=dict)  # without a whole response, by reason
    broken: int = 0  # of these, a part of the response had gone to the client
    retries: int = 0
    wait: Histogram = field(default_factory=Histogram)  # until it was sent, or given up
    first_byte: Histogram = field(default_factory=Histogram)
    duration: Histogram = field(default_factory=Histogram)  # without upgraded connections
    received: int = 0  # bytes of requests
    returned: int = 0  # bytes of responses
    # Requests that a backend served: a whole response, with a status below 400.
    served: int = 0
    served_seconds: float = 0.0  # sum of their durations
    served_wait: float = 0.0  # s, before they were sent
    first_token: Histogram = field(default_factory=Histogram)  # of streams


@final
@dataclass(frozen=True, slots=True)
class LiveFrontend:
    """Present state of a frontend."""

    workers: int
    held: int
    backends: list[str] = field(metadata=_LATEST)  # that it may use


@final
@dataclass(frozen=True, slots=True)
class FrontendSnapshot:
    """Counts of one frontend, ever; `live` is None if it no longer exists."""

    holds: int = 0
    live: LiveFrontend | None = None


@final
@dataclass(frozen=True, slots=True)
class LearnedCurve:
    """Learned curve: at each workload the rate, jobs/s, times its weight, and the weight."""

    completions: float  # that were seen
    cut: int | None = field(metadata=_LARGEST)  # jobs at the measured peak
    points: dict[float, tuple[float, float]] = field(default_factory=dict)
    # At each workload held the completions, and the time over the work of a request, s.
    counts: dict[int, tuple[float, float]] = field(default_factory=dict)
    assumed: float = 0.0  # completions that stand for a given curve
    # Of the speed that was learned before the last change, the share that is left; None: no change.
    speed: float | None = field(metadata=_LATEST, default=None)


@final
@dataclass(frozen=True, slots=True)
class LiveBackend:
    """Present state of a backend."""

    workers: int
    url: str = field(metadata=_LATEST)  # without credentials
    in_flight: int
    up: int  # in so many workers
    draining: int
    ejected: int
    full: int
    workload: int  # sum of the workers' estimates of all jobs there
    age: float | None = field(metadata=_LARGEST)  # s, of the oldest report; None: own counts only
    limit: int | None = field(metadata=_LATEST)  # jobs, in each worker
    idle_connections: int
    service_rate: float  # jobs/s at the estimate
    marginal_rate: float  # jobs/s per job, there
    given: dict[str, Any] | None = field(metadata=_LATEST)  # curve, as in a system file; or
    learned: LearnedCurve | None
    closed: float | None = field(metadata=_LARGEST, default=None)  # s, as it said that it is full
    weight: float = field(metadata=_LATEST, default=1.0)
    max_share: float = field(metadata=_LATEST, default=1.0)  # of each frontend's requests
    frozen: int = 0  # its learned curve stands still
    round_trip: float | None = field(metadata=_SMALLEST, default=None)  # s; None: not measured
    distance: float | None = None  # s, measured; likewise


@final
@dataclass(frozen=True, slots=True)
class BackendSnapshot:
    """Counts of one backend, ever; `live` is None if it no longer exists."""

    failures: dict[str, int] = field(default_factory=dict)  # attempts, by cause
    refusals: dict[int, int] = field(default_factory=dict)  # by status, those sent elsewhere too
    ejections: int = 0
    job_seconds: float = 0.0  # integral of what is in flight there
    reports: int = 0  # of its load, after the first
    surprises: float = 0.0  # jobs, sum over them of |as reported - as known before|
    opened: int = 0  # connections
    prompt_tokens: int = 0  # of prompts, where the response told how many were cached
    cached_tokens: int = 0  # of these, that its prefix cache held
    loads: int = 0  # of models, begun
    failed_loads: int = 0  # calls to load or unload a model that failed
    evictions: int = 0  # models dropped for others
    missing: int = 0  # requests whose model was not there, against what was known
    resident: int = 0  # models there now, of those that are managed
    loading: int = 0  # and on their way
    curve_changes: int = 0  # times that its speed was found to have changed
    live: LiveBackend | None = None


@final
@dataclass(frozen=True, slots=True)
class KeySnapshot:
    """Counts of one API key, ever."""

    codes: dict[int, int] = field(default_factory=dict)  # requests by status
    limited: dict[str, int] = field(default_factory=dict)  # of these, refused, by the limit reached
    prompt_tokens: int = 0  # where responses are read for them
    output_tokens: int = 0


@final
@dataclass(frozen=True, slots=True)
class TenantSnapshot:
    """Counts of one tenant, ever, and its requests that wait now."""

    served: int = 0
    work: float = 0.0  # of requests sent, in mean requests
    waiting: int = 0
    weight: float | None = field(metadata=_LATEST, default=None)  # None: of several


@final
@dataclass(frozen=True, slots=True)
class Snapshot:
    """Counts and states of one process, or of several together."""

    now: float = field(metadata=_LARGEST, default=0.0)  # s, of the monotonic clock
    policy: str = field(metadata=_LATEST_TEXT, default="")
    system: str = field(metadata=_LATEST_TEXT, default="")
    workers: int = 0
    draining: int = 0  # of them
    ended: int = 0  # worker processes that ended unasked, ever
    clients: int = 0  # connections
    tunnels: int = 0
    refused: int = 0  # connections, ever
    # Of the router's process, not of a worker.
    reloads: int = 0  # readings of the file after the first
    reloads_refused: int = 0  # of these, with an error in it
    last_reload_refused: int = 0  # 1: older settings than those in the file are in force
    pairs: dict[str, dict[str, Pair]] = field(default_factory=dict)  # frontend, backend
    frontends: dict[str, FrontendSnapshot] = field(default_factory=dict)
    backends: dict[str, BackendSnapshot] = field(default_factory=dict)
    usage: dict[str, float] = field(metadata=_USAGE, default_factory=dict)  # by Prometheus' names
    keys: dict[str, KeySnapshot] = field(default_factory=dict)
    tenants: dict[str, TenantSnapshot] = field(default_factory=dict)
    # Operators' calls that changed something: control, name of the key.
    control_changes: dict[str, dict[str, int]] = field(default_factory=dict)
    spans: dict[str, int] = field(default_factory=dict)  # by what became of them

    def counted(self) -> "Snapshot":
        """Counts without present states, as for a process that has ended."""
        return Snapshot(
            now=self.now,
            policy=self.policy,
            system=self.system,
            refused=self.refused,
            pairs=self.pairs,
            frontends={name: replace(it, live=None) for name, it in self.frontends.items()},
            backends={
                name: replace(it, live=None, resident=0, loading=0)
                for name, it in self.backends.items()
            },
            usage={k: v for k, v in self.usage.items() if k == "process_cpu_seconds_total"},
            spans=self.spans,
            keys=self.keys,
            tenants={name: replace(it, waiting=0) for name, it in self.tenants.items()},
        )

    def to_json(self) -> bytes:
        """Serialise for another process."""
        return _adapter().dump_json(self)

    @classmethod
    def from_json(cls, data: bytes | str) -> "Snapshot":
        """Parse the result of `to_json`; raises pydantic.ValidationError for anything else."""
        return _adapter().validate_json(data)


@cache
def _adapter() -> TypeAdapter[Snapshot]:
    return TypeAdapter(Snapshot)


def merged(snapshots: Iterable[Snapshot]) -> Snapshot:
    """Merge snapshots of several processes; of one process at two times the sum is meaningless."""
    return reduce(added, snapshots, Snapshot())


def merged_pairs(pairs: Iterable[Pair]) -> Pair:
    """Merge all pairs of a frontend, or of a backend."""
    return reduce(added, pairs, Pair())


def added(one: T, other: T) -> T:
    """Sum field by field and key by key; None counts as nothing."""
    if one is None or other is None:
        return other if one is None else one
    result: Any
    if isinstance(one, dict) and isinstance(other, dict):
        result = {key: added(one.get(key), other.get(key)) for key in {**one, **other}}
    elif isinstance(one, tuple) and isinstance(other, tuple):
        result = tuple(map(added, one, other))
    elif is_dataclass(one):
        made: Any = type(one)
        result = made(
            **{
                it.name: it.metadata.get("merge", added)(
                    getattr(one, it.name), getattr(other, it.name)
                )
                for it in fields(one)
            }
        )
    else:
        result = one + other  # type: ignore[operator]
    return cast(T, result)
