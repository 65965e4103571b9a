"""Settings of telemetry, from the system file and OpenTelemetry's environment variables.

https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/ and
https://opentelemetry.io/docs/specs/otel/protocol/exporter/. The file takes precedence over a
variable, and a variable over the default.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final
from urllib.parse import unquote, urlsplit

from isocline.errors import UsageError
from isocline.gateway.config import Sampling
from isocline.model.serving_settings import Tracing

_PREFIX = "OTEL_EXPORTER_OTLP_"
_LOCAL = "http://localhost:4318"  # where a collector listens by default
_SERVICE = "isocline"


@final
@dataclass(frozen=True)
class Collector:
    """Collector of one kind of telemetry.

    Attributes:
        url: Full URL.
        headers: Additional header fields; values may be secret.
        timeout: Limit on the time of one try, s.
        gzip: Whether bodies are compressed.
        ca_file: Certificates to trust; None: the system's.
    """

    url: str
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    timeout: float = 10.0
    gzip: bool = False
    ca_file: str | None = None


@final
@dataclass(frozen=True)
class TelemetrySettings:
    """Settings of the export.

    Attributes:
        spans: Collector of spans; None: none are exported.
        metrics: Collector of metrics; None: none are exported.
        resource: Resource attributes of the process, including `service.name`.
        delay: Longest time that a span waits before it is sent, s.
        batch: Requests whose spans are sent together.
        queue: Most requests that wait; further ones are dropped.
        patience: Time after which a batch is given up, s.
        every: Period of metrics, s.
        delta: Whether metrics cover the last period; otherwise, all time since the start.
    """

    spans: Collector | None
    metrics: Collector | None
    resource: tuple[tuple[str, str], ...] = (("service.name", _SERVICE),)
    delay: float = 5.0
    batch: int = 512
    queue: int = 2048
    patience: float = 30.0
    every: float = 60.0
    delta: bool = False


def telemetry_of(tracing: Tracing, environment: Mapping[str, str]) -> TelemetrySettings:
    """Return the settings of the export; raises UsageError for a value that cannot be used."""
    known = _Variables(environment)
    off = known.flag("OTEL_SDK_DISABLED")
    queue = known.whole("OTEL_BSP_MAX_QUEUE_SIZE", 2048)
    return TelemetrySettings(
        spans=None if off else _collector("TRACES", tracing, known),
        metrics=None if off else _collector("METRICS", tracing, known),
        resource=_resource(tracing, known),
        delay=known.seconds("OTEL_BSP_SCHEDULE_DELAY", 5.0),
        batch=min(known.whole("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512), queue),
        queue=queue,
        patience=known.seconds("OTEL_BSP_EXPORT_TIMEOUT", 30.0),
        every=known.seconds("OTEL_METRIC_EXPORT_INTERVAL", 60.0),
        delta=known.choice(
            f"{_PREFIX}METRICS_TEMPORALITY_PREFERENCE", ("cumulative", "delta", "lowmemory")
        )
        in ("delta", "lowmemory"),
    )


def sampling_of(tracing: Tracing, environment: Mapping[str, str]) -> Sampling | None:
    """Return the rule by which requests are sampled; None: trace headers are ignored.

    Raises UsageError for a value that cannot be used.
    """
    known = _Variables(environment)
    if known.flag("OTEL_SDK_DISABLED") or not _exports("TRACES", known):
        return None  # a span that is not exported must not become the parent of others
    if tracing.sample is not None:
        return Sampling(tracing.sample, continues=tracing.continues)
    name = known.choice("OTEL_TRACES_SAMPLER", tuple(_SHARES)) or "parentbased_always_on"
    share = _SHARES[name]
    if share is None:
        share = known.number("OTEL_TRACES_SAMPLER_ARG", 1.0)
        if share > 1.0:
            raise known.wrong("OTEL_TRACES_SAMPLER_ARG", "give a share from 0 to 1")
    return Sampling(share, name.startswith("parentbased_"), tracing.continues)


_SHARES: Mapping[str, float | None] = {
    "always_on": 1.0,
    "always_off": 0.0,
    "traceidratio": None,
    "parentbased_always_on": 1.0,
    "parentbased_always_off": 0.0,
    "parentbased_traceidratio": None,
}


@final
class _Variables:
    """Environment variables, each checked when read; an empty one counts as unset."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def text(self, *names: str) -> str | None:
        """Return the value of the first of these variables that is set."""
        return next((it for name in names if (it := self._environment.get(name, "").strip())), None)

    def flag(self, name: str) -> bool:
        return (self.text(name) or "").lower() == "true"

    def choice(self, name: str, known: tuple[str, ...]) -> str | None:
        value = self.text(name)
        if value is None or value.lower() in known:
            return value and value.lower()
        raise self.wrong(name, f"give one of {', '.join(known)}")

    def number(self, name: str, default: float) -> float:
        """Return a finite number, 0 or more."""
        text = self.text(name)
        if text is None:
            return default
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value >= 0):
            raise self.wrong(name, "give a number, 0 or more")
        return value

    def seconds(self, name: str, default: float) -> float:
        """Return a time above 0, in s, from a variable in ms."""
        value = self.number(name, 1e3 * default) / 1e3
        if value <= 0:
            raise self.wrong(name, "give a number of milliseconds above 0")
        return value

    def whole(self, name: str, default: int) -> int:
        value = self.number(name, default)
        if value < 1 or value != int(value):
            raise self.wrong(name, "give a whole number, 1 or more")
        return int(value)

    def pairs(self, name: str) -> dict[str, str]:
        """Read `key=value,key=value` with URL-encoded values; no error repeats a value."""
        found: dict[str, str] = {}
        for part in (self.text(name) or "").split(","):
            key, equals, value = part.partition("=")
            if not part.strip():
                continue
            if not equals or not key.strip():
                raise UsageError(f"{name}: an entry is not key=value; give key=value,key=value")
            found[key.strip()] = unquote(value.strip())
        return found

    def wrong(self, name: str, remedy: str) -> UsageError:
        return UsageError(f"{name} is {self._environment[name]!r}; {remedy}")


