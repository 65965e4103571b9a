"""What ids, traces and telemetry cost: `python -m benchmarks.tracing [--seconds S]`.

CPU for one request, us, without sockets: a client connection and a backend connection whose
transports are memory, so that all that runs is the router's own code from the request's bytes to
the response's. Ways to serve take turns, a few hundred requests each, so that a busy machine slows
all of them alike; ratios of medians are what counts. Recorded requests are also converted and
serialised, as they are in the background, which is in `and sent`.
"""

import argparse
import asyncio
import socket
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

from isocline.gateway.access_log import Access
from isocline.gateway.config import BackendAddress, FrontendRule, ProxySettings, Sampling
from isocline.gateway.core.build import core_of
from isocline.gateway.proxy import Proxy
from isocline.gateway.proxy.backend_connection import BackendConnection
from isocline.gateway.proxy.client_connection import ClientConnection
from isocline.model.curves import HyperbolicCurve
from isocline.model.fleet import Backend, Frontend, RoutingSystem
from isocline.model.graph import CompatibilityGraph
from isocline.model.serving_settings import TimeLimits
from isocline.model.traffic import PoissonArrivals
from isocline.policies.parse import parse

REQUESTS = 300  # of one way in its turn
BODY = b'{"model":"m","messages":[{"role":"user","content":"hello"}]}'
FIELDS = (
    b"Host: api.local\r\nAccept: application/json\r\nContent-Type: application/json\r\n"
    b"User-Agent: OpenAI/Python 1.0\r\nAccept-Encoding: gzip, deflate\r\n"
)
PARENT = b"traceparent: 00-%032x-%016x-%02x\r\n"
ANSWER = (
    b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{"ok": true}\n'
)


class Memory(asyncio.Transport):
    """A transport that hands what is written to a function."""

    def __init__(self, written: Callable[[bytes], None]) -> None:
        self.own, self.other = socket.socketpair()  # whose kernel is asked whether it is quiet
        super().__init__({"peername": ("127.0.0.1", 1), "socket": self.own})
        self.written = written

    def write(self, data: Any) -> None:
        self.written(data)

    def is_closing(self) -> bool:
        return False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        del high, low

    def pause_reading(self) -> None:
        return

    def resume_reading(self) -> None:
        return

    def abort(self) -> None:
        return

    def close(self) -> None:
        return


class Way:
    """One way to serve, with a client whose requests have such a `traceparent` or none."""

    def __init__(
        self,
        name: str,
        flags: int | None = None,
        observe: Callable[[Access], None] | None = None,
        **settings: Any,
    ) -> None:
        self.name, self.flags = name, flags
        self.microseconds: list[float] = []
        self.accesses: list[Access] = []
        system = RoutingSystem(
            (Frontend("chat", PoissonArrivals(10.0)),),
            (Backend("b0", HyperbolicCurve(400.0, 16.0)),),
            CompatibilityGraph.from_neighbours(1, [range(1)]),
        )
        made = ProxySettings(
            (BackendAddress("b0", "http://127.0.0.1:9"),),
            (FrontendRule("chat"),),
            candidates=False,
            times=TimeLimits(pool=3600.0),  # whatever the machine does between two turns
            **settings,
        )
        observers = [self.accesses.append, *([observe] if observe else [])]
        self.proxy = Proxy(core_of(system, parse("gmsr")), made, observers)
        self.client = ClientConnection(self.proxy.clients, "default")
        self.client.connection_made(Memory(lambda _: None))
        self.sent = 0

    async def warm(self) -> None:
        """Open connections, until one is used again at once."""
        used = 0
        while used < REQUESTS:
            self.ask()
            exchange = self.client.exchange
            assert exchange is not None
            used = used + 1 if exchange.backend else 0
            while exchange.backend is None:
                await asyncio.sleep(0)
            self.answer()
            if not used:
                await asyncio.sleep(0.01)

    def ask(self) -> None:
        self.sent += 1
        parent = b""
        if self.flags is not None:
            parent = PARENT % (self.sent, self.sent, self.flags)
        head = b"POST /v1/chat/completions HTTP/1.1\r\n%b%bContent-Length: %d\r\n\r\n%b"
        self.client.data_received(head % (FIELDS, parent, len(BODY), BODY))

    def answer(self) -> None:
        exchange = self.client.exchange
        assert exchange is not None
        cast("BackendConnection", exchange.backend).data_received(ANSWER)

    def turn(self) -> None:
        self.accesses.clear()
        start = time.process_time()
        for _ in range(REQUESTS):
            self.ask()
            self.answer()
        self.microseconds.append(1e6 * (time.process_time() - start) / REQUESTS)
        assert len(self.accesses) == REQUESTS
        assert all(access.status == 200 for access in self.accesses)


def telemetry_way(name: str, flags: int | None, share: float) -> tuple[Way, Callable[[], None]]:
    """A way with telemetry, and what happens in the background."""
    from isocline.gateway.telemetry.environment import Collector, TelemetrySettings
    from isocline.gateway.telemetry.spans import Names, spans_of
    from isocline.gateway.telemetry.telemetry import Telemetry

    settings = TelemetrySettings(
        Collector("http://127.0.0.1:9/v1/traces"),
        Collector("http://127.0.0.1:9/v1/metrics"),
        queue=10**9,
        batch=10**9,
    )
    telemetry = Telemetry(settings, "one", time.monotonic, time.time)
    names = Names("gmsr", ["chat"], (BackendAddress("b0", "http://127.0.0.1:9"),))
    way = Way(name, flags, telemetry.observer(names), sampling=Sampling(share))

    def convert() -> None:
        for access in way.accesses:
            if access.trace is not None and access.trace.sampled:
                for span in spans_of(access, access.trace, names, 0.0):
                    span.SerializeToString()

    return way, convert


async def connected(
    protocol: Callable[[], asyncio.Protocol], *_: object, **__: object
) -> tuple[asyncio.Transport, asyncio.Protocol]:
    """In place of a connection to the backend."""
    made, transport = protocol(), Memory(lambda _: None)
    made.connection_made(transport)
    return transport, made


async def measure(seconds: float) -> Sequence[tuple[str, float]]:
    asyncio.get_running_loop().create_connection = connected  # type: ignore[assignment]
    ways = [
        Way("off"),
        Way("off, with a traceparent", 1),
        Way("ids alone, as with an access log", None, request_ids=True),
    ]
    unrecorded, _ = telemetry_way("tracing, the caller did not record", 0, 1.0)
    begun, _ = telemetry_way("tracing, a trace begins, not recorded", None, 0.0)
    recorded, convert = telemetry_way("tracing, recorded", 1, 1.0)
    ways += [unrecorded, begun, recorded]
    for way in ways:
        await way.warm()
    background: list[float] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for way in ways:
            way.turn()
            await asyncio.sleep(0)
        start = time.process_time()
        convert()
        background.append(1e6 * (time.process_time() - start) / REQUESTS)
    found = [(way.name, statistics.median(way.microseconds)) for way in ways]
    return [*found, ("  and sent", found[-1][1] + statistics.median(background))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0)
    found = asyncio.run(measure(parser.parse_args().seconds))
    print(f"{'us of CPU for a request':44}{'':>10}{'ratio':>10}")
    for name, microseconds in found:
        print(f"{name:44}{microseconds:>10.2f}{microseconds / found[0][1]:>10.3f}")


if __name__ == "__main__":
    main()
