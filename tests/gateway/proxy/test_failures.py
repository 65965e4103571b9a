"""What goes wrong at either side, and who is told what."""

import asyncio
import contextlib
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest

from isocline.gateway.access_log import CLIENT_GONE
from isocline.gateway.config import BackendAddress, FrontendRule
from isocline.gateway.core.build import core_of
from isocline.gateway.metrics.failure_reasons import reason_of
from isocline.gateway.proxy import Proxy
from isocline.gateway.proxy.backend_connection import BackendConnection
from isocline.model.curves import TableCurve
from isocline.model.match import Match
from isocline.model.serving_settings import HoldingRule, RetryRule, Rules, SizeLimits
from isocline.policies.parse import parse
from tests.builders import fleet
from tests.gateway.proxies import (
    CURVE,
    RESTED,
    Backend,
    Client,
    Handler,
    Seen,
    ok,
    proxying,
    read_request,
    refusing_port,
    run,
    saying,
    serving,
    until,
    value_of,
)
from tests.running import running

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"


def breaking(after: bytes) -> Callable[[Backend], Handler]:
    """A backend that breaks off the first request after these bytes."""

    def handler(backend: Backend) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await read_request(reader, backend):
                if len(backend.heads) == 1:
                    writer.write(after)
                    await writer.drain()
                    await asyncio.sleep(0.02)
                    writer.transport.abort()
                    return
                writer.write(ok())

        return handle

    return handler


