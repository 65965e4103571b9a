"""Clusters: one for each frontend, with the backends that it may use as endpoints.

Health checks, outlier detection and limits of connections are a cluster's, so a backend that two
frontends share is checked by each. Endpoints have addresses and no names, by which the table of
prices knows them too.
"""

import hashlib
import math
import ssl
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, final
from urllib.parse import urlsplit

from isocline.gateway.config import BackendAddress
from isocline.gateway.serve.config import Serving
from isocline.planes.envoy.addresses import Address
from isocline.planes.envoy.routes import Json, seconds


@final
class Balancing(NamedTuple):
    """How backends of a cluster are picked.

    Attributes:
        policy: Load-balancing policy, by the name of the cluster's frontend.
        ejects: Whether Envoy ejects backends by itself, as nobody else does.
    """

    policy: Callable[[str], Json]
    ejects: bool


_TYPE = "type.googleapis.com/envoy.extensions."
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
# Limits of Envoy's circuit breakers, which are there to protect what is slower than these; its own
# defaults, 1024 of each, are fewer than the requests that a fleet holds at a time.
_MANY = 10_000_000


def _least_request(frontend: str) -> Json:
    del frontend
    return {
        "policies": [
            {
                "typed_extension_config": {
                    "name": "envoy.load_balancing_policies.least_request",
                    "typed_config": {
                        "@type": f"{_TYPE}load_balancing_policies.least_request.v3.LeastRequest"
                    },
                }
            }
        ]
    }


LEAST_REQUEST = Balancing(_least_request, ejects=True)
"""Envoy's own policy, where the module cannot be built."""


def backends_of(serving: Serving, frontend: int) -> list[BackendAddress]:
    """Backends that a frontend may use."""
    return [serving.proxy.backends[b] for b in serving.system.graph.neighbours(frontend).tolist()]


def cluster(serving: Serving, frontend: int, balancing: Balancing, events: Path) -> Json:
    """Cluster of a frontend, without its endpoints; `events` is where its health goes."""
    name = serving.proxy.frontends[frontend].name
    own, times = backends_of(serving, frontend), serving.proxy.times
    found: Json = {
        "name": name,
        "connect_timeout": seconds(times.connect),
        "load_balancing_policy": balancing.policy(name),
        "common_lb_config": {"healthy_panic_threshold": {"value": 0.0}},
        # One that has left gets no more requests, though it is still healthy.
        "ignore_health_on_host_removal": True,
        "per_connection_buffer_limit_bytes": serving.proxy.sizes.buffer,
        "circuit_breakers": {"thresholds": [_thresholds(serving)]},
        "typed_extension_protocol_options": {_HTTP_OPTIONS: _protocol(serving, own)},
    }
    if serving.checks.health is not None:
        found["health_checks"] = [_health_check(serving, own, events)]
    if balancing.ejects:
        found["outlier_detection"] = _outliers(serving)
    secured = [it for it in own if urlsplit(it.url).scheme == "https"]
    if secured:
        found["transport_socket_matches"] = [_secured(it) for it in secured]
    return found


def endpoints(serving: Serving, frontend: int, addresses: Mapping[str, Address]) -> Json:
    """Endpoints of a frontend's cluster; `addresses` are by name of the backend."""
    name = serving.proxy.frontends[frontend].name
    found = [
        _endpoint(it, addresses[it.name], draining=serving.controls.of(it.name).draining)
        for it in backends_of(serving, frontend)
        if it.name in addresses
    ]
    return {"cluster_name": name, "endpoints": [{"lb_endpoints": found}]}


def file_name(frontend: str) -> str:
    """Name of the file of a frontend's endpoints; names of frontends may be no names of files."""
    return f"endpoints-{hashlib.sha256(frontend.encode()).hexdigest()[:16]}.json"


def _endpoint(backend: BackendAddress, address: Address, *, draining: bool) -> Json:
    status: Literal["DRAINING", "UNKNOWN"] = "DRAINING" if draining else "UNKNOWN"
    return {
        "endpoint": {
            "address": {
                "socket_address": {"address": address.host, "port_value": address.port},
            },
            "hostname": urlsplit(backend.url).netloc,
        },
        "health_status": status,
        "metadata": {
            "filter_metadata": {
                "isocline": {"backend": backend.name},
                "envoy.transport_socket_match": {"name": backend.name},
            }
        },
    }


