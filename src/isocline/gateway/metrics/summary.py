"""Summary of a snapshot as one JSON document, `/statistics`, for people and scripts.

Times are in s, rates in requests/s, workloads in jobs; null is unknown. Counts are since the
start, gauges of now; percentiles are of all requests since the start, to 4.7 %.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, final

from isocline.gateway.metrics.curve_intervals import ends_of
from isocline.gateway.metrics.histogram import percentile
from isocline.gateway.metrics.optimality import PARTS, Optimality, notes, relative_error
from isocline.gateway.metrics.snapshot import (
    STATES,
    BackendSnapshot,
    LiveBackend,
    Pair,
    Snapshot,
    merged_pairs,
)
from isocline.histogram import Histogram
from isocline.json_text import finite


@final
@dataclass(frozen=True)
class Times:
    """Histogram in a few numbers, s."""

    mean: float | None
    p50: float | None
    p90: float | None
    p99: float | None
    p999: float | None


@final
@dataclass(frozen=True)
class Requests:
    """Counts of requests that have ended."""

    total: int
    codes: dict[str, int]  # by status
    served: int  # a whole response with a status below 400
    failed: dict[str, int]  # without a whole response, by reason
    broken: int
    retries: int
    request_bytes: int
    response_bytes: int
    wait: Times
    first_byte: Times
    first_token: Times  # of streams
    duration: Times


@final
@dataclass(frozen=True)
class FrontendPart:
    """Part of one frontend; `name` is empty for requests that came to none."""

    name: str
    backends: list[str]  # that it may use
    waiting: int  # requests held now
    held: int  # ever
    requests: Requests


@final
@dataclass(frozen=True)
class CurvePart:
    """Service curve at the present workload."""

    learned: bool
    service_rate: float
    marginal_rate: float
    completions: float | None
    error_ratio: float | None
    peak_jobs: int | None
    seen_jobs: int | None  # the highest workload seen; beyond it a learned curve is extrapolated
    capacity: float | None  # requests/s at the peak of a learned curve; null if no bend was seen
    capacity_low: float | None  # 95 % interval of that
    capacity_high: float | None  # null: no upper end is known
    extrapolated: bool  # the workload of now is beyond what was seen


MODEL_COUNTS = ("resident", "loading", "loads", "failed_loads", "evictions", "missing")


@final
@dataclass(frozen=True)
class BackendPart:
    """Part of one backend; `url` is null if it is no longer in the system."""

    name: str
    url: str | None
    state: dict[str, float]  # up, draining, ejected, full: 1, 0, or between where workers differ
    in_flight: int
    workload: float | None
    workload_age: float | None
    limit: int | None
    closed: float | None  # s for which it is still full, as it said
    idle_connections: int
    opened_connections: int
    ejections: int
    refusals: dict[str, int]  # by status
    failures: dict[str, int]  # attempts, by cause
    prompt_tokens: int  # where the response told how many were cached
    cached_tokens: int
    models: dict[str, int]  # counts of those that it holds and loads
    job_seconds: float
    weight: float
    max_share: float  # of each frontend's requests
    frozen: bool  # its learned curve stands still
    round_trip: float | None  # s, the least of late; null where distances are not measured
    distance: float | None  # s, by how much it is longer in its zone; likewise
    curve: CurvePart | None
    requests: Requests


def statistics(snapshot: Snapshot, optimality: Optimality | None = None) -> dict[str, Any]:
    """Make the document; numbers are finite or None."""
    pairs = snapshot.pairs
    found: dict[str, Any] = {
        "system": snapshot.system,
        "policy": snapshot.policy,
        "workers": snapshot.workers,
        "workers_draining": snapshot.draining,
        "client_connections": snapshot.clients,
        "client_connections_refused": snapshot.refused,
        "tunnels": snapshot.tunnels,
        "control_changes": snapshot.control_changes,
        "keys": [{"name": name, **asdict(it)} for name, it in snapshot.keys.items()],
        "tenants": _tenants(snapshot),
        "reloads": snapshot.reloads,
        "reloads_refused": snapshot.reloads_refused,
        "last_reload_refused": bool(snapshot.last_reload_refused),
        "frontends": [
            asdict(_frontend(snapshot, name))
            for name in dict.fromkeys([*snapshot.frontends, *pairs])
        ],
        "backends": [
            asdict(_backend(name, seen, (row[name] for row in pairs.values() if name in row)))
            for name, seen in snapshot.backends.items()
        ],
        "optimality": optimality_document(optimality or Optimality()),
    }
    return {key: finite(value) for key, value in found.items()}


def _tenants(snapshot: Snapshot) -> list[dict[str, Any]]:
    """Tenants, each with its share of the work since the start."""
    work = sum(it.work for it in snapshot.tenants.values())
    return [
        {"name": name, **asdict(it), "share": it.work / work if work else None}
        for name, it in snapshot.tenants.items()
    ]


def _frontend(snapshot: Snapshot, name: str) -> FrontendPart:
    seen = snapshot.frontends.get(name)
    live = seen.live if seen else None
    return FrontendPart(
        name,
        live.backends if live else [],
        live.held if live else 0,
        seen.holds if seen else 0,
        _requests(snapshot.pairs.get(name, {}).values()),
    )


def _backend(name: str, seen: BackendSnapshot, pairs: Iterable[Pair]) -> BackendPart:
    live = seen.live
    return BackendPart(
        name,
        live.url if live else None,
        {state: getattr(live, state) / live.workers for state in STATES} if live else {},
        live.in_flight if live else 0,
        live.workload / live.workers if live else None,
        live.age if live else None,
        live.limit if live else None,
        live.closed if live else None,
        live.idle_connections if live else 0,
        seen.opened,
        seen.ejections,
        {str(code): count for code, count in sorted(seen.refusals.items())},
        seen.failures,
        seen.prompt_tokens,
        seen.cached_tokens,
        {name: getattr(seen, name) for name in MODEL_COUNTS},
        seen.job_seconds,
        live.weight if live else 1.0,
        live.max_share if live else 1.0,
        live is not None and live.frozen > 0,
        live.round_trip if live else None,
        live.distance / live.workers if live and live.distance is not None else None,
        _curve(live) if live else None,
        _requests(pairs),
    )


def _curve(live: LiveBackend) -> CurvePart:
    learned, ends = live.learned, ends_of(live)
    jobs = live.workload / live.workers
    return CurvePart(
        learned is not None,
        live.service_rate / live.workers,
        live.marginal_rate / live.workers,
        learned.completions if learned else None,
        relative_error(live),
        learned.cut if learned else None,
        ends.seen if ends else None,
        ends.capacity if ends else None,
        ends.capacity_low if ends else None,
        ends.capacity_high if ends else None,
        ends is not None and jobs > ends.seen,
    )


def _requests(pairs: Iterable[Pair]) -> Requests:
    pair = merged_pairs(pairs)
    return Requests(
        sum(pair.codes.values()),
        {str(code): count for code, count in sorted(pair.codes.items())},
        pair.served,
        pair.failed,
        pair.broken,
        pair.retries,
        pair.received,
        pair.returned,
        _times(pair.wait),
        _times(pair.first_byte),
        _times(pair.first_token),
        _times(pair.duration),
    )


def _times(seen: Histogram) -> Times:
    return Times(seen.mean, *(percentile(seen, share) for share in (0.5, 0.9, 0.99, 0.999)))


def optimality_document(optimality: Optimality) -> dict[str, Any]:
    """Account of the gap as one JSON document."""
    gap = optimality.gap
    return {
        "window": optimality.window,
        "served": optimality.served,
        "why_not": optimality.why_not,
        "gap": gap.ratio if gap else None,
        "latency": gap.latency if gap else None,
        "parts": {part: getattr(gap, part) for part in PARTS} if gap else {},
        "optimum_error": gap.optimum_error if gap else None,
        "stale_counts": gap.stale_counts if gap else None,
        "capacity_scale": optimality.capacity_scale,
        "capacity_scale_low": optimality.capacity_interval and optimality.capacity_interval.low,
        "capacity_scale_high": optimality.capacity_interval and optimality.capacity_interval.high,
        "unseen": list(optimality.unseen),
        "notes": notes(optimality),
        "missing_edges": [edge._asdict() for edge in optimality.missing_edges],
    }
