"""Collection of the present state of a core, a proxy and a process, as parts of a Snapshot."""

import math
from collections.abc import Collection, Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Protocol, final
from urllib.parse import urlsplit

from isocline.gateway.config import ProxySettings
from isocline.gateway.core.candidates import NO_LIMIT
from isocline.gateway.core.core import Core
from isocline.gateway.core.curve_feedback import CurveFeedback
from isocline.gateway.core.model_memory import State
from isocline.gateway.metrics.snapshot import (
    BackendSnapshot,
    FrontendSnapshot,
    LearnedCurve,
    LiveBackend,
    LiveFrontend,
    Snapshot,
    TenantSnapshot,
)
from isocline.model.curves import Curve
from isocline.model.fleet import RoutingSystem

if TYPE_CHECKING:
    from prometheus_client import ProcessCollector


class Connector(Protocol):
    """Connections to one backend, as metrics read them."""

    opened: int

    @property
    def idle(self) -> int:
        """Number of idle connections."""


class Clients(Protocol):
    """Client connections, as metrics read them."""

    draining: bool
    refused: int

    @property
    def connections(self) -> Collection[Any]:
        """Open ones, without tunnels."""

    @property
    def tunnels(self) -> Collection[Any]:
        """Upgraded ones."""


class LiveProxy(Protocol):
    """Proxy, as metrics read it."""

    @property
    def clients(self) -> Clients:
        """Client connections."""

    @property
    def connectors(self) -> Sequence[Connector]:
        """Connections to each backend."""


def snapshot_of(
    core: Core,
    system: RoutingSystem,
    settings: ProxySettings,
    now: float,
    proxy: LiveProxy | None = None,
) -> Snapshot:
    """Collect the counts and state of a core."""
    names = [backend.name for backend in system.backends]
    connectors = proxy.connectors if proxy else None
    backends = {}
    for b, (name, address) in enumerate(zip(names, settings.backends, strict=True)):
        idle = connectors[b].idle if connectors else 0
        backends[name] = _backend(core, b, now, address.url, idle)
    frontends = {
        frontend.name: FrontendSnapshot(
            core.waiting_queue.ever[f],
            LiveFrontend(1, core.held(f), [names[b] for b in system.graph.neighbours(f)]),
        )
        for f, frontend in enumerate(system.frontends)
    }
    waiting = core.tenants.waiting()
    tenants = {
        name: TenantSnapshot(it.served, it.work, waiting.get(name, 0), it.weight)
        for name, it in core.tenants.counts.items()
    }
    if proxy is None:
        return Snapshot(frontends=frontends, backends=backends, tenants=tenants)
    return Snapshot(
        draining=int(proxy.clients.draining),
        clients=len(proxy.clients.connections),
        tunnels=len(proxy.clients.tunnels),
        refused=proxy.clients.refused,
        frontends=frontends,
        backends=backends,
        tenants=tenants,
    )


def _backend(core: Core, backend: int, now: float, url: str, idle: int) -> BackendSnapshot:
    workloads, ejection = core.workloads, core.availability.ejections.records[backend]
    memory = None if core.residency is None else core.residency.memories[backend]
    states = [] if memory is None else [copy.state for copy in memory.copies.values()]
    return BackendSnapshot(
        loads=memory.loads if memory else 0,
        failed_loads=memory.failures if memory else 0,
        evictions=memory.evictions if memory else 0,
        missing=memory.surprises if memory else 0,
        resident=states.count(State.RESIDENT),
        loading=states.count(State.QUEUED) + states.count(State.LOADING),
        refusals=dict(core.refusals[backend]),
        ejections=ejection.times,
        job_seconds=workloads.job_seconds(backend, now),
        reports=workloads.reports[backend],
        surprises=workloads.surprises[backend],
        prompt_tokens=core.prompts.prompt_tokens[backend] if core.prompts else 0,
        cached_tokens=core.prompts.cached_tokens[backend] if core.prompts else 0,
        curve_changes=len(_speeds(core, backend)),
        live=_live(core, backend, now, url, idle),
    )


