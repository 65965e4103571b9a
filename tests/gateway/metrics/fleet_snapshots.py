"""Snapshots of a small fleet at chosen moments, for tests of the live page."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from isocline.gateway.metrics.histogram import add
from isocline.gateway.metrics.snapshot import (
    BackendSnapshot,
    FrontendSnapshot,
    LiveBackend,
    LiveFrontend,
    Pair,
    Snapshot,
)
from isocline.histogram import Histogram

CURVE = {"type": "hyperbolic", "peak": 100.0, "half": 4.0}


def backend(name: str, **more: Any) -> LiveBackend:
    """One that is up and holds nothing, unless said otherwise."""
    plain = LiveBackend(
        workers=1,
        url=f"http://{name}:8000",
        in_flight=0,
        up=1,
        draining=0,
        ejected=0,
        full=0,
        workload=0,
        age=None,
        limit=None,
        idle_connections=0,
        service_rate=0.0,
        marginal_rate=25.0,
        given=CURVE,
        learned=None,
    )
    return replace(plain, **more)


def pair(latencies: Sequence[float] = (), **more: Any) -> Pair:
    """Requests that ended, with these latencies, s; all served, unless said otherwise."""
    duration = Histogram()
    for seconds in latencies:
        add(duration, seconds)
    served = len(latencies)
    plain = Pair(
        codes={200: served},
        duration=duration,
        served=served,
        served_seconds=sum(latencies),
    )
    return replace(plain, **more)


def snapshot(
    now: float,
    backends: Mapping[str, LiveBackend],
    pairs: Mapping[tuple[str, str], Pair] | None = None,
    counts: Mapping[str, Mapping[str, Any]] | None = None,
    **more: Any,
) -> Snapshot:
    """All frontends of `pairs`, or `web`, may use all backends."""
    rows: dict[str, dict[str, Pair]] = {}
    for (frontend, name), it in (pairs or {}).items():
        rows.setdefault(frontend, {})[name] = it
    plain = Snapshot(
        now=now,
        system="small",
        policy="gmsr",
        workers=1,
        pairs=rows,
        frontends={
            name: FrontendSnapshot(0, LiveFrontend(1, 0, list(backends)))
            for name in rows or ["web"]
        },
        backends={
            name: BackendSnapshot(live=live, **(counts or {}).get(name, {}))
            for name, live in backends.items()
        },
    )
    return replace(plain, **more)
