"""A real Envoy with the module, and backends whose answers wait, for tests."""

import http.server
import json
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from tests.live.processes import SECONDS, until

_CONNECTIONS = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = "envoy.extensions.filters.http.router.v3.Router"
_GOOGLE = "type.googleapis.com/"


@dataclass
class Backend:
    """Answers its name; to a path /hold only once it is released; ill on /health if it says so.

    Attributes:
        refuses: Whether it answers 500 to all else.
        breaks: Whether it resets connections in the middle of a body.
        slow: Time that it takes to answer on /health, s.
    """

    name: str
    port: int
    ill: bool = False
    refuses: bool = False
    breaks: bool = False
    slow: float = 0.0
    held: list[str] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)

    @property
    def known_by_address(self) -> bool:
        """Whether tables have its address; metadata of the others give their names."""
        return self.name != "c"

    @property
    def addresses(self) -> list[str]:
        """Addresses for a table."""
        return [f"127.0.0.1:{self.port}"] if self.known_by_address else []

    def answer(self, path: str) -> int:
        if path == "/health":
            self.release.wait(self.slow)
        if path == "/hold":
            self.held.append(path)
            assert self.release.wait(SECONDS)
        return 500 if (self.ill if path == "/health" else self.refuses) else 200


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of an Envoy that has been ended."""


@contextmanager
def backend(name: str) -> Iterator[Backend]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            breaks = it.breaks and self.path != "/health"
            self.send_response(it.answer(self.path))
            self.send_header("Content-Length", str(len(name) + breaks))
            self.end_headers()
            self.wfile.write(name.encode())
            if breaks:
                self.wfile.flush()
                at_once = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
                self.close_connection = True

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
            pass

    server = _Server(("127.0.0.1", 0), Handler)
    it = Backend(name, server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield it
    finally:
        it.release.set()
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def backends(*names: str) -> Iterator[list[Backend]]:
    with ExitStack() as stack:
        yield [stack.enter_context(backend(name)) for name in names]


def cluster(name: str, policy: Mapping[str, Any], ends: Sequence[Backend]) -> dict[str, Any]:
    return {
        "name": name,
        "type": "STATIC",
        "load_balancing_policy": policy,
        "health_checks": [
            {
                "timeout": "60s",
                "interval": "0.05s",
                "no_traffic_interval": "0.05s",
                "unhealthy_threshold": 1,
                "healthy_threshold": 1,
                "http_health_check": {"path": "/health"},
            }
        ],
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [_endpoint(one) for one in ends]}],
        },
    }


def _endpoint(one: Backend) -> dict[str, Any]:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": one.port}}
    end: dict[str, Any] = {"endpoint": {"address": address}}
    if not one.known_by_address:
        end["metadata"] = {"filter_metadata": {"isocline": {"backend": one.name}}}
    return end


def bootstrap(clusters: Sequence[Mapping[str, Any]], port: int) -> dict[str, Any]:
    """One listener; the first part of a path is the cluster, and the rest the path at a backend."""
    routes = [
        {
            "match": {"prefix": f"/{one['name']}/"},
            "route": {"cluster": one["name"], "prefix_rewrite": "/", "timeout": "0s"},
        }
        for one in clusters
    ]
    manager = {
        "@type": _GOOGLE + _CONNECTIONS,
        "stat_prefix": "test",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        "http_filters": [
            {"name": "envoy.filters.http.router", "typed_config": {"@type": _GOOGLE + _ROUTER}}
        ],
    }
    connections = {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
    listener = {
        "name": "test",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": [connections]}],
    }
    return {"static_resources": {"listeners": [listener], "clusters": list(clusters)}}


@dataclass
class Envoy:
    """One that runs."""

    port: int
    log_file: Path

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def get(self, path: str) -> tuple[int, str]:
        """Status and body."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        try:
            connection.request("GET", path)
            with connection.getresponse() as response:
                return response.status, response.read().decode()
        finally:
            connection.close()

    def names(self, path: str, times: int = 12) -> set[str]:
        """Backends that answer with status 200, and statuses of other answers."""
        answers = (self.get(path) for _ in range(times))
        return {body if status == 200 else str(status) for status, body in answers}


@contextmanager
def envoy(
    binary: str, folder: Path, clusters: Sequence[Mapping[str, Any]], threads: int = 2
) -> Iterator[Envoy]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    file, log = folder / "envoy.json", folder / "envoy.log"
    file.write_text(json.dumps(bootstrap(clusters, port)))
    command = [binary, "--config-path", str(file), "--concurrency", str(threads)]
    command.append("--disable-hot-restart")
    with log.open("wb") as stderr:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stderr)
    try:
        until(lambda: process.poll() is not None or _listens(port), log.read_text)
        assert process.poll() is None, log.read_text()
        yield Envoy(port, log)
    finally:
        process.kill()
        process.wait(SECONDS)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1.0).close()
    except OSError:
        return False
    return True
