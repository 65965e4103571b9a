"""Envoy before a fleet, with a load-balancing policy of its own or with the module of isocline.

One listener, one worker thread, no access log, no health checks: what is measured is the policy.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.listening import free_port, listening

_GOOGLE = "type.googleapis.com/envoy.extensions."
_CONNECTIONS = "filters.network.http_connection_manager.v3.HttpConnectionManager"


def own_policy(name: str, **settings: object) -> dict[str, Any]:
    """One of Envoy's, such as least_request or round_robin."""
    kind = "".join(part.capitalize() for part in name.split("_"))
    config = {"@type": f"{_GOOGLE}load_balancing_policies.{name}.v3.{kind}", **settings}
    policy = {"name": f"envoy.load_balancing_policies.{name}", "typed_config": config}
    return {"policies": [{"typed_extension_config": policy}]}


@contextmanager
def envoy(
    binary: str, policy: Mapping[str, Any], backends: Sequence[str], folder: Path
) -> Iterator[tuple[int, int]]:
    """(pid, port) of an Envoy with this policy before backends HOST:PORT."""
    port = free_port()
    file = folder / f"envoy-{port}.json"
    file.write_text(json.dumps(_bootstrap(policy, backends, port)))
    command = [binary, "--config-path", str(file), "--concurrency", "1", "--disable-hot-restart"]
    with listening([*command, "--log-level", "warning"], port) as pid:
        yield pid, port


def _bootstrap(policy: Mapping[str, Any], backends: Sequence[str], port: int) -> dict[str, Any]:
    pairs = (one.rpartition(":") for one in backends)
    ends = [{"endpoint": {"address": _address(host, int(number))}} for host, _, number in pairs]
    plenty = {"max_connections": 65536, "max_pending_requests": 65536, "max_requests": 65536}
    fleet = {
        "name": "fleet",
        "type": "STATIC",
        "load_balancing_policy": policy,
        "circuit_breakers": {"thresholds": [plenty]},
        "load_assignment": {"cluster_name": "fleet", "endpoints": [{"lb_endpoints": ends}]},
    }
    route = {"match": {"prefix": "/"}, "route": {"cluster": "fleet", "timeout": "0s"}}
    router = {"@type": f"{_GOOGLE}filters.http.router.v3.Router"}
    manager = {
        "@type": _GOOGLE + _CONNECTIONS,
        "stat_prefix": "all",
        "generate_request_id": False,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": router}],
    }
    connections = {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
    listener = {
        "name": "all",
        "address": _address("127.0.0.1", port),
        "filter_chains": [{"filters": [connections]}],
    }
    return {"static_resources": {"listeners": [listener], "clusters": [fleet]}}


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}
