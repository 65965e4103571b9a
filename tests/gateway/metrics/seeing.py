"""Snapshots for tests: of requests that never were, and of windows of which all is known."""

from collections.abc import Iterator, Sequence

import numpy as np

from isocline.gateway.access_log import Access
from isocline.gateway.config import BackendAddress, FrontendRule, ProxySettings
from isocline.gateway.metrics import Recorder, Snapshot
from isocline.gateway.metrics.snapshot import (
    BackendSnapshot,
    FrontendSnapshot,
    LiveFrontend,
    Pair,
)
from isocline.model.fleet import RoutingSystem
from isocline.theory.routing.equilibrium import fluid_optimum
from tests.gateway.metrics.fleet_snapshots import backend


def settings_of(system: RoutingSystem) -> ProxySettings:
    """Backends with a password in their URLs."""
    backends = tuple(
        BackendAddress(backend.name, f"http://user:secret@127.0.0.1:{8001 + b}")
        for b, backend in enumerate(system.backends)
    )
    return ProxySettings(backends, tuple(FrontendRule(it.name) for it in system.frontends))


def statistics_of(system: RoutingSystem) -> Recorder:
    return Recorder(system, settings_of(system), "gmsr")


def access(
    frontend: int = 0,
    backend: int = 0,
    *,
    at: float = 0.0,
    wait: float = 0.25,
    first_byte: float | None = 0.5,
    first_token: float | None = None,
    duration: float = 1.0,
    status: int = 200,
    attempts: int = 1,
    **more: object,
) -> Access:
    """One that went well, unless said otherwise; times in s after its arrival."""
    made = Access("127.0.0.1", b"GET", b"/", b"h", at, frontend, backend, attempts)
    made.sent = at + wait if attempts else None
    made.first_byte = None if first_byte is None else at + first_byte
    made.first_token = None if first_token is None else at + first_token
    made.ended, made.status = at + duration, status
    made.received, made.returned = 10, 100
    for name, value in more.items():
        setattr(made, name, value)
    return made


def random_accesses(count: int, frontends: int, backends: int) -> Iterator[Access]:
    """Times are in 1/1024 s, so that sums are exact in any order."""
    rng = np.random.default_rng(5)
    for i in range(count):
        wait, first, token, last = (rng.integers(1, 5000, 4) / 1024.0).cumsum()
        yield access(
            int(rng.integers(-1, frontends)),
            int(rng.integers(-1, backends)),
            at=float(i),
            wait=float(wait),
            first_byte=float(first),
            first_token=float(token) if i % 2 else None,
            duration=float(last),
            status=int(rng.choice([200, 404, 500])),
            attempts=int(rng.integers(1, 3)),
        )


def window_at_optimum(
    system: RoutingSystem, seconds: float = 60.0, times: float = 1.0
) -> tuple[Snapshot, Snapshot]:
    """(start, end) of a window in which all was as planned; workloads `times` as large."""
    best = fluid_optimum(system)
    pairs: dict[str, dict[str, Pair]] = {}
    rates = [float(c.rate(n)) for c, n in zip(system.curves, best.workloads, strict=True)]
    for edge, rate in enumerate(best.split):
        f, b = int(system.graph.source[edge]), int(system.graph.sink[edge])
        latency = times * best.workloads[b] / rates[b] if rates[b] else 0.0
        served = round(rate * seconds)
        row = pairs.setdefault(system.frontends[f].name, {})
        row[system.backends[b].name] = Pair(served=served, served_seconds=served * latency)
    live = _live(system)
    start = Snapshot(now=100.0, workers=1, frontends=live.frontends, backends=live.backends)
    backends = {
        name: BackendSnapshot(job_seconds=times * seconds * jobs, live=it.live)
        for (name, it), jobs in zip(live.backends.items(), best.workloads, strict=True)
    }
    end = Snapshot(
        now=100.0 + seconds,
        workers=1,
        pairs=pairs,
        frontends=live.frontends,
        backends=backends,
    )
    return start, end


def _live(system: RoutingSystem) -> Snapshot:
    names: Sequence[str] = [it.name for it in system.backends]
    frontends = {
        it.name: FrontendSnapshot(
            0, LiveFrontend(1, 0, [names[b] for b in system.graph.neighbours(f)])
        )
        for f, it in enumerate(system.frontends)
    }
    backends = {
        it.name: BackendSnapshot(
            live=backend(
                it.name,
                url="http://127.0.0.1",
                marginal_rate=1.0,
                given={"type": it.curve.type, **it.curve.parameters()},
            )
        )
        for it in system.backends
    }
    return Snapshot(frontends=frontends, backends=backends)
