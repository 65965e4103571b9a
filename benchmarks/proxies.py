"""Other people's load balancers before a fleet, as Debian and PyPI have them, with fair settings.

One worker, so that it counts connections for all; connections to clients and backends are kept
open; nothing is logged, and no backend is ever taken out.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.listening import free_port, listening

NGINX = """daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 1000000; keepalive_timeout 300s;
  client_max_body_size 64m; client_body_buffer_size 4m;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  upstream fleet {{
    zone fleet 256k; {method};
    {servers}
    keepalive 256; keepalive_requests 1000000;
  }}
  server {{ listen 127.0.0.1:{port}; location / {{
    proxy_pass http://fleet; proxy_http_version 1.1; proxy_set_header Connection "";
    proxy_read_timeout 600s;
  }} }}
}}
"""
HAPROXY = """global
  nbthread 1
  maxconn 8192
defaults
  mode http
  timeout connect 5s
  timeout client 300s
  timeout server 300s
  timeout http-keep-alive 300s
frontend all
  bind 127.0.0.1:{port}
  default_backend fleet
backend fleet
  balance {method}
  http-reuse always
  {servers}
"""


def found(binary: str) -> str | None:
    """Where it is; administrators' programs are not in everyone's PATH."""
    return shutil.which(binary, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


@contextmanager
def nginx(binary: str, method: str, backends: Sequence[str], folder: Path) -> Iterator[str]:
    """The URL of nginx with this method, such as least_conn, before backends HOST:PORT."""
    port = free_port()
    servers = " ".join(f"server {one} max_fails=0;" for one in backends)
    file = folder / "nginx.conf"
    file.write_text(NGINX.format(folder=folder, method=method, servers=servers, port=port))
    with listening([binary, "-c", str(file)], port):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def haproxy(binary: str, method: str, backends: Sequence[str], folder: Path) -> Iterator[str]:
    """The URL of HAProxy with this method, such as leastconn, before backends HOST:PORT."""
    port = free_port()
    servers = "\n  ".join(f"server s{number} {one}" for number, one in enumerate(backends))
    file = folder / "haproxy.cfg"
    file.write_text(HAPROXY.format(method=method, servers=servers, port=port))
    with listening([binary, "-db", "-f", str(file)], port):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def vllm_router(binary: str, method: str, backends: Sequence[str], folder: Path) -> Iterator[str]:
    """The URL of vllm-router with this policy, such as power_of_two, before backends HOST:PORT."""
    port = free_port()
    urls = [f"http://{one}" for one in backends]
    with listening(vllm_router_command(binary, method, port, urls, folder), port):
        yield f"http://127.0.0.1:{port}"


def vllm_router_command(
    binary: str, method: str, port: int, urls: Sequence[str], folder: Path
) -> list[str]:
    command = [binary, "--port", str(port), "--policy", method, "--log-dir", str(folder)]
    return [*command, "--prometheus-port", str(free_port()), "--worker-urls", *urls]


def version(binary: str) -> str:
    """In its own words, one line; vllm-router has none, but as a package."""
    command = [binary, "-v"]
    if (name := Path(binary).name) == "vllm-router":
        told = f"import importlib.metadata as m; print({name!r}, m.version({name!r}))"
        command = [str(Path(binary).with_name("python")), "-c", told]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).splitlines()[0]
