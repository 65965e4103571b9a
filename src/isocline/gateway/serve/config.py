"""Settings of `isocline serve` from a system file, in the gateway's terms."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import final

from isocline.errors import UsageError
from isocline.gateway.config import ProxySettings
from isocline.gateway.core.request_cost import Unit
from isocline.gateway.health_checks import Checks
from isocline.gateway.models import ModelListing
from isocline.gateway.serve.addresses import ListenAddress
from isocline.gateway.serve.file_stamps import Stamps
from isocline.learn import Learning
from isocline.model.fleet import RoutingSystem
from isocline.model.serving_settings import Rules


@final
@dataclass(frozen=True)
class Overrides:
    """Settings of a command line, which replace the file's; None keeps the file's."""

    listen: str | None = None
    admin: str | None = None
    policy: str | None = None
    workers: int | None = None
    access_log: str | None = None


@final
@dataclass(frozen=True)
class LearningSettings:
    """Settings of curve learning.

    Attributes:
        rules: How quickly it forgets, and how it notices changes.
        file: File that keeps the curves; None: they are lost at the end.
        every: Period of writing the file, s.
        given: Whether each backend's curve is given: learning then starts from it.
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
    """All settings of a router, as plain data that is sent between processes.

    Attributes:
        path: The system file.
        system: Its model, with stand-ins for unknown parts.
        planned: Whether rates and curves are known, so that policies may follow a plan.
        policy: Policy as written on a command line.
        learning: None where curves are as given.
        models: None: `/v1/models` is routed as any other request.
        admin: None: no admin listener.
        access_log: A file, or `-` for stdout; None: none.
        drain: Time for requests under way once no more are taken, s.
        drain_delay: Time after a signal to stop in which new requests are still taken, s.
        sources: The files that this was read from, each with its stamp from before.
    """

    path: Path
    system: RoutingSystem
    planned: bool
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
    drain_delay: float = 0.0
    sources: Stamps = field(default_factory=dict)

    def require_reloadable(self, before: "Serving") -> None:
        """Raise unless all settings that only a restart can change are as before.

        Raises:
            UsageError: A listener, the admin listener, the number of workers, the access log or the
                unit in which curves are learned has changed.
        """
        units = [it.learning.unit if it.learning else None for it in (before, self)]
        for what, was, now in (
            ("learn.work", units[0] or units[1], units[1] or units[0]),
            ("listen", before.proxy.listeners, self.proxy.listeners),
            ("admin", before.admin, self.admin),
            ("workers", before.workers, self.workers),
            ("access_log", before.access_log, self.access_log),
        ):
            if was != now:
                raise UsageError(
                    f"{self.path}: serve.{what} cannot change while it runs; restart to change it"
                )
