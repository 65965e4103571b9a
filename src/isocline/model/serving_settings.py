"""Settings of serving that a system file gives as groups of keys; times in s, sizes in bytes.

Each setting is defined only here. The defaults suit a router in front of OpenAI-compatible servers;
where a number is not obvious, a comment derives it.
"""

import math
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

    seconds: float = setting(30.0, "longest wait of a request, after which it gets 504", **_TIME)
    most: int = setting(
        1024, "most requests waiting at each frontend; further ones get 503", unit="requests", ge=0
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
    window: float = setting(10.0, "time over which `rate` is measured", **_TIME)
    first: float = setting(5.0, "first ejection; each further one takes twice as long", **_TIME)
    longest: float = setting(300.0, "longest ejection", **_TIME)
    floor: float = setting(0.5, "share of its backends that a frontend keeps", **_SHARE)
    chance: float = setting(
        CHANCE,
        "greatest probability with which more refusals than the peers' may be chance",
        **_SHARE,
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
        "attempts at one request, including the first",
        ge=1,
        remedy="give 1 for no retries, or more",
    )
    share: float = setting(0.2, "retries as a share of the requests within `window`", **_SHARE)
    least: float = setting(
        1.0,
        "retries allowed in addition to this share",
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
        1.0, "pause after a refusal without a time, by a backend without other jobs", **_TIME
    )
    # As long as a request may be held by default, so that those held when it closes may still be
    # served.
    longest: float = setting(
        30.0, "longest of these pauses, and of those that backends request", **_TIME
    )
    too_many_requests: Literal["backend", "client"] = setting(
        "backend", "subject of a 429; `client`: it is passed on like any other 4xx"
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
class SharingRule:
    """Order of requests that wait: by priority, and among tenants by weight.

    A tenant that floods the router costs the others no more than its weight: each gets places in
    proportion to its weight, and where the queue is full the tenant with most requests in it, for
    its weight, gives way.
    """

    tenant: str | None = setting(
        None,
        "tenant of a request: `key` for the name of its API key, or the name of a header; by "
        "default there is one tenant",
    )
    weights: Mapping[str, float] = setting(
        {}, "mapping from a tenant's name, or a shell-style pattern, to its weight; others have 1"
    )
    priority: str | None = setting(
        None,
        "name of a header with a whole number from -1000 to 1000, 0 if it is missing; of waiting "
        "requests, those with the highest number go first",
    )

    def __post_init__(self) -> None:
        for name in (self.tenant, self.priority):
            if name is not None and _TOKEN.fullmatch(name) is None:
                raise UsageError(f"sharing: {name!r} is no name of a header; give one as x-tenant")
            if name is not None and name.lower() in _KEY_HEADERS:
                raise UsageError(f"sharing: {name} holds a secret; give tenant: key")
        for name, weight in self.weights.items():
            if not (math.isfinite(weight) and weight > 0):
                raise UsageError(f"sharing: weights: {name}: {weight}; give a number above 0")
        if self.weights and self.tenant is None:
            raise UsageError("sharing: weights without tenant; add tenant: key, or a header's name")
        if self.tenant is None and self.priority is None:
            raise UsageError("sharing: give tenant, priority or both")


@final
@dataclass(frozen=True)
class KeyLimit:
    """Limits of an API key, each over a minute."""

    requests: float | None = setting(None, "requests per minute", unit="requests", gt=0)
    tokens: float | None = setting(
        None, "tokens per minute, of prompts and of outputs", unit="tokens", gt=0
    )

    def __post_init__(self) -> None:
        require_within_bounds("key_limits", self)
        if self.requests is None and self.tokens is None:
            raise UsageError("key_limits: give requests, tokens or both, per minute")


@final
@dataclass(frozen=True)
class Rules:
    """All rules of the core; the defaults suit a fleet on one network."""

    holding: HoldingRule = setting(
        HoldingRule(), "requests wait at their frontend while all its backends are at their peak"
    )
    ejection: EjectionRule = setting(
        EjectionRule(),
        "temporary removal of a backend that fails, or refuses requests that its peers accept",
    )
    retries: RetryRule = setting(
        RetryRule(), "repeated sending of requests, only where nothing can happen twice"
    )
    refusals: RefusalRule = setting(
        RefusalRule(),
        "handling of backends that report themselves full, see "
        "[refusals](serve-overload.md#when-a-backend-refuses)",
    )
    sharing: SharingRule | None = setting(
        None,
        "order of waiting requests, by priority and tenant, or `off`; "
        "see [sharing](serve-overload.md#sharing)",
    )
    # Polls come about every second; after ten of them the backend's metrics are taken to be gone.
    oldest_report: float = setting(
        10.0, "age at which a load report is ignored, in favour of own counts", **_TIME
    )
    stop_at_peak: bool = setting(
        True,
        "hold requests rather than exceed the last point of a given table, or the measured peak of "
        "a learned curve",
    )
    # Its load doubles in each service time at most.
    slow_start: int = setting(
        0,
        "a backend that returns holds at most one job more than it has since finished, up to this "
        "number; 0: no such limit",
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

    header: float = setting(15.0, "from the beginning of a request to the end of its head", **_TIME)
    keep_alive: float = setting(75.0, "idle client connection (nginx's default)", **_TIME)
    connect: float = setting(3.0, "connecting to a backend, including TLS", **_TIME)
    # An LLM that does not stream says nothing until it is done.
    first_byte: float = setting(600.0, "until a backend begins its response", **_TIME)
    idle: float = setting(300.0, "no byte in either direction during a message", **_TIME)
    total: float = setting(3600.0, "from the head of a request to the end of its response", **_TIME)
    tunnel: float = setting(3600.0, "no byte on an upgraded connection", **_TIME)
    # Below the 5 s after which uvicorn closes it.
    pool: float = setting(4.0, "idle backend connection", **_TIME)
    # So that a reset does not destroy the answer.
    linger: float = setting(2.0, "further reading after an early answer", **_TIME)

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
    body: int = setting(256 * 2**20, "body of a request, both as received and decoded", **_SIZE)
    # Before one more that is read for its model is refused: four of the longest.
    bodies: int = setting(2**30, "bodies kept in memory, of all requests of a process", **_SIZE)
    replay: int = setting(65_536, "part of a request's body kept for retries", **_SIZE)
    buffer: int = setting(
        65_536, "written but not yet read by the peer, before the source is paused", **_SIZE
    )
    pool: int = setting(
        256,
        "idle connections kept per backend; 0: each request opens a new one",
        unit="connections",
        ge=0,
    )
    connections: int = setting(10_000, "client connections per process", unit="connections", ge=1)

    def __post_init__(self) -> None:
        _require_limits(self)
        if self.bodies < self.body:
            raise UsageError(
                f"bodies is {self.bodies}, less than body, {self.body}, which one request "
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
    path: str = setting("/health", "path of the request", pattern="^/")
    every: float = setting(2.0, "period of checks", **_TIME)
    timeout: float = setting(1.0, "from the connection to the end of the answer", **_TIME)
    rise: int = setting(2, "successes in a row after which a backend is up", ge=1)
    fall: int = setting(3, "failures in a row after which a backend is down", ge=1)
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

    every: float = setting(1.0, "interval at which the backends' metrics are read", **_TIME)


@final
@dataclass(frozen=True)
class Cors:
    """Rules on calls from browsers (cross-origin resource sharing)."""

    origins: tuple[str, ...] = field(
        metadata=described(
            "scheme, host and port of pages that may call, or shell-style patterns; `*`: all",
            min_length=1,
        )
    )
    methods: tuple[str, ...] = setting(
        ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"), "methods that a page may use"
    )
    headers: tuple[str, ...] = setting(
        ("*",), "header fields that a page may send; `*`: all that it requests, including keys"
    )
    expose: tuple[str, ...] = setting(
        ("*",), "response headers that a page may read; with `credentials`, `*` allows none"
    )
    max_age: float = setting(
        600.0, "time for which a browser may remember the answer to a preflight", unit="s", ge=0
    )
    credentials: bool = setting(
        False, "whether pages may send cookies; not with origins that match every site"
    )

    def __post_init__(self) -> None:
        for name in ("methods", "headers", "expose"):
            for token in getattr(self, name):
                if _TOKEN.fullmatch(token) is None:
                    raise UsageError(f"cors: {name}: {token!r} is no name of one; give a token")
        for origin in self.origins:
            if origin != "*" and "://" not in origin and origin != "null":
                raise UsageError(
                    f"cors: origins: {origin!r} is not an origin; give scheme://host, with any "
                    "port other than the default"
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

    fresh: float = setting(5.0, "age at which answers of backends are refreshed", **_TIME)
    timeout: float = setting(2.0, "limit on the time of a backend's answer", **_TIME)
    kept: float = setting(
        60.0, "time for which the last answer of a silent backend is shown", **_TIME
    )
    backends: bool = setting(True, "include the names of the backends that have a model")

    def __post_init__(self) -> None:
        require_within_bounds("models", self)


@final
@dataclass(frozen=True)
class AdminCall:
    """Call to a backend; `{model}` in path and body stands for the name of a model."""

    path: str
    method: Literal["POST", "PUT", "DELETE", "GET"] = "POST"
    body: Mapping[str, object] = field(default_factory=dict)


@final
@dataclass(frozen=True)
class ZoneDistances:
    """Distances of zones: what a request counts as taking longer where its backend is far."""

    measured: bool = setting(
        False,
        "measure the round trips by health checks, and add `zone` and `region` to what they are "
        "longer by",
    )
    zone: float = setting(
        0.0, "at a backend in another zone, or in another zone of the same region", unit="s", ge=0
    )
    region: float | None = setting(
        None, "at one in another region; by default as `zone`", unit="s", ge=0
    )

    def __post_init__(self) -> None:
        require_within_bounds("distance", self)

    @property
    def to_region(self) -> float:
        """Distance of another region, s."""
        return self.zone if self.region is None else self.region


@final
@dataclass(frozen=True)
class ResidencyRule:
    """Models of backends with memory for some: how they are told, loaded and unloaded."""

    source: Literal["models", "metrics", "calls"] = "calls"
    load: AdminCall | None = None  # None: backends load what requests ask for, or fail
    unload: AdminCall | None = None  # None: backends drop what was used the longest time ago
    every: float = 1.0  # s between two questions
    timeout: float = 120.0  # s, of a call


@final
@dataclass(frozen=True)
class Tracing:
    """Traces and metrics for OpenTelemetry; what is not given is as its `OTEL_*` variables say."""

    endpoint: str | None = setting(
        None,
        "base URL of a collector for OTLP over HTTP, to which `/v1/traces` and `/v1/metrics` are "
        "added; by default `OTEL_EXPORTER_OTLP_ENDPOINT`, or `http://localhost:4318`",
    )
    sample: float | None = setting(
        None,
        "share of the traces beginning here that are recorded, 0 to 1; a trace that began earlier "
        "is recorded if its caller's span was; by default `OTEL_TRACES_SAMPLER`, or all",
        **_SHARE,
    )
    service: str | None = setting(
        None, "`service.name`; by default `OTEL_SERVICE_NAME`, or `isocline`"
    )
    headers: Mapping[str, str] = setting(
        {}, "mapping from headers for the collector to environment variables with their values"
    )
    continues: bool = setting(
        True,
        "continue the trace named in a request; `false`: each request begins a new one, for "
        "routers open to strangers",
    )
    usage: bool = setting(
        False,
        "read token usage in responses, for `gen_ai.usage.*` and the time per output token; takes "
        "2 us per piece of a stream",
    )

    def __post_init__(self) -> None:
        if self.endpoint is not None and not _COLLECTOR.fullmatch(self.endpoint):
            raise UsageError(
                f"tracing: endpoint: {self.endpoint!r} is no URL to send to; give "
                "http://HOST:PORT or https://HOST:PORT, with a path if it has one"
            )
        require_within_bounds("tracing", self)
        for name in self.headers:
            if _TOKEN.fullmatch(name) is None:
                raise UsageError(f"tracing: headers: {name!r} is no name of a header")


@final
@dataclass(frozen=True)
class PickerSettings:
    """Answers of an endpoint picker, `isocline serve --plane picker`."""

    endpoints: int = setting(
        1,
        "endpoints in each answer, in order of preference; more than 1 only for data planes that "
        "go down the list",
        unit="endpoints",
        ge=1,
    )
    conformance: bool = setting(
        False,
        "obey and set the headers of the conformance tests of the Gateway API inference extension",
    )

    def __post_init__(self) -> None:
        require_within_bounds("picker", self)


def require_path(what: str, path: str) -> None:
    """Raise UsageError unless a path is valid in a request."""
    if not _PATH.fullmatch(path):
        raise UsageError(f"{what}: path {path!r} is invalid; give one such as /health")


def origins_pattern(origins: tuple[str, ...]) -> re.Pattern[str]:
    """Compile patterns of origins.

    Scheme and host are case-insensitive (RFC 6454, Section 4), and browsers send lower case.
    """
    return re.compile("|".join(translate(origin.lower()) for origin in origins) or r"(?!)")


_PATH = re.compile(r"/[!-~]*")
_COLLECTOR = re.compile(r"https?://[^/?#@\s]+(/[^?#\s]*)?")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_KEY_HEADERS = ("authorization", "x-api-key")
_STRANGERS = ("https://stranger.invalid", "http://stranger.invalid")  # no page is there


def _require_limits(limits: TimeLimits | SizeLimits) -> None:
    for name, value, _ in outside(limits):
        raise UsageError(f"limit {name} = {value!r}: give a number above 0")