def _thresholds(serving: Serving) -> Json:
    rule = serving.rules.retries
    return {
        "max_connections": _MANY,
        "max_pending_requests": _MANY,
        "max_requests": _MANY,
        "retry_budget": {
            "budget_percent": {"value": min(100.0 * rule.share, 100.0)},
            "min_retry_concurrency": 3,
        },
    }


def _outliers(serving: Serving) -> Json:
    """Ejection after failures in a row: 502, 503, 504 and what breaks, as for the gateway.

    A frontend keeps its share of backends: of fewer than a hundred, one in any case.
    """
    rule = serving.rules.ejection
    return {
        "consecutive_gateway_failure": rule.failures,
        "enforcing_consecutive_gateway_failure": 100,
        "enforcing_consecutive_5xx": 0,
        "enforcing_success_rate": 0,
        "enforcing_failure_percentage": 0,
        "interval": "1s",
        "base_ejection_time": seconds(rule.first),
        "max_ejection_time": seconds(rule.longest),
        "max_ejection_percent": min(math.floor(100.0 * (1.0 - rule.floor) + 1e-9), 99),
        # It may well answer its health checks.
        "successful_active_health_check_uneject_host": False,
    }


def _health_check(serving: Serving, own: Sequence[BackendAddress], events: Path) -> Json:
    health = serving.checks.health
    assert health is not None
    first, last = health.status
    return {
        "timeout": seconds(health.timeout),
        "interval": seconds(health.every),
        "no_traffic_interval": seconds(health.every),
        "no_traffic_healthy_interval": seconds(health.every),
        "unhealthy_threshold": health.fall,
        "healthy_threshold": health.rise,
        "event_logger": [_health_events(events)],
        "http_health_check": {
            "path": health.path,
            "expected_statuses": [{"start": first, "end": last + 1}],
            "codec_client_type": "HTTP2" if _speak_http2(own) else "HTTP1",
        },
    }


def _health_events(path: Path) -> Json:
    kind = "health_check.event_sinks.file.v3.HealthCheckEventFileSink"
    return {
        "name": "envoy.health_check.event_sinks.file",
        "typed_config": {"@type": f"{_TYPE}{kind}", "event_log_path": str(path)},
    }


def _protocol(serving: Serving, own: Sequence[BackendAddress]) -> Json:
    kind = "http2_protocol_options" if _speak_http2(own) else "http_protocol_options"
    return {
        "@type": f"type.googleapis.com/{_HTTP_OPTIONS}",
        "common_http_protocol_options": {
            "idle_timeout": seconds(serving.proxy.times.pool),
            "max_headers_count": serving.proxy.sizes.header_count,
        },
        "explicit_http_config": {kind: {}},
    }


def _speak_http2(own: Sequence[BackendAddress]) -> bool:
    return bool(own) and own[0].http2


def _secured(backend: BackendAddress) -> Json:
    name = urlsplit(backend.url).hostname or ""
    known_name: Json = {"san_type": "DNS", "matcher": {"exact": name}}
    if _is_address(name):
        known_name["san_type"] = "IP_ADDRESS"
    common = {
        "alpn_protocols": ["h2"] if backend.http2 else ["http/1.1"],
        "validation_context": {
            "trusted_ca": {"filename": backend.ca_file or system_authorities()},
            "match_typed_subject_alt_names": [known_name],
        },
    }
    return {
        "name": backend.name,
        "match": {"name": backend.name},
        "transport_socket": {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": f"{_TYPE}transport_sockets.tls.v3.UpstreamTlsContext",
                **({} if _is_address(name) else {"sni": name}),
                "common_tls_context": common,
            },
        },
    }


def system_authorities() -> str | None:
    """File of the certificates that the system trusts; None if it has none."""
    return ssl.get_default_verify_paths().cafile


def _is_address(name: str) -> bool:
    return ":" in name or name.replace(".", "").isdecimal()


def document(resources: Sequence[Json], kind: str, version: str) -> dict[str, Any]:
    """Discovery response, as Envoy reads it from a file."""
    url = f"type.googleapis.com/envoy.config.{kind}"
    return {
        "version_info": version,
        "resources": [{"@type": url, **resource} for resource in resources],
    }
