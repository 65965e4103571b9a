"""A client that goes is noticed whatever its connection is paused for."""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Callable

import pytest
import trustme

from isocline.gateway.access_log import CLIENT_GONE
from isocline.gateway.config import Listener, Tls
from isocline.gateway.core.request_cost import ClassWork, measure_of
from isocline.model.curves import TableCurve
from isocline.model.fleet import Work
from isocline.model.serving_settings import HoldingRule, Rules, SizeLimits
from tests.gateway.proxies import (
    Backend,
    Client,
    Handler,
    ok,
    proxying,
    read_request,
    run,
)

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"
LARGE = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n" + b"x" * 300_000
PEAK_AT_ONE = TableCurve(((1, 2.0), (2, 1.0)))


class Working:
    """A backend that answers when it is let; its connections' ends are counted."""

    def __init__(self) -> None:
        self.ends = 0
        self.answer = asyncio.Event()

    def __call__(self, backend: Backend) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await read_request(reader, backend):
                end = asyncio.ensure_future(reader.read())
                answer = asyncio.ensure_future(self.answer.wait())
                await asyncio.wait({end, answer}, return_when=asyncio.FIRST_COMPLETED)
                if not answer.done():
                    answer.cancel()
                    self.ends += 1
                    return
                end.cancel()
                await asyncio.wait({end})
                writer.write(ok())

        return handle


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


def close(client: Client) -> None:
    client.close()


def reset(client: Client) -> None:
    own: socket.socket = client.writer.get_extra_info("socket")
    own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.writer.transport.abort()


def half_close(client: Client) -> None:
    client.writer.write_eof()


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> tuple[Listener, ssl.SSLContext]:
    authority = trustme.CA()
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(path)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return Listener(port=0, tls=Tls(str(path))), context


@pytest.mark.parametrize("leave", [close, reset, half_close])
@pytest.mark.parametrize(
    "beyond", [b"", b"\r\n", GET, GET * 3000], ids=["none", "CRLF", "a request", "many"]
)
def test_what_a_client_sent_ahead_does_not_hide_that_it_has_gone(
    beyond: bytes, leave: Callable[[Client], None]
) -> None:
    async def scenario() -> None:
        work = Working()
        async with proxying(work) as (seen, [backend]):
            client = await seen.connect()
            client.writer.write(POST + beyond)
            await until(lambda: backend.heads)
            leave(client)
            await until(lambda: work.ends)
            await seen.settled()
            assert [access.status for access in seen.accesses] == [CLIENT_GONE]
            assert len(backend.heads) == 1  # and what it sent ahead reaches no backend
            client.close()

    run(scenario())


# A close within TLS waits for the other end's word, and its end of the connection with it.
@pytest.mark.parametrize(
    ("beyond", "leave"),
    [(b"\r\n", close), (b"\r\n", reset), (GET * 3000, reset)],
    ids=["CRLF-close", "CRLF-reset", "many-reset"],
)
def test_nor_does_it_within_tls(
    secure: tuple[Listener, ssl.SSLContext], beyond: bytes, leave: Callable[[Client], None]
) -> None:
    listener, context = secure

    async def scenario() -> None:
        work = Working()
        async with proxying(work, listeners=(listener,)) as (seen, [backend]):
            client = await seen.connect(context)
            client.writer.write(POST + beyond)
            await until(lambda: backend.heads)
            leave(client)
            await until(lambda: work.ends)
            await seen.settled()
            assert len(backend.heads) == 1

    run(scenario())


@pytest.mark.parametrize(("waiting", "leave"), [(2**28, close), (2**28, reset), (2**20, reset)])
def test_a_client_that_goes_leaves_the_queue_whatever_the_length_of_its_body(
    waiting: int, leave: Callable[[Client], None]
) -> None:
    async def scenario() -> None:
        work, rules = Working(), Rules(HoldingRule(seconds=30.0, most=3))
        sizes = SizeLimits(body=min(waiting, 2**20), bodies=waiting)
        async with proxying(work, sizes=sizes, curve=PEAK_AT_ONE, rules=rules) as (seen, [backend]):
            core = seen.proxy.bridge.core
            served = await seen.connect()
            served.writer.write(POST)
            await until(lambda: backend.heads)
            dead = [await seen.connect() for _ in range(3)]
            for client in dead:
                client.writer.write(LARGE)
            await until(lambda: core.held(0) == 3)
            for client in dead:
                leave(client)
            await until(lambda: core.held(0) == 0)
            live = await seen.connect()
            live.writer.write(LARGE)
            await until(lambda: core.held(0) == 1)  # there is room again
            work.answer.set()
            assert (await served.response())[0] == 200
            assert (await live.response())[0] == 200
            assert [len(body) for body in backend.bodies] == [2, 300_000]
            await seen.settled()
            for client in (served, live):
                client.close()

    run(scenario())


