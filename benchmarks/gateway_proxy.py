"""What the built-in data plane costs, on one core: `python -m benchmarks.gateway_proxy`.

CPU time of the proxy's process, user and system, for each request (a small POST as OpenAI's clients
send it, answered with a small JSON) and for each chunk of a stream of events; the memory of an idle
connection. Beside it, in the same rounds: the same with curves learned; the same compiled, as the
Python of `--compiled` has it; those of `proxy_rivals` that are installed; and a relay of bytes on
the same event loop that reads nothing, which is what the system calls and the loop cost alone.
Everything is on: gate, core, policy, report of the load, access log with candidates. Each proxy has
the first core, all else the others.
"""

import argparse
import asyncio
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import cast

import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.proxy_ours import ANSWER, CHUNKS, LAST, backend, compiled, isocline, relay, running
from benchmarks.proxy_rivals import rivals

ROUNDS, SECONDS, CLIENTS, IDLE = 5, 1.5, 16, 1000
PATIENCE = 40  # times SECONDS, until a proxy answers
GOAL = "40 us for each request, 35 us for each chunk, half of nginx's requests/s"
BODY = b'{"model":"m","messages":[{"role":"user","content":"hello"}]}'
FIELDS = (
    b"Host: api.local\r\nAccept: application/json\r\nContent-Type: application/json\r\n"
    b"User-Agent: OpenAI/Python 1.0\r\nAccept-Encoding: gzip, deflate\r\n"
    b"Authorization: Bearer sk-0\r\n"
)
POST = b"POST /v1/chat/completions HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n%b" % (
    FIELDS,
    len(BODY),
    BODY,
)
STREAM = b"GET /stream HTTP/1.1\r\n%b\r\n" % FIELDS


# -- measuring -----------------------------------------------------------------------------------


def cpu(pid: int) -> float:
    """CPU time of a process, s."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> int:
    """Bytes that it holds."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


class Asking(asyncio.Protocol):
    """A client: asks again as soon as it is answered."""

    def __init__(self, request: bytes, end: bytes) -> None:
        self.request, self.end, self.answers = request, end, 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        if data.endswith(self.end):
            self.answers += 1
            self.transport.write(self.request)


async def ask(port: int, request: bytes, end: bytes) -> int:
    """Answers to CLIENTS clients in SECONDS."""
    loop = asyncio.get_running_loop()
    clients: list[Asking] = []
    for _ in range(CLIENTS):
        _, client = await loop.create_connection(partial(Asking, request, end), "127.0.0.1", port)
        clients.append(client)
    await asyncio.sleep(SECONDS)
    for client in clients:
        client.transport.abort()
    return sum(client.answers for client in clients)


def cost(pid: int, port: int, request: bytes, end: bytes, parts: int) -> tuple[float, float]:
    """(us of CPU of each part of an answer, parts per second of the clock)."""
    before = cpu(pid)
    answers = uvloop.run(ask(port, request, end))
    time.sleep(0.1)
    return 1e6 * (cpu(pid) - before) / (answers * parts), answers * parts / SECONDS


def warm_up(name: str, port: int, end: bytes) -> None:
    """Ask until there are answers: the first request may wait until kernels are compiled."""
    for _ in range(PATIENCE):
        if uvloop.run(ask(port, POST, end)):
            return
    raise SystemExit(f"{name} did not answer within {PATIENCE * SECONDS:.0f} s")


async def idle_bytes(pid: int, port: int) -> float:
    before = memory(pid)
    loop = asyncio.get_running_loop()
    transports = [
        (await loop.create_connection(asyncio.Protocol, "127.0.0.1", port))[0] for _ in range(IDLE)
    ]
    await asyncio.sleep(0.5)
    grown = memory(pid) - before
    for transport in transports:
        transport.abort()
    return grown / IDLE


@contextmanager
def on_the_first_core() -> Iterator[None]:
    """What is started meanwhile has one core, and leaves the others to whoever starts it."""
    cores = sorted(os.sched_getaffinity(0))
    try:
        os.sched_setaffinity(0, cores[:1])
        yield
    finally:
        os.sched_setaffinity(0, cores[1:] or cores)


def main() -> None:
    parser = argparse.ArgumentParser(prog=f"python -m {__spec__.name}")
    parser.add_argument("--compiled", metavar="PYTHON", help="one with a compiled build, as well")
    python = parser.parse_args().compiled
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # not without ending what was started
    say = Console(stderr=True).print
    table = Table("proxy", "per request", "requests/s", "per chunk", "per idle connection")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        _, port = stack.enter_context(running(backend))
        log = str(folder / "log")
        with on_the_first_core():
            contestants = {
                "isocline": stack.enter_context(running(isocline, port, log)),
                "isocline, learning": stack.enter_context(running(isocline, port, log, True)),
                "bytes only, same loop": stack.enter_context(running(relay, port)),
            }
            if python is None:
                say("isocline, compiled: left out; give --compiled PYTHON (docs/router-speed.md)")
            else:
                for learning in (False, True):
                    name = f"isocline, compiled{', learning' * learning}"
                    started = compiled(python, port, log, learning)
                    contestants[name] = stack.enter_context(started)
            for name, rival in rivals(port, folder, say).items():
                contestants[name] = stack.enter_context(rival)
        end = ANSWER[-13:]
        # First of all, while no memory that was freed can be used again.
        idle = {name: uvloop.run(idle_bytes(*ends)) for name, ends in contestants.items()}
        for name, (_, own) in contestants.items():
            warm_up(name, own, end)
        requests: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
        chunks: dict[str, list[float]] = {name: [] for name in contestants}
        for number in range(ROUNDS):
            say(f"round {number + 1} of {ROUNDS}")
            for name, (pid, own) in contestants.items():
                requests[name].append(cost(pid, own, POST, end, 1))
                chunks[name].append(cost(pid, own, STREAM, LAST, CHUNKS)[0])
        for name in contestants:
            per_request = statistics.median(us for us, _ in requests[name])
            rate = statistics.median(rate for _, rate in requests[name])
            per_chunk = statistics.median(chunks[name])
            table.add_row(
                name,
                f"{per_request:.1f} us",
                f"{rate:,.0f}",
                f"{per_chunk:.1f} us",
                f"{idle[name] / 1e3:.1f} kB",
            )
    table.caption = f"CPU of the proxy alone; the goals of isocline: {GOAL}"
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
