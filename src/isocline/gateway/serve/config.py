"""Settings of `isocline serve`, read from a system file into the gateway's types."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, final

from isocline.errors import UsageError
from isocline.gateway.cache_events import CacheEventSource
from isocline.gateway.config import ProxySettings
from isocline.gateway.core.request_cost import Unit
from isocline.gateway.core.zones import Zones
from isocline.gateway.file_stamps import Stamps
from isocline.gateway.health_checks import Checks
from isocline.gateway.models import ModelListing
from isocline.gateway.serve.addresses import ListenAddress
from isocline.gateway.serve.controls import Controls, ControlSettings
from isocline.gateway.telemetry.environment import TelemetrySettings
from isocline.learn import Learning
from isocline.model.fleet import RoutingSystem
from isocline.model.serving_settings import ResidencyRule, Rules
from isocline.model.systemfile.discovery_schema import DiscoverEntry
from isocline.model.systemfile.serving import Served

LogFormat = Literal["text", "json"]
Fit = Callable[[Served, "Serving"], "Serving"]
"""Settings as a plane serves them; raises an IsoclineError where it cannot do what a file asks."""


@final
@dataclass(frozen=True)
class Overrides:
    """Settings from the command line; each replaces the file's, None keeps it.

    Attributes:
        plane: What carries the requests.
        fit: Fits the settings of a file to a plane of others.
    """

    listen: str | None = None
    admin: str | None = None
    policy: str | None = None
    workers: int | None = None
    access_log: str | None = None
    log_format: LogFormat | None = None
    plane: str = "built-in"
    fit: Fit | None = None


@final
@dataclass(frozen=True)
class LearningSettings:
    """Settings of curve learning.

    Attributes:
        rules: How quickly the learner forgets, and how it detects changes.
        file: File that keeps the curves across restarts; None: they are lost at exit.
        every: Interval between writes of the file, s.
        given: For each backend, whether the file gives a curve from which learning starts.
        unit: Unit of work, in which rates are learned.
    """

    rules: Learning
    file: Path | None
    every: float
    given: tuple[bool, ...]
    unit: Unit = "requests"


@final
@dataclass(frozen=True)
class Serving:
    """All settings of a router, as plain data that can be sent between processes.

    Attributes:
        path: The system file.
        system: Model of the system, with placeholders for rates and curves that are not given.
        unplanned: Description of a rate or curve that the file does not give and without which
            policies have no plan to follow; empty: the file gives all of them.
        policy: Policy as written on a command line.
        learning: Settings of curve learning; None: curves are used as given.
        models: None: `/v1/models` is routed as any other request.
        admin: Address of the admin listener; None: no such listener.
        access_log: Path of a file, or `-` for stdout; None: no access log.
        cache_events: Where backends publish their cache events, by backend number.
        residency: How models are told, loaded and unloaded; None: every backend holds all.
        zones: Zones of frontends and backends, and their distances; None: all are as near.
        log_format: Form of the log on stderr.
        telemetry: Collectors of traces and metrics; None: neither is exported.
        drain: Time that requests in flight get to finish once no new ones are accepted, s.
        control: Operators' keys, and the controls that they may use; None: no control calls.
        controls: Controls of the backends, set by the file and by operators.
        drain_delay: Time after a stop signal in which new requests are still accepted, s.
        sources: Files from which the settings were read, each with its stamp before reading.
        notes: Remarks about the file for the operator.
        discover: Discovery sources; backends already found are part of `system`.
    """

    path: Path
    system: RoutingSystem
    unplanned: str
    policy: str
    proxy: ProxySettings
    rules: Rules
    checks: Checks
    learning: LearningSettings | None
    models: ModelListing | None
    admin: ListenAddress | None
    workers: int
    access_log: str | None
    drain: float
    control: ControlSettings | None = None
    controls: Controls = field(default_factory=Controls)
    drain_delay: float = 0.0
    cache_events: dict[int, CacheEventSource] = field(default_factory=dict)
    residency: ResidencyRule | None = None
    zones: Zones | None = None
    log_format: LogFormat = "text"
    telemetry: TelemetrySettings | None = None
    sources: Stamps = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    discover: tuple[DiscoverEntry, ...] = ()

    def require_reloadable(self, before: "Serving") -> None:
        """Raise if a setting differs that only a restart can change.

        Raises:
            UsageError: A listener, the admin listener, the number of workers, the access log, the
                form of the log, tracing or the unit in which curves are learned has changed.
        """
        units = [it.learning.unit if it.learning else None for it in (before, self)]
        for what, was, now in (
            ("learn.work", units[0] or units[1], units[1] or units[0]),
            ("listen", before.proxy.listeners, self.proxy.listeners),
            ("admin", before.admin, self.admin),
            ("workers", before.workers, self.workers),
            ("access_log", before.access_log, self.access_log),
            ("log_format", before.log_format, self.log_format),
            ("tracing: endpoint, service or headers", before.telemetry, self.telemetry),
        ):
            if was != now:
                raise UsageError(
                    f"{self.path}: serve.{what} cannot change in a running router; restart it"
                )