def test_a_client_that_goes_is_noticed_while_its_backend_takes_nothing() -> None:
    ended = asyncio.Event()

    def deaf(backend: Backend) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            backend.heads.append(await reader.readuntil(b"\r\n\r\n"))
            await until(gone.is_set)
            with contextlib.suppress(ConnectionError):
                await reader.read()
            ended.set()

        return handle

    gone = asyncio.Event()

    async def scenario() -> None:
        async with proxying(deaf) as (seen, [backend]):
            client = await seen.connect()
            client.writer.write(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 90000000\r\n\r\n")
            await until(lambda: backend.heads)
            [connection] = seen.proxy.clients.connections
            while not connection.paused:
                client.writer.write(b"x" * 100_000)
                await asyncio.sleep(0)
            reset(client)
            await seen.settled()
            assert seen.accesses[0].status == CLIENT_GONE
            gone.set()
            await ended.wait()

    run(scenario())


def test_requests_sent_ahead_are_answered_while_the_client_is_there() -> None:
    def echo(backend: Backend) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await read_request(reader, backend):
                writer.write(ok(backend.heads[-1].split(b" ", 2)[1]))

        return handle

    async def scenario() -> None:
        async with proxying(echo) as (seen, _):
            client = await seen.connect()
            requests = [b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % i for i in range(3000)]
            client.writer.write(b"".join(requests))  # 3 times what is read ahead
            for i in range(3000):
                assert (await client.response())[2] == b"/%d" % i
            client.close()

    run(scenario())


def test_a_tunnel_ends_with_the_reset_of_an_end_that_is_not_read() -> None:
    ended = asyncio.Event()
    switch = (
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
    )

    def deaf(backend: Backend) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(switch)
            await ended.wait()

        return handle

    async def scenario() -> None:
        async with proxying(deaf) as (seen, _):
            client = await seen.connect()
            asks = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
            assert (await client.ask(asks))[0] == 101
            client.writer.transport.set_write_buffer_limits(high=1_000_000)
            with contextlib.suppress(TimeoutError):
                while True:  # until nothing moves any more
                    client.writer.write(b"x" * 1_000_000)
                    await asyncio.wait_for(client.writer.drain(), 0.5)
            reset(client)
            await until(lambda: not seen.proxy.clients.tunnels)
            await seen.settled()
            ended.set()

    run(scenario())


EVENTS = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
DONE = b"data: [DONE]\n\n"


@pytest.mark.parametrize("leave", [close, reset, half_close])
@pytest.mark.parametrize(
    ("events", "served"),
    [
        ([EVENTS, DONE], True),
        ([EVENTS + DONE], True),
        ([EVENTS], False),
        ([EVENTS, b'data: {"choices":[{"delta":{"content":"data: [DONE]"}}]}\n\n'], False),
    ],
    ids=["two pieces", "one piece", "before the last event", "a model that says so"],
)
def test_a_stream_whose_client_leaves_after_the_last_event_was_served(
    events: list[bytes], served: bool, leave: Callable[[Client], None]
) -> None:
    """The chunk that ends the body comes later, and many clients do not wait for it."""

    async def scenario() -> None:
        ends = 0

        def serve(backend: Backend) -> Handler:
            async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                nonlocal ends
                await read_request(reader, backend)
                head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                writer.write(head + b"Transfer-Encoding: chunked\r\n\r\n")
                for event in events:
                    writer.write(b"%x\r\n%b\r\n" % (len(event), event))
                    await writer.drain()
                await reader.read()
                ends += 1

            return handle

        measure = measure_of("tokens", [ClassWork(0.0, 0.0)], 1, Work())
        async with proxying(serve, measure=measure, tokens=True) as (seen, _):
            client = await seen.connect()
            client.writer.write(POST)
            await client.reader.readuntil(events[-1])
            leave(client)
            await until(lambda: ends)  # the backend's connection is closed, and not used again
            await seen.settled()
            assert [access.status for access in seen.accesses] == [200 if served else CLIENT_GONE]
            feedback = seen.proxy.bridge.core.feedback
            assert feedback is not None
            done = sum(done for done, _ in feedback.counts(0).values())
            assert (done > 0) == served
            client.close()

    run(scenario())
