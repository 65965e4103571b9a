"""Rules of health checks and polls: paths and periods; times in s, sizes in bytes."""

import math
import re
from dataclasses import dataclass, field
from typing import final
from urllib.parse import urlsplit

from isocline.errors import UsageError
from isocline.gateway.load_reports import PATHS, SERVERS

_PATH, _URL = re.compile(r"/[!-~]*"), re.compile(r"https?://[!-~]+")


@final
@dataclass(frozen=True)
class HealthCheck:
    """GET `path` of each backend, as nginx, HAProxy and Envoy do it; the defaults are HAProxy's.

    The first check decides at once; then `fall` failures in a row take a backend out and `rise`
    successes let it in again. A redirection counts by its own status, and is not followed.
    """

    path: str = "/health"  # of vLLM, SGLang, TGI and llama.cpp; Triton: /v2/health/ready
    every: float = 2.0
    timeout: float = 1.0  # from connecting to the end of the answer
    rise: int = 2
    fall: int = 3
    status: tuple[int, int] = (200, 399)  # first and last that are good

    def __post_init__(self) -> None:
        _require_path("health", self.path)
        _require_times("health", self.every, self.timeout)
        for name in ("rise", "fall"):
            if getattr(self, name) < 1:
                raise UsageError(f"health: {name} is {getattr(self, name)}; give 1 or more")
        first, last = self.status
        if not 100 <= first <= last <= 599:
            raise UsageError(
                f"health: status is {first} to {last}; give two from 100 to 599, the lower "
                "one first"
            )


@final
@dataclass(frozen=True)
class Poll:
    """Load poll: GET a model server's metrics, which have the number of its jobs."""

    server: str = "auto"  # a name of `load_reports.SERVERS`; auto: find out which one it is
    path: str = ""  # or a URL, where something else tells them; empty: where such servers have them
    every: float = 1.0
    timeout: float = 1.0
    largest: int = 2**20  # vLLM's page is 30 to 100 kB; one of many models or labels may have 1 MB

    def __post_init__(self) -> None:
        if self.path and not _is_url(self.path):
            _require_path("poll", self.path)
        _require_times("poll", self.every, self.timeout)
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


def _require_path(what: str, path: str) -> None:
    if not _PATH.fullmatch(path):
        raise UsageError(f"{what}: path {path!r} is none; give one as /health")


def _require_times(what: str, every: float, timeout: float) -> None:
    for name, seconds in (("every", every), ("timeout", timeout)):
        if not 0 < seconds < math.inf:
            raise UsageError(f"{what}: {name} is {seconds}; give a time in seconds above 0")
