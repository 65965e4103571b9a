"""Other people's proxies before one backend, one worker each, for `benchmarks.gateway_proxy`.

Each logs each request and keeps its connections open, as ours does. What is not installed is left
out, with a message: nginx and HAProxy are Debian's (nginx-light, haproxy), vllm-router is PyPI's.
"""

import asyncio
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from benchmarks.listening import free_port, listening
from benchmarks.proxies import vllm_router_command

BACKENDS = 4  # of the same address: what choosing costs is in it, too
Running = AbstractContextManager[tuple[int, int]]
"""(pid of what works, port)."""

NGINX = """worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/error;
events {{ worker_connections 8192; }}
http {{ keepalive_requests 1000000;
  access_log {folder}/access; client_body_temp_path {folder}/a; proxy_temp_path {folder}/b;
  fastcgi_temp_path {folder}/c; uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  upstream fleet {{ least_conn; {servers} keepalive 64; keepalive_requests 1000000; }}
  server {{ listen 127.0.0.1:{port}; location / {{
    proxy_pass http://fleet; proxy_http_version 1.1; proxy_set_header Connection "";
    proxy_buffering off; proxy_set_header X-Forwarded-For $remote_addr; }} }} }}
"""
HAPROXY = """global
  nbthread 1
  maxconn 8192
  log stdout format raw local0
defaults
  mode http
  log global
  option httplog
  option forwardfor
  timeout connect 5s
  timeout client 300s
  timeout server 300s
frontend all
  bind 127.0.0.1:{port}
  default_backend fleet
backend fleet
  balance leastconn
  http-reuse always
  {servers}
"""


def rivals(port: int, folder: Path, say: Callable[[str], None]) -> Mapping[str, Running]:
    """Those that are installed, by name, before the backend on `port`; `say` tells of the others.

    None runs before its context is entered.
    """
    starts: dict[str, Callable[[str, int, Path], Running]] = {
        "nginx": nginx,
        "haproxy": haproxy,
        "vllm-router": vllm_router,
    }
    # Administrators' programs are not in everyone's PATH; ours are beside this Python.
    places = f"{os.environ.get('PATH', '')}:/usr/sbin:{Path(sys.executable).parent}"
    found: dict[str, Running] = {}
    for name, start in starts.items():
        binary = shutil.which(name, path=places)
        if binary is None:
            say(f"{name} is not installed: left out")
        else:
            found[name] = start(binary, port, folder)
    try:
        import aiohttp.web  # noqa: F401
    except ImportError:
        say("aiohttp is not installed: left out")
    else:
        found["aiohttp"] = aiohttp_proxy(port)
    return found


@contextmanager
def nginx(binary: str, port: int, folder: Path) -> Iterator[tuple[int, int]]:
    """Its worker process."""
    own = free_port()
    file = folder / "nginx.conf"
    servers = f"server 127.0.0.1:{port};" * BACKENDS
    file.write_text(NGINX.format(folder=folder, port=own, servers=servers))
    with listening([binary, "-c", str(file)], own) as pid:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        yield int(children[0]), own


@contextmanager
def haproxy(binary: str, port: int, folder: Path) -> Iterator[tuple[int, int]]:
    """One process with one thread."""
    own = free_port()
    file = folder / "haproxy.cfg"
    servers = "\n  ".join(f"server s{i} 127.0.0.1:{port}" for i in range(BACKENDS))
    file.write_text(HAPROXY.format(port=own, servers=servers))
    with listening([binary, "-db", "-f", str(file)], own) as pid:
        yield pid, own


@contextmanager
def vllm_router(binary: str, port: int, folder: Path) -> Iterator[tuple[int, int]]:
    """A process with as many threads as it likes, on the core it is given."""
    own = free_port()
    urls = [f"http://127.0.0.{1 + i}:{port}" for i in range(BACKENDS)]
    with listening(vllm_router_command(binary, "power_of_two", own, urls, folder), own) as pid:
        yield pid, own


@contextmanager
def aiohttp_proxy(port: int) -> Iterator[tuple[int, int]]:
    """What one writes in an afternoon."""
    own = free_port()
    with listening([sys.executable, "-m", __spec__.name, str(own), str(port)], own) as pid:
        yield pid, own


async def serve_aiohttp(own: int, port: int) -> None:
    """Pass requests and responses on, chunk by chunk, in turn; log them."""
    import aiohttp
    from aiohttp import web

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def handle(request: web.Request) -> web.StreamResponse:
            url = f"http://127.0.0.1:{port}{request.path_qs}"
            fields = {**request.headers, "X-Forwarded-For": request.remote or ""}
            body = await request.read()
            async with session.request(
                request.method, url, headers=fields, data=body or None
            ) as found:
                answer = web.StreamResponse(status=found.status)
                answer.content_type = found.content_type
                answer.content_length = found.content_length
                await answer.prepare(request)
                async for chunk in found.content.iter_any():
                    await answer.write(chunk)
                await answer.write_eof()
                return answer

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handle)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", own).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    import uvloop

    uvloop.run(serve_aiohttp(*map(int, sys.argv[1:])))
