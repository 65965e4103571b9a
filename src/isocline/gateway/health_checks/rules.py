"""Rules of health checks and polls: paths and periods; times in s, sizes in bytes."""

import math
import re
from dataclasses import dataclass, field
from typing import final
from urllib.parse import urlsplit

from isocline.errors import UsageError
from isocline.gateway.load_reports import PATHS, SERVERS
from isocline.model.serving_settings import HealthCheck, PollPeriod, require_path

_URL = re.compile(r"https?://[!-~]+")


@final
@dataclass(frozen=True)
class Poll:
    """Load poll: GET a model server's metrics, which have the number of its jobs."""

    server: str = "auto"  # a name of `load_reports.SERVERS`; auto: find out which one it is
    path: str = ""  # or a URL, where something else tells them; empty: where such servers have them
    every: float = PollPeriod.every
    timeout: float = 1.0
    largest: int = 2**20  # vLLM's page is 30 to 100 kB; one of many models or labels may have 1 MB

    def __post_init__(self) -> None:
        if self.path and not _is_url(self.path):
            require_path("poll", self.path)
        for name in ("every", "timeout"):
            if not 0 < getattr(self, name) < math.inf:
                seconds = getattr(self, name)
                raise UsageError(f"poll: {name} is {seconds}; give a time in seconds above 0")
        if self.server != "auto" and self.server not in SERVERS:
            raise UsageError(
                f"poll: server {self.server!r} is unknown; give auto, {', '.join(SERVERS)}"
            )
        if self.largest < 1:
            raise UsageError(f"poll: largest is {self.largest}; give a number of bytes above 0")

    @property
    def paths(self) -> tuple[str, ...]:
        """Paths to try, in this order."""
        if self.path:
            return (self.path,)
        return PATHS if self.server == "auto" else (SERVERS[self.server].path,)


@final
@dataclass(frozen=True)
class Checks:
    """Checks of all backends.

    Attributes:
        health: Health check; None: a backend is up until requests fail.
        polls: Polls by backend, None for one without; empty: no polls.
    """

    health: HealthCheck | None = field(default_factory=HealthCheck)
    polls: tuple[Poll | None, ...] = ()


def _is_url(path: str) -> bool:
    if not _URL.fullmatch(path):
        return False
    parts = urlsplit(path)
    try:
        return bool(parts.hostname) and parts.port != 0
    except ValueError:  # it is no number up to 65535
        return False
