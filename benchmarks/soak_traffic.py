"""Clients and backend of `benchmarks.soak`: each answer has to hold its request's number."""

import asyncio
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import cast

import uvloop

CONNECTIONS, EVENTS = 2000, 10
STREAMS, LEAVING, CLOSING = 0.05, 0.2, 0.02  # shares: of requests, of streams, of requests
EVENT_STEP = 0.02  # s between two events of a stream
ROUNDS, BURST = 3, 100  # of all connections at the start; requests at once later
PATIENCE = 20.0  # s until an answer is taken to be lost
BODY = b'{"model":"m","messages":[{"role":"user","content":"hello"}]}'
HEAD = b"POST /%b/%d HTTP/1.1\r\nHost: api.local\r\nContent-Length: %d\r\n\r\n%b"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b"
STREAM = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST = b"0\r\n\r\n"


class Answering(asyncio.Protocol):
    """A backend: says the number of each request again, at once or event by event."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.data = b""

    def data_received(self, data: bytes) -> None:
        self.data += data
        if not self.data.endswith(BODY):
            return
        kind, number = self.data.split(b" ", 2)[1].split(b"/")[1:]
        self.data = b""
        if kind == b"stream":
            self.transport.write(STREAM)
            self.event(number, EVENTS)
        else:
            self.transport.write(ANSWER % (len(number), number))

    def event(self, number: bytes, left: int) -> None:
        if self.transport.is_closing():
            return
        event = b"data: %b\n\n" % number
        self.transport.write(b"%x\r\n%b\r\n" % (len(event), event) if left else LAST)
        if left:
            asyncio.get_running_loop().call_later(EVENT_STEP, self.event, number, left - 1)


def backend(told: Connection) -> None:
    async def listen() -> None:
        server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0)
        told.send(server.sockets[0].getsockname()[1])
        await asyncio.Event().wait()

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    uvloop.run(listen())


@dataclass
class Tally:
    """What clients saw."""

    answered: int = 0
    left: int = 0  # in the middle of a stream, on purpose
    late: int = 0  # not asked, as the answer before had not come, or the client was held up
    wrong: Counter[str] = field(default_factory=Counter)


class Client(asyncio.Protocol):
    """One connection; asks when told to."""

    def __init__(self, tally: Tally) -> None:
        self.tally = tally
        self.number = 0  # of the request under way
        self.leaves = False
        self.data = b""
        self.asked = 0.0  # s
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def ask(self, number: int, now: float) -> None:
        assert self.transport
        self.number, self.asked = number, now
        streams = random.random() < STREAMS
        self.leaves = streams and random.random() < LEAVING
        kind = b"stream" if streams else b"small"
        self.transport.write(HEAD % (kind, number, len(BODY), BODY))

    def data_received(self, data: bytes) -> None:
        self.data += data
        number = b"%d" % self.number
        streams = b"\r\nTransfer-Encoding: chunked\r\n" in self.data
        if self.leaves and b"data: " in self.data:
            self.tally.left += 1
            self.end()
        elif self.data.endswith(LAST if streams else b"\r\n\r\n" + number):
            said = self.data.count(b"data: %b\n" % number)
            good = self.data.startswith(b"HTTP/1.1 200 ") and (not streams or said == EVENTS)
            self.tally.answered += good
            if not good:
                self.tally.wrong[self.data[:12].decode("latin-1")] += 1
            self.number, self.data = 0, b""
            if random.random() < CLOSING:
                self.end()

    def end(self) -> None:
        self.number = 0
        if self.transport:
            self.transport.abort()
            self.transport = None

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        if self.transport is not None:  # it was not we who closed it
            self.tally.wrong["closed with an answer due" if self.number else "closed"] += 1
            self.end()


async def ask(port: int, rate: float, seconds: float, tally: Tally) -> None:
    """Ask at an even rate, each connection in its turn, and wait for the last answers.

    First all ask at once, so that the most that can be under way has been, and memory for it is
    there; a client that is held up later leaves out what it has missed.
    """
    clients = [Client(tally) for _ in range(CONNECTIONS)]
    number = 0
    for _ in range(ROUNDS):
        number = await turns(clients, port, number, CONNECTIONS)
        await answered(clients)
    start, due = time.monotonic(), 0
    while (now := time.monotonic()) < start + seconds:
        missed, due = int((now - start) * rate) - due, int((now - start) * rate)
        tally.late += max(0, missed - BURST)
        number = await turns(clients, port, number, min(missed, BURST))
        await asyncio.sleep(0.005)
    await answered(clients)
    tally.wrong["no answer"] += sum(it.number > 0 for it in clients)
    for client in clients:
        client.end()


async def turns(clients: list[Client], port: int, number: int, count: int) -> int:
    """So many connections ask, each in its turn; the number of the last request."""
    for last in range(number + 1, number + count + 1):
        place = last % CONNECTIONS
        clients[place] = await asked(clients[place], port, last, time.monotonic())
    return number + count


async def answered(clients: list[Client]) -> None:
    """Wait until all have their answers, or have waited for too long."""
    end = time.monotonic() + PATIENCE
    while any(it.number for it in clients) and time.monotonic() < end:
        await asyncio.sleep(0.05)


async def asked(client: Client, port: int, number: int, now: float) -> Client:
    """The client that has the turn, or the one in its place, once it has asked if it may."""
    if client.number:
        client.tally.late += 1
        if now - client.asked > PATIENCE:
            client.tally.wrong["no answer"] += 1
            client.end()
        return client
    if client.transport is None:
        client = Client(client.tally)
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: client, "127.0.0.1", port)
    client.ask(number, now)
    return client
