"""Settings of serving that a system file gives as groups of keys; times in s, sizes in bytes.

Each setting is defined here and nowhere else. The defaults are those that a careful operator would
choose before OpenAI-compatible servers; where the number is not plain, a comment derives it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import translate
from typing import Literal, final

from isocline.errors import UsageError
from isocline.model.setting import described, outside, require_within_bounds, setting

# Bounds of common kinds of settings.
_TIME = {"unit": "s", "gt": 0}
_SIZE = {"unit": "bytes", "ge": 1}
_SHARE = {"ge": 0, "le": 1}

# That one refusal ejects a backend which refuses as its peers do. Of three backends, loaded alike,
# one that refuses everything is out after 7 refusals, of two after 10. In 54 simulations of 20 000
# requests each (three loads; like and unlike backends), of which a twentieth, a third or two thirds
# were bad ones, at random, in turns, by sevens or in bursts, it ejected none; 1e-4 did twice.
CHANCE = 1e-5


@final
@dataclass(frozen=True)
class HoldingRule:
    """Holding: requests wait at their frontend while all its backends are at their peak."""

    seconds: float = setting(30.0, "longest wait of a request, then 504", **_TIME)
    most: int = setting(
        1024, "requests that wait at each frontend; beyond them 503", unit="requests", ge=0
    )

    def __post_init__(self) -> None:
        require_within_bounds("holding", self)


@final
@dataclass(frozen=True)
class EjectionRule:
    """Ejection of a backend that fails, as Envoy's outlier detection does.

    After `failures` in a row, or where a share of `rate` of at least `least` requests within
    `window` failed: no connection, a broken or late response, or 502, 503, 504. It stays out for
    `first` s, and twice as long each time it fails again soon after, up to `longest`. A frontend
    keeps at least `floor` of its backends that are up.

    A backend that refuses (4xx, 500 and others) what its peers accept is ejected as well, if its
    refusals would be chance with a probability of at most `chance` (`peer_comparison`).
    """

    failures: int = setting(5, "failures in a row that eject a backend", ge=1)
    rate: float = setting(0.5, "share of failed requests that ejects a backend", **_SHARE)
    # At 0.5 a backend that fails a fifth is ejected once in 1800 requests.
    least: int = setting(20, "requests within `window` before `rate` counts", unit="requests", ge=1)
    window: float = setting(10.0, "time over which `rate` is taken", **_TIME)
    first: float = setting(5.0, "first ejection; each further one takes twice as long", **_TIME)
    longest: float = setting(300.0, "longest ejection", **_TIME)
    floor: float = setting(0.5, "share of its backends that a frontend keeps", **_SHARE)
    chance: float = setting(
        CHANCE, "largest probability that more refusals than its peers' are chance", **_SHARE
    )

    def __post_init__(self) -> None:
        require_within_bounds("ejection", self)


@final
@dataclass(frozen=True)
class RetryRule:
    """Limits on retries, as Finagle's retry budget has them.

    Within any `window`, retries are at most `share` of the requests and `least` per second more, so
    that a failing fleet does not get several times the load.
    """

    attempts: int = setting(
        3,
        "attempts of one request, the first included",
        ge=1,
        remedy="give 1 for no retries, or more",
    )
    share: float = setting(0.2, "retries as a share of the requests within `window`", **_SHARE)
    least: float = setting(
        1.0,
        "retries allowed beside this share",
        unit="1/s",
        ge=0,
        remedy="give a rate per second, 0 or more",
    )
    window: float = setting(10.0, "time over which retries are counted", **_TIME)

    def __post_init__(self) -> None:
        require_within_bounds("retries", self)


@final
@dataclass(frozen=True)
class RefusalRule:
    """Limits on a backend that reports itself full (`concurrency_limits`).

    If `too_many_requests` is `client`, 429 concerns one client, as with a quota for each key, and
    is a refusal like any other 4xx: one client must not close a backend for all.
    """

    first: float = setting(
        1.0, "pause after a refusal that names no time, by a backend without other jobs", **_TIME
    )
    # As long as a request may be held by default, so that those held when it closes may still be
    # served.
    longest: float = setting(
        30.0, "longest of these pauses, and of those that a backend asks for", **_TIME
    )
    too_many_requests: Literal["backend", "client"] = setting(
        "backend", "whom 429 concerns; `client`: it is passed on like any other 4xx"
    )

    def __post_init__(self) -> None:
        require_within_bounds("refusals", self)
        if self.first > self.longest:
            raise UsageError(
                f"refusals: first is {self.first} and longest is {self.longest}; "
                "give a first pause that is not above the longest"
            )


@final
@dataclass(frozen=True)
class Rules:
    """All rules of the core; the defaults suit a fleet on one network."""

    holding: HoldingRule = setting(
        HoldingRule(), "requests wait at their frontend while all its backends are at their peak"
    )
    ejection: EjectionRule = setting(
        EjectionRule(),
        "a backend that fails, or refuses requests that its peers accept, gets none for a while",
    )
    retries: RetryRule = setting(
        RetryRule(), "requests are sent again, only where nothing can happen twice"
    )
    refusals: RefusalRule = setting(
        RefusalRule(),
        "a backend that reports itself full gets no more for a while, see "
        "[below](#when-a-backend-refuses)",
    )
    # Polls come about every second; after ten of them the backend's metrics are taken to be gone.
    oldest_report: float = setting(
        10.0, "age at which a load report is ignored; own counts are then all there is", **_TIME
    )
    stop_at_peak: bool = setting(
        True,
        "hold requests rather than send past the last point of a given table, or the measured fall "
        "of a learned curve",
    )
    # Its load doubles in each service time at most.
    slow_start: int = setting(
        0,
        "a backend that comes back holds at most one job more than it has finished since, up to "
        "this; 0: no such limit",
        unit="jobs",
        ge=0,
        remedy="give 0 for none, or more",
    )

    def __post_init__(self) -> None:
        require_within_bounds("rules", self)


@final
@dataclass(frozen=True)
class TimeLimits:
    """Time limits of the parts of an exchange, s."""

    header: float = setting(
        15.0, "from the first sign of a request to the end of its head", **_TIME
    )
    keep_alive: float = setting(75.0, "an idle client connection, as nginx", **_TIME)
    connect: float = setting(3.0, "connecting to a backend, TLS included", **_TIME)
    # An LLM that does not stream says nothing until it is done.
    first_byte: float = setting(600.0, "until a backend begins its response", **_TIME)
    idle: float = setting(300.0, "no byte in either direction, within a message", **_TIME)
    total: float = setting(3600.0, "from the head of a request to the end of its response", **_TIME)
    tunnel: float = setting(3600.0, "no byte in an upgraded connection", **_TIME)
    # Below the 5 s after which uvicorn closes it.
    pool: float = setting(4.0, "an idle backend connection", **_TIME)
    # So that a reset does not destroy the answer.
    linger: float = setting(2.0, "reading on after an early answer", **_TIME)

    def __post_init__(self) -> None:
        _require_limits(self)

    @property
    def shortest(self) -> float:
        """Shortest limit, s."""
        return float(min(vars(self).values()))


@final
@dataclass(frozen=True)
class SizeLimits:
    """Size limits of the parts of a message, in bytes unless said otherwise."""

    head: int = setting(32_768, "head of a request or a response", **_SIZE)
    header_count: int = setting(100, "fields of a head", unit="fields", ge=1)
    body: int = setting(
        256 * 2**20, "body of a request, as it comes and once it is decoded", **_SIZE
    )
    # Before one more that is read for its model is refused: four of the longest.
    bodies: int = setting(2**30, "bodies kept in memory, of all requests of a process", **_SIZE)
    replay: int = setting(65_536, "kept of a request's body so that it can be sent again", **_SIZE)
    buffer: int = setting(
        65_536, "written and not yet taken by the peer, before its source is paused", **_SIZE
    )
    pool: int = setting(
        256,
        "idle connections kept for each backend; 0: each request gets a new one",
        unit="connections",
        ge=0,
    )
    connections: int = setting(
        10_000, "client connections of each process", unit="connections", ge=1
    )

    def __post_init__(self) -> None:
        _require_limits(self)
        if self.bodies < self.body:
            raise UsageError(
                f"limit bodies = {self.bodies} is less than body = {self.body}, which one request "
                "may have; give more"
            )


@final
@dataclass(frozen=True)
class HealthCheck:
    """GET `path` of each backend, as nginx, HAProxy and Envoy do it; the defaults are HAProxy's.

    The first check decides at once; then `fall` failures in a row take a backend out and `rise`
    successes let it in again. A redirection counts by its own status, and is not followed.
    """

    # Of vLLM, SGLang, TGI and llama.cpp; Triton: /v2/health/ready.
    path: str = setting("/health", "path that is asked for", pattern="^/")
    every: float = setting(2.0, "period of checks", **_TIME)
    timeout: float = setting(1.0, "from connecting to the end of the answer", **_TIME)
    rise: int = setting(2, "successes in a row that let a backend in again", ge=1)
    fall: int = setting(3, "failures in a row that take a backend out", ge=1)
    status: tuple[int, int] = (200, 399)  # first and last that are good; no key of a file

    def __post_init__(self) -> None:
        require_path("health", self.path)
        require_within_bounds("health", self)
        first, last = self.status
        if not 100 <= first <= last <= 599:
            raise UsageError(
                f"health: status is {first} to {last}; give two from 100 to 599, the lower "
                "one first"
            )


@final
@dataclass(frozen=True)
class PollPeriod:
    """Period of polls, the same for all backends."""

    every: float = setting(1.0, "period in which the backends' metrics are read", **_TIME)


@final
@dataclass(frozen=True)
class Cors:
    """Rules on calls from browsers (cross-origin resource sharing)."""

    origins: tuple[str, ...] = field(
        metadata=described(
            "scheme, host and port of the pages that may call, or shell-style patterns of them; "
            "`*`: all",
            min_length=1,
        )
    )
    methods: tuple[str, ...] = setting(
        ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"), "methods that a page may use"
    )
    headers: tuple[str, ...] = setting(
        ("*",), "fields that it may send; `*`: whichever it asks for, keys included"
    )
    expose: tuple[str, ...] = setting(
        ("*",), "response headers that it may read; with `credentials`, `*` stands for none"
    )
    max_age: float = setting(
        600.0, "time for which a browser may remember the answer to a preflight", unit="s", ge=0
    )
    credentials: bool = setting(
        False, "pages may send cookies; not with origins that every site meets"
    )

    def __post_init__(self) -> None:
        for name in ("methods", "headers", "expose"):
            for token in getattr(self, name):
                if _TOKEN.fullmatch(token) is None:
                    raise UsageError(f"cors: {name}: {token!r} is no name of one; give a token")
        for origin in self.origins:
            if origin != "*" and "://" not in origin and origin != "null":
                raise UsageError(
                    f"cors: origins: {origin!r} is none; give scheme://host, with a port if it is "
                    "not the usual one"
                )
            if origin.rstrip("/") != origin or origin.count("/") > 2:
                raise UsageError(f"cors: origins: {origin!r} has a path; leave it out")
        if self.credentials and any(map(origins_pattern(self.origins).match, _STRANGERS)):
            raise UsageError(
                "cors: credentials with origins that every site meets would let every site act in "
                "the name of its visitors; name the origins, or leave credentials out"
            )


@final
@dataclass(frozen=True)
class ModelListing:
    """Settings of `GET /v1/models`."""

    fresh: float = setting(5.0, "age at which answers of the backends are renewed", **_TIME)
    timeout: float = setting(2.0, "limit on a backend's answer", **_TIME)
    kept: float = setting(
        60.0, "time for which the last answer of a silent backend is shown", **_TIME
    )
    backends: bool = setting(True, "tell clients the names of the backends that have a model")

    def __post_init__(self) -> None:
        require_within_bounds("models", self)


@final
@dataclass(frozen=True)
class Match:
    """Conditions of a frontend: it takes a request that meets all of those given."""

    listener: str | None = setting(None, "name of the listener")
    host: str | None = setting(
        None, "host without port, a shell-style pattern: `*.example.org`; case does not matter"
    )
    path: str = setting(
        "/",
        "prefix that ends at a slash or at the path's end: /v1 takes /v1/models, not /v10",
        pattern="^/",
    )
    headers: Mapping[str, str] = setting({}, "name to shell-style pattern of the value")
    model: str | None = setting(None, "shell-style pattern of the `model` field of the body")


def require_path(what: str, path: str) -> None:
    """Raise UsageError unless a path can stand in a request."""
    if not _PATH.fullmatch(path):
        raise UsageError(f"{what}: path {path!r} is none; give one as /health")


def origins_pattern(origins: tuple[str, ...]) -> re.Pattern[str]:
    """Compile patterns of origins.

    Scheme and host have no case (RFC 6454, Section 4), and browsers send them in lower case.
    """
    return re.compile("|".join(translate(origin.lower()) for origin in origins) or r"(?!)")


_PATH = re.compile(r"/[!-~]*")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_STRANGERS = ("https://stranger.invalid", "http://stranger.invalid")  # no page is there


def _require_limits(limits: TimeLimits | SizeLimits) -> None:
    for name, value, _ in outside(limits):
        raise UsageError(f"limit {name} = {value!r}: give a number above 0")