def _live(core: Core, backend: int, now: float, url: str, idle: int) -> LiveBackend:
    jobs, age = core.workload(backend, now)
    flags, limit = core.availability.candidates, core.availability.limits[backend]
    feedback = core.feedback
    curve: Curve = feedback.curve(backend) if feedback else core.policy_runtime.curves[backend]
    return LiveBackend(
        workers=1,
        url=without_credentials(url),
        in_flight=core.in_flight(backend),
        up=int(flags.up[backend]),
        draining=int(flags.draining[backend]),
        ejected=int(flags.ejected[backend]),
        full=int(flags.full[backend]),
        workload=jobs,
        age=age if math.isfinite(age) else None,
        limit=limit if limit != NO_LIMIT else None,
        closed=core.availability.limits.pressure.closed(backend, now),
        idle_connections=idle,
        service_rate=float(curve.rate(jobs)),
        marginal_rate=float(curve.marginal(jobs)),
        given=None if feedback else {"type": curve.type, **curve.parameters()},
        learned=_learned(core, feedback, backend) if feedback else None,
        weight=core.policy_runtime.weights[backend],
        max_share=flags.shares[backend],
        frozen=int(feedback is not None and feedback.is_frozen(backend)),
        round_trip=core.distances and core.distances.trips.least[backend],
        distance=core.distances and core.distances.trips.distance(backend),
    )


def _speeds(core: Core, backend: int) -> list[float]:
    """Speeds that a backend was found to have changed to, as shares of those before."""
    changes = core.feedback.learner.changes if core.feedback else ()
    return [change.speed for change in changes if change.backend == backend]


def _learned(core: Core, feedback: CurveFeedback, backend: int) -> LearnedCurve:
    learner, curve = feedback.learner, feedback.curve(backend)
    fitted = learner.fitted(backend)
    # One that was not seen says what is believed of it: it counts for as much as one completion.
    weight = fitted.completions + learner.learning.prior.completions
    points = {n: (rate * weight, weight) for n, rate in curve.points if n > 0}
    seen = float(fitted.known.completions.sum())
    assumed = max(fitted.completions - seen, 0.0)
    speed = next(reversed(_speeds(core, backend)), None)
    return LearnedCurve(seen, fitted.cut, points, feedback.counts(backend), assumed, speed)


@lru_cache(maxsize=4096)
def without_credentials(url: str) -> str:
    """Remove `user:password@` from a URL."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


@final
class Opened:
    """Connections opened to each backend, ever: a replaced connector passes its count on."""

    def __init__(self) -> None:
        self._connectors: dict[str, Connector] = {}
        self._before: dict[str, int] = {}

    def by(self, names: Collection[str], proxy: LiveProxy | None) -> Snapshot:
        """Return the counts; `names` of the backends in their order."""
        connectors = proxy.connectors if proxy else ()
        for name, connector in zip(names, connectors, strict=bool(connectors)):
            last = self._connectors.get(name, connector)
            if last is not connector:
                self._before[name] = self._before.get(name, 0) + last.opened
            self._connectors[name] = connector
        return Snapshot(
            backends={
                name: BackendSnapshot(opened=connector.opened + self._before.get(name, 0))
                for name, connector in self._connectors.items()
            }
        )

    def forget(self, name: str) -> int:
        """Forget a backend that is gone; returns its count."""
        connector = self._connectors.pop(name, None)
        return self._before.pop(name, 0) + (connector.opened if connector else 0)


def usage_now() -> dict[str, float]:
    """Return processor time, memory and files of this process, by Prometheus' names."""
    return {
        sample.name: sample.value for family in _process().collect() for sample in family.samples
    }


@cache
def _process() -> "ProcessCollector":
    from prometheus_client import ProcessCollector  # noqa: PLC0415 - its registry starts at import

    return ProcessCollector(registry=None)