def _exports(kind: str, known: _Variables) -> bool:
    return known.choice(f"OTEL_{kind}_EXPORTER", ("otlp", "none")) != "none"


def _collector(kind: str, tracing: Tracing, known: _Variables) -> Collector | None:
    """Return the collector of a kind, TRACES or METRICS; None if that is not exported."""
    if not _exports(kind, known):
        return None

    def both(name: str) -> tuple[str, str]:
        return f"{_PREFIX}{kind}_{name}", f"{_PREFIX}{name}"

    path = f"/v1/{kind.lower()}"
    if tracing.endpoint is not None:
        url = tracing.endpoint.rstrip("/") + path
    else:
        protocol = known.text(*both("PROTOCOL"))
        if protocol not in (None, "http/protobuf"):
            raise UsageError(
                f"{_PREFIX}PROTOCOL is {protocol!r}, but only http/protobuf is supported; give "
                "serve.tracing.endpoint, such as http://localhost:4318"
            )
        own = known.text(both("ENDPOINT")[0])
        url = own or (known.text(both("ENDPOINT")[1]) or _LOCAL).rstrip("/") + path
        _require_url(url, both("ENDPOINT")[0 if own else 1])
    headers = known.pairs(both("HEADERS")[1]) | known.pairs(both("HEADERS")[0])
    for header, variable in tracing.headers.items():
        value = known.text(variable)
        if value is None:
            raise UsageError(f"headers: {header}: environment variable {variable} is not set")
        headers[header] = value
    for header, value in headers.items():
        if not (value.isascii() and value.isprintable()):
            raise UsageError(
                f"headers: {header}: its value is invalid in a header; give printable ASCII"
            )
    timeout = known.seconds(both("TIMEOUT")[0], known.seconds(both("TIMEOUT")[1], 10.0))
    compression = [known.choice(name, ("gzip", "none")) for name in both("COMPRESSION")]
    return Collector(
        url=url,
        headers=tuple(headers.items()),
        timeout=timeout,
        gzip=(compression[0] or compression[1]) == "gzip",
        ca_file=known.text(*both("CERTIFICATE")),
    )


def _require_url(url: str, variable: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"{variable} is {url!r}; give a URL, such as {_LOCAL}")


def _resource(tracing: Tracing, known: _Variables) -> tuple[tuple[str, str], ...]:
    given = known.pairs("OTEL_RESOURCE_ATTRIBUTES")
    name = tracing.service or known.text("OTEL_SERVICE_NAME") or given.get("service.name")
    return tuple((given | {"service.name": name or _SERVICE}).items())