def silent(backend: Backend) -> Handler:
    """Reads and says nothing."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await read_request(reader, backend):
            pass

    return handle


def test_a_refused_connection_is_tried_elsewhere_even_for_post() -> None:
    async def scenario() -> None:
        with refusing_port() as port:
            dead = f"http://127.0.0.1:{port}"
            async with proxying(dead, saying(ok()), policy="round_robin") as (seen, [backend]):
                await tried(seen, backend)

    async def tried(seen: Seen, backend: Backend) -> None:
        client = await seen.connect()
        for _ in range(4):
            assert (await client.ask(POST))[0] == 200
        assert backend.bodies == [b"hi"] * 4
        assert max(access.attempts for access in seen.accesses) == 2
        client.close()

    run(scenario())


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        (b"X: " + b"x" * 40_000 + b"\r\n", "it is longer than 32768 bytes; raise sizes.head"),
        (b"X: 1\r\n" * 101, "more than 100 header fields; raise sizes.header_count"),
    ],
)
def test_a_head_beyond_a_limit_is_named_with_the_setting(fields: bytes, says: str) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + fields + b"\r\n"

    async def scenario() -> None:
        async with proxying(saying(head)) as (seen, _):
            client = await seen.connect()
            status, _, body = await client.ask(GET)
            assert status == 502
            assert b"the head of the response exceeds a limit" in body
            await until(lambda: bool(seen.accesses))
            (access,) = seen.accesses
            assert says in access.reason
            assert "not valid HTTP" not in access.reason
            assert reason_of(access) == "head_too_long"
            client.close()

    run(scenario())


def test_nobody_to_send_to_is_told_with_a_time_to_come_back() -> None:
    async def scenario() -> None:
        with refusing_port() as port:
            async with proxying(f"http://127.0.0.1:{port}") as (seen, _):
                await told(seen)

    async def told(seen: Seen) -> None:
        client = await seen.connect()
        assert (await client.ask(GET))[0] == 502
        seen.proxy.bridge.core.backend_down(0, 1e9)
        status, head, body = await client.ask(GET)
        assert status == 503
        assert int(value_of(head, b"retry-after") or b"0") >= 1
        assert b"no backend is up" in body
        client.close()

    run(scenario())


@pytest.mark.parametrize(("request_", "status", "sends"), [(GET, 200, 2), (POST, 502, 1)])
def test_only_what_may_happen_twice_is_sent_twice(request_: bytes, status: int, sends: int) -> None:
    async def scenario() -> None:
        async with proxying(breaking(b"")) as (seen, [backend]):
            client = await seen.connect()
            assert (await client.ask(request_))[0] == status
            assert len(backend.heads) == sends
            await seen.settled()
            client.close()

    run(scenario())


def test_a_response_that_breaks_off_is_broken_off() -> None:
    async def scenario() -> None:
        part = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
        async with proxying(breaking(part)) as (seen, [backend]):
            client = await seen.connect()
            client.writer.write(GET)
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError, ValueError)):
                await client.response()
            await seen.settled()
            assert len(backend.heads) == 1
            assert "broke" in seen.accesses[0].reason
            client.close()

    run(scenario())


def test_a_killed_process_loses_no_get() -> None:
    program = (
        "import http.server as h\n"
        "class H(h.BaseHTTPRequestHandler):\n"
        "    protocol_version = 'HTTP/1.1'\n"
        "    def do_GET(self):\n"
        # One write: a head without its body has gone to the client and cannot be asked for again.
        "        self.wfile.write(b'HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok')\n"
        "    def log_message(self, *a): pass\n"
        "s = h.ThreadingHTTPServer(('127.0.0.1', 0), H)\n"
        "print(s.server_port, flush=True)\n"
        "s.serve_forever()\n"
    )

    async def scenario() -> None:
        with running([sys.executable, "-S", "-c", program], stdout=subprocess.PIPE) as process:
            assert process.stdout
            port = int(await asyncio.to_thread(process.stdout.readline))
            async with proxying(
                f"http://127.0.0.1:{port}",
                saying(ok()),
                policy="round_robin",
                # Not used up by what fails until the ejection, and again after each on a busy day.
                rules=Rules(retries=RetryRule(share=1.0, least=1e6)),
            ) as (seen, _):
                clients = [await seen.connect() for _ in range(8)]

                async def many(client: Client) -> list[int]:
                    return [(await client.ask(GET))[0] for _ in range(40)]

                work = asyncio.gather(*(many(client) for client in clients))
                while len(seen.accesses) < 40:  # of 320: the rest meet a dead backend
                    await asyncio.sleep(0.001)
                process.send_signal(signal.SIGKILL)
                assert {status for row in await work for status in row} == {200}
                assert any(access.attempts > 1 for access in seen.accesses)
                await seen.settled()
                for client in clients:
                    client.close()

    run(scenario())


@pytest.mark.parametrize(
    "garbage",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\nab\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 40_000,
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    ],
)
def test_garbage_from_a_backend_is_502(garbage: bytes) -> None:
    async def scenario() -> None:
        async with proxying(saying(garbage)) as (seen, _):
            client = await seen.connect()
            assert (await client.ask(GET))[0] == 502
            await seen.settled()
            client.close()

    run(scenario())


def test_a_stray_byte_between_responses_ends_that_connection() -> None:
    async def scenario() -> None:
        async with proxying(saying(ok() + b"HTTP/1.1 200 OK", ok(b"two"))) as (seen, [backend]):
            client = await seen.connect()
            assert (await client.ask(GET))[2] == b"ok"
            seen.clock.skip(RESTED)
            assert (await client.ask(POST))[2] == b"two"
            assert backend.connections == 2
            client.close()

    run(scenario())


def test_an_idle_connection_that_the_backend_closed_is_not_used() -> None:
    def once(backend: Backend) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader, backend)
            writer.write(ok())

        return handle

    async def scenario() -> None:
        async with proxying(once) as (seen, [backend]):
            client = await seen.connect()
            for _ in range(20):
                assert (await client.ask(POST))[0] == 200  # never 502, though POST is not retried
                await asyncio.sleep(0.002)
            assert backend.connections == 20
            client.close()

    run(scenario())


def test_a_client_that_goes_frees_its_backend() -> None:
    gone = asyncio.Event()

    def waiting(backend: Backend) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader, backend)
            with contextlib.suppress(ConnectionError):
                await reader.read()
            gone.set()

        return handle

    async def scenario() -> None:
        async with proxying(waiting) as (seen, [backend]):
            client = await seen.connect()
            client.writer.write(POST)
            await until(lambda: backend.heads)
            client.close()
            await gone.wait()
            await seen.settled()
            assert seen.accesses[0].status == CLIENT_GONE

    run(scenario())


def test_clients_that_break_off_at_any_time_trouble_nobody_else() -> None:
    def streaming(backend: Backend) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await read_request(reader, backend):
                writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                for _ in range(50):
                    if writer.transport.is_closing():
                        return
                    writer.write(b"3\r\nabc\r\n" * 100)
                    await asyncio.sleep(0)
                if not writer.transport.is_closing():
                    writer.write(b"0\r\n\r\n")

        return handle

    async def scenario() -> None:
        async with proxying(streaming) as (seen, _):

            async def break_off(after: int) -> None:
                client = await seen.connect()
                client.writer.write(POST)
                for _ in range(after % 20):
                    await asyncio.sleep(0)
                client.writer.transport.abort()

            for start in range(0, 200, 20):
                await asyncio.gather(*(break_off(start + i) for i in range(20)))
            patient = await seen.connect()
            assert (await patient.ask(POST))[2] == b"abc" * 5000
            await seen.settled()
            assert {access.status for access in seen.accesses} <= {200, CLIENT_GONE}
            # Between a loss and the loop's word of it, a write must not raise: uvloop's would, into
            # the connection of the backend whose data it is.
            while len(seen.proxy.clients.connections) > 1:
                await asyncio.sleep(0.005)
            [connection] = seen.proxy.clients.connections
            connection.abort()
            connection.write(b"late")
            patient.close()

    run(scenario())


def test_requests_past_the_peak_wait_and_then_go() -> None:
    async def scenario() -> None:
        rules = Rules(HoldingRule(seconds=600.0, most=1))
        peak_at_one = TableCurve(((1, 2.0), (2, 1.0)))
        async with proxying(silent, saying(ok()), curve=peak_at_one, rules=rules) as (seen, _):
            core = seen.proxy.bridge.core
            core.backend_drain(1, 0.0)
            served, held, refused = [await seen.connect() for _ in range(3)]
            served.writer.write(POST)
            await until(lambda: core.in_flight(0) == 1)
            held.writer.write(POST)
            await until(lambda: core.held(0) == 1)
            status, head, _ = await refused.ask(POST)
            assert status == 503
            assert value_of(head, b"retry-after") is not None
            seen.proxy.bridge.act(core.backend_undrain(1, 1e6))
            assert (await held.response())[0] == 200

    run(scenario())


def test_requests_past_the_peak_wait_no_longer_than_they_may() -> None:
    async def scenario() -> None:
        rules = Rules(HoldingRule(seconds=20.0, most=1))
        peak_at_one = TableCurve(((1, 2.0), (2, 1.0)))
        async with proxying(silent, curve=peak_at_one, rules=rules) as (seen, _):
            served, held = [await seen.connect() for _ in range(2)]
            served.writer.write(POST)
            await until(lambda: seen.proxy.bridge.core.in_flight(0) == 1)
            held.writer.write(POST)
            await until(lambda: seen.proxy.bridge.core.held(0) == 1)
            seen.clock.skip(20.0)
            assert (await held.response())[0] == 504
            assert seen.proxy.bridge.core.held(0) == 0

    run(scenario())


def test_memory_stays_bounded_while_a_slow_client_reads() -> None:
    size = 50_000_000

    def large(backend: Backend) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader, backend)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            block = b"x" * 500_000
            for _ in range(size // len(block)):
                writer.write(block)
                await writer.drain()

        return handle

    async def scenario() -> None:
        async with proxying(large) as (seen, _):
            client = await seen.connect()
            client.writer.write(GET)
            await client.reader.readuntil(b"\r\n\r\n")
            [connection] = seen.proxy.clients.connections
            await until(connection.transport.get_write_buffer_size)
            most, left = 0, size
            while left:
                most = max(most, connection.transport.get_write_buffer_size())
                left -= len(await client.reader.read(1_000_000))
            # The limit, and one read that was under way (at most 256 KiB in uvloop).
            assert 0 < most <= SizeLimits().buffer + 262_144
            await seen.settled()
            client.close()

    run(scenario())


def test_memory_stays_bounded_while_a_slow_backend_reads() -> None:
    size = 30_000_000
    taken = 0
    filled = asyncio.Event()

    def slow(backend: Backend) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal taken
            await reader.readuntil(b"\r\n\r\n")
            await filled.wait()
            while taken < size:
                taken += len(await reader.read(1_000_000))
            writer.write(ok())

        return handle

    async def scenario() -> None:
        async with proxying(slow) as (seen, _):
            client = await seen.connect()
            client.writer.write(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
            most = 0
            block = b"x" * 500_000

            async def send() -> None:
                for _ in range(size // len(block)):
                    client.writer.write(block)
                    await client.writer.drain()

            sending = asyncio.ensure_future(send())
            while not sending.done():
                for exchange in seen.proxy.bridge.exchanges.values():
                    if exchange.backend:
                        assert isinstance(exchange.backend, BackendConnection)
                        buffer = exchange.backend.transport.get_write_buffer_size()
                        most = max(most, buffer)
                if most:
                    filled.set()
                await asyncio.sleep(0.001)
            assert (await client.response())[0] == 200
            assert taken == size
            assert 0 < most <= SizeLimits().buffer + 262_144
            client.close()

    run(scenario())


def test_a_held_body_that_fills_its_connection_at_once_pauses_the_client() -> None:
    """The connection is full while the exchange begins to write, and says so once."""
    size, more = 20_000_000, 20_000_000

    def deaf(backend: Backend) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            backend.heads.append(await reader.readuntil(b"\r\n\r\n"))
            await asyncio.Event().wait()

        return handle

    async def scenario() -> None:
        rules = Rules(HoldingRule(seconds=600.0, most=1))
        peak_at_one = TableCurve(((1, 2.0), (2, 1.0)))
        async with proxying(silent, deaf, curve=peak_at_one, rules=rules) as (seen, _):
            core = seen.proxy.bridge.core
            core.backend_drain(1, 0.0)
            served, held = await seen.connect(), await seen.connect()
            served.writer.write(POST)
            await until(lambda: core.in_flight(0) == 1)
            head = b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
            held.writer.write(head % (size + more) + b"x" * size)
            await until(lambda: seen.proxy.clients.bodies.size >= size)
            [connection] = [
                it
                for it in seen.proxy.clients.connections
                if it.exchange and (it.exchange.head.length or 0) > 2
            ]
            assert not connection.paused
            seen.proxy.bridge.act(core.backend_undrain(1, 1e6))
            await until(lambda: seen.proxy.clients.bodies.size < size)  # it has a connection
            assert connection.paused

    run(scenario())


def test_a_stop_lets_what_is_under_way_end() -> None:
    answered = asyncio.Event()

    def slow(backend: Backend) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await read_request(reader, backend):
                await answered.wait()
                writer.write(ok())

        return handle

    async def scenario() -> None:
        async with proxying(slow) as (seen, _):
            busy, idle = await seen.connect(), await seen.connect()
            busy.writer.write(GET)
            await until(lambda: seen.proxy.in_flight and len(seen.proxy.clients.connections) == 2)
            stopping = asyncio.ensure_future(seen.proxy.stop(60.0))
            assert await idle.reader.read() == b""
            answered.set()
            status, head, _ = await busy.response()
            assert (status, value_of(head, b"connection")) == (200, b"close")
            await stopping
            with pytest.raises(ConnectionError):
                await seen.connect()
            busy.close()
            idle.close()

    run(scenario())


def test_what_waits_goes_to_the_backends_of_a_reload() -> None:
    may_answer = asyncio.Event()
    gone = TableCurve(((1, 2.0), (2, 1.0)))  # full with one job

    def slow(backend: Backend) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await read_request(reader, backend):
                await may_answer.wait()
                writer.write(ok(b"before"))

        return handle

    def numbered(backend: Backend) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await read_request(reader, backend):
                writer.write(ok(b"after %d" % len(backend.heads)))

        return handle

    def asking(number: int) -> bytes:
        return POST.replace(b"POST /", b"POST /%d" % number)

    async def scenario() -> None:
        rules = Rules(HoldingRule(seconds=600.0, most=9))
        names = [FrontendRule("gone", Match(path="/gone")), FrontendRule("all")]
        async with (
            proxying(slow, curve=gone, rules=rules, frontends=names) as (seen, _),
            serving(numbered) as fresh,
        ):
            proxy: Proxy = seen.proxy
            first, *waiting = [await seen.connect() for _ in range(4)]
            served = asyncio.ensure_future(first.ask(asking(0)))
            await until(lambda: proxy.in_flight)
            for number, client in enumerate(waiting, start=1):
                client.writer.write(asking(number))
            await until(lambda: proxy.bridge.core.held(1) == 3)
            # Every backend is another, and frontends have other numbers.
            old = proxy.bridge.core
            core = core_of(fleet([CURVE], [0.1]), parse("gmsr"), rules=rules)
            address = BackendAddress("fresh", f"http://127.0.0.1:{fresh.port}")
            settings = replace(
                proxy.settings, backends=(address,), frontends=(FrontendRule("all"),)
            )
            proxy.replace(core, settings)
            assert old.held(1) == 0
            for client in waiting:
                status, _, body = await client.response()
                assert status == 200
                assert body.startswith(b"after ")
            assert sorted(head.split()[1] for head in fresh.heads) == [b"/1", b"/2", b"/3"]
            may_answer.set()
            assert (await served)[2] == b"before"  # what was sent stays where it is
            await until(lambda: len(seen.accesses) == 4)
            found = [it for it in seen.accesses if it.target != b"/0"]
            assert [(it.frontend, it.backend, it.status) for it in found] == [(0, 0, 200)] * 3

    run(scenario())


def test_what_waits_stays_where_a_reload_has_nothing_for_it() -> None:
    may_answer = asyncio.Event()

    def slow(backend: Backend) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await read_request(reader, backend):
                await may_answer.wait()
                writer.write(ok())

        return handle

    async def scenario() -> None:
        rules = Rules(HoldingRule(seconds=600.0, most=9))
        one = TableCurve(((1, 2.0), (2, 1.0)))
        async with proxying(slow, curve=one, rules=rules) as (seen, _):
            proxy: Proxy = seen.proxy
            first, second = await seen.connect(), await seen.connect()
            served = asyncio.ensure_future(first.ask(POST))
            await until(lambda: proxy.in_flight)
            second.writer.write(POST)
            await until(lambda: proxy.bridge.core.held(0))
            old = proxy.bridge.core
            for frontend in ("another", "all"):
                core = core_of(fleet([one], [0.1]), parse("gmsr"), rules=rules)
                if frontend == "all":
                    core.backend_down(0, seen.clock())
                proxy.replace(core, replace(proxy.settings, frontends=(FrontendRule(frontend),)))
                assert (old.held(0), core.held(0)) == (1, 0)
            may_answer.set()
            assert (await served)[0] == (await second.response())[0] == 200

    run(scenario())


def test_a_reload_loses_nothing() -> None:
    may_answer = asyncio.Event()

    def slow(backend: Backend) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await read_request(reader, backend):
                await may_answer.wait()
                writer.write(ok())

        return handle

    async def scenario() -> None:
        cores = [core_of(fleet([CURVE], [0.1]), parse("gmsr")) for _ in range(5)]
        async with proxying(slow) as (seen, [backend]):
            proxy: Proxy = seen.proxy
            client = await seen.connect()

            for core in cores:
                asked = asyncio.ensure_future(client.ask(POST))
                await until(lambda: proxy.in_flight)
                proxy.replace(core, proxy.settings)
                assert core.workload(0, seen.clock())[0] == 1  # that of the core before
                may_answer.set()
                assert (await asked)[0] == 200
                may_answer.clear()
                assert proxy.in_flight == 0
                while core.workload(0, seen.clock())[0]:  # until it has heard of that end
                    await asyncio.sleep(0.005)
                seen.clock.skip(RESTED)
            assert backend.connections == 1  # the pool is the same
            client.close()

    run(scenario())
