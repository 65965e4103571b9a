"""Envoy before a fleet, with a load-balancing policy of its own or with the module of isocline.

One listener, one worker thread, no access log, no health checks: what is measured is the policy.
"""

import json
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.listening import free_port, listening

_GOOGLE = "type.googleapis.com/envoy.extensions."
_CONNECTIONS = "filters.network.http_connection_manager.v3.HttpConnectionManager"


def own_policy(name: str, **settings: object) -> dict[str, Any]:
    """One of Envoy's, such as least_request or round_robin."""
    kind = "".join(part.capitalize() for part in name.split("_"))
    config = {"@type": f"{_GOOGLE}load_balancing_policies.{name}.v3.{kind}", **settings}
    policy = {"name": f"envoy.load_balancing_policies.{name}", "typed_config": config}
    return {"policies": [{"typed_extension_config": policy}]}


class Envoy(NamedTuple):
    """One that runs."""

    pid: int
    port: int
    admin: int  # port

    def active(self) -> dict[str, int]:
        """Requests in flight at each backend HOST:PORT."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/clusters", timeout=30) as page:
            lines = (line.split("::") for line in page.read().decode().splitlines())
            return {line[1]: int(line[3]) for line in lines if line[2:3] == ["rq_active"]}


@contextmanager
def envoy(
    binary: str, policy: Mapping[str, Any], backends: Sequence[str], folder: Path
) -> Iterator[Envoy]:
    """An Envoy with this policy before backends HOST:PORT."""
    port, admin = free_port(), free_port()
    file = folder / f"envoy-{port}.json"
    bootstrap = _bootstrap(policy, backends, port) | {
        "admin": {"address": _address("127.0.0.1", admin)}
    }
    file.write_text(json.dumps(bootstrap))
    command = [binary, "--config-path", str(file), "--concurrency", "1", "--disable-hot-restart"]
    with listening([*command, "--log-level", "warning"], port) as pid:
        yield Envoy(pid, port, admin)


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
