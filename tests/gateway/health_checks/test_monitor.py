import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from isocline.emulator.serve import start as start_emulator
from isocline.emulator.settings import Settings
from isocline.errors import UsageError
from isocline.gateway.config import BackendAddress
from isocline.gateway.health_checks import Checks, HealthCheck, Monitor, Poll
from isocline.gateway.health_checks.probe import Client
from isocline.model.curves import HyperbolicCurve
from tests.gateway.proxies import (
    Backend,
    Handler,
    listening,
    ok,
    read_request,
    refusing_port,
    run,
    saying,
    serving,
    value_of,
)

# An answer may take long on a busy machine; only who never answers is not to be waited for.
OFTEN = HealthCheck(every=0.02, timeout=60.0)
POLL = Poll(every=0.02, timeout=60.0)
NEVER = 0.2  # s of patience with a backend that does not answer
BUSY = b'vllm:num_requests_running{engine="0"} 3\nvllm:num_requests_waiting{engine="0"} 4\n'
SICK = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"


@dataclass
class Told:
    """The news, in order."""

    health: list[tuple[str, int]] = field(default_factory=list)
    reports: list[tuple[int, int, float]] = field(default_factory=list)
    trips: list[tuple[int, float]] = field(default_factory=list)

    def backend_up(self, backend: int) -> None:
        self.health.append(("up", backend))

    def backend_down(self, backend: int, known: bool = False) -> None:
        self.health.append(("still down" if known else "down", backend))

    def reported(self, backend: int, jobs: int, measured: float) -> None:
        self.reports.append((backend, jobs, measured))

    def round_trip(self, backend: int, seconds: float) -> None:
        self.trips.append((backend, seconds))


@asynccontextmanager
async def watching(
    checks: Checks, *handlers: Callable[[Backend], Handler] | str, before: Monitor | None = None
) -> AsyncIterator[tuple[Monitor, Told, list[Backend]]]:
    """A watch over scripted backends; a text in place of a handler is the URL of another one."""
    async with AsyncExitStack() as stack:
        backends, urls = [], []
        for handler in handlers:
            if isinstance(handler, str):
                urls.append(handler)
                continue
            backends.append(await stack.enter_async_context(serving(handler)))
            urls.append(f"http://127.0.0.1:{backends[-1].port}")
        told = Told()
        addresses = [BackendAddress(f"b{i}", url) for i, url in enumerate(urls)]
        watch = Monitor(addresses, checks, told, before=before)
        await watch.start()
        try:
            yield watch, told, backends
        finally:
            await watch.close()


async def until(true: Callable[[], bool]) -> None:
    while not true():
        await asyncio.sleep(0.005)


def polling(poll: Poll = POLL) -> Checks:
    return Checks(None, (poll,))


def silent(_: Backend) -> Handler:
    async def handle(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    return handle


def closing(_: Backend) -> Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()

    return handle


def endless(head: bytes, piece: bytes, pause: float) -> Callable[[Backend], Handler]:
    """A body that never ends."""

    def handler(backend: Backend) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader, backend)
            writer.write(head)
            while not writer.is_closing():
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(pause)

        return handle

    return handler


DRIP = endless(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", b"x", 0.003)
FLOOD = endless(b"HTTP/1.1 200 OK\r\n\r\n", b"y" * 65_536, 0.0)
GARBAGE = b"\x16\x03\x01nothing of this is HTTP\r\n\r\n"
BAD = {
    "silent": silent,
    "closing": closing,
    "garbage": saying(GARBAGE),
    "status": saying(SICK),
    "drip": DRIP,
}
PROBLEMS = {
    "silent": f": no answer within {NEVER:g} s; check that the backend is not stuck, or give",
    "closing": ": the connection broke before the answer was complete; see the backend's log",
    "garbage": ": the answer is not valid HTTP; check the url's port and scheme",
    "status": "status 503",
    "drip": f": no answer within {NEVER:g} s; check that the backend is not stuck, or give",
}


@pytest.mark.parametrize("name", BAD)
def test_first_bad_check_takes_a_backend_out_once(name: str) -> None:
    async def scenario() -> None:
        checks = Checks(replace(OFTEN, timeout=NEVER if name in ("silent", "drip") else 60.0))
        async with watching(checks, BAD[name]) as (watch, told, _):
            await until(lambda: watch.records[0].health.asked >= 5)
            assert told.health == [("down", 0)]
            assert watch.records[0].health.failed == watch.records[0].health.asked
            assert PROBLEMS[name] in watch.records[0].health.problem

    run(scenario())


def test_a_good_backend_is_up_before_it_is_asked() -> None:
    async def scenario() -> None:
        async with watching(Checks(OFTEN), saying(ok()), saying(SICK)) as (watch, told, _):
            await until(lambda: all(it.health.asked >= 3 for it in watch.records))
            assert told.health == [("down", 1)]
            assert watch.records[0].health.failed == 0

    run(scenario())


def test_nobody_listens() -> None:
    async def scenario() -> None:
        with refusing_port() as port:
            await refused(f"http://127.0.0.1:{port}")

    async def refused(url: str) -> None:
        nobody, place = "http://no-such-name.invalid", url.removeprefix("http://")
        elsewhere = replace(POLL, path=f"{url}/metrics")
        checks = Checks(OFTEN, (POLL, elsewhere))
        async with watching(checks, url, nobody) as (watch, told, _):
            await until(lambda: len(told.health) == 2)
            await until(lambda: all(it.metrics.problem for it in watch.records))
            refused = f"{place}: Connection refused; check that the backend is up, and its url"
            assert watch.records[0].health.problem == refused
            assert watch.records[0].metrics.problem == refused
            assert watch.records[1].metrics.problem == refused  # where the page is
            unresolved = "the name 'no-such-name.invalid' cannot be resolved"
            assert watch.records[1].health.problem.startswith(unresolved)

    run(scenario())


def test_three_bad_checks_in_a_row_take_it_out_and_two_good_ones_in_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The defaults of HAProxy: good, 2 bad, good: nothing; 3 bad: down; good, bad: nothing; ..."""
    answers = [ok(), SICK, SICK, ok(), SICK, SICK, SICK, ok(), SICK, ok(), ok()]

    async def scenario() -> None:
        async with watching(Checks(OFTEN), saying(*answers)) as (watch, told, _):
            await until(lambda: watch.records[0].health.asked >= len(answers))
            assert told.health == [("down", 0), ("up", 0)]
            assert watch.records[0].health.failed == 6

    with caplog.at_level(logging.INFO, "isocline.serve.watch"):
        run(scenario())
    assert [it.levelname for it in caplog.records] == ["WARNING", "INFO"] * 3


def test_a_redirection_is_good_and_not_followed_and_long_answers_are_not_read() -> None:
    async def scenario() -> None:
        there = b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"
        async with watching(Checks(OFTEN), saying(there), FLOOD) as (watch, told, backends):
            await until(lambda: all(it.health.asked >= 3 for it in watch.records))
            assert told.health == []
            assert {head.split()[1] for head in backends[0].heads} == {b"/health"}
            assert backends[0].connections == 1  # kept
            assert backends[1].connections >= 3  # left in the middle of a body

    run(scenario())


def test_a_reload_keeps_what_is_known_of_the_same_addresses() -> None:
    async def scenario() -> None:
        async with watching(Checks(OFTEN), saying(SICK), saying(ok())) as (watch, told, backends):
            await until(lambda: bool(told.health))
            urls = [f"http://127.0.0.1:{it.port}" for it in backends]
            slow = replace(OFTEN, every=60.0)  # another check: nothing is known by it
            async with watching(Checks(slow), *urls, before=watch) as (_, again, _):
                assert again.health == []
            async with watching(Checks(OFTEN), *urls, before=watch) as (after, again, _):
                assert again.health == [("still down", 0)]  # at once
                await until(lambda: after.records[0].health.asked > 5)
                assert again.health == [("still down", 0)]
            async with watching(Checks(OFTEN), *reversed(urls), before=watch) as (_, again, _):
                assert again.health == []  # the names have other addresses now

    run(scenario())


def test_while_two_watch_each_tells_its_own() -> None:
    sick: list[bool] = []

    def handler(backend: Backend) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await read_request(reader, backend):
                writer.write(SICK if sick else ok())

        return handle

    async def scenario() -> None:
        async with watching(Checks(OFTEN), handler) as (watch, told, backends):
            await until(lambda: watch.records[0].up is True)
            url = f"http://127.0.0.1:{backends[0].port}"
            async with watching(Checks(OFTEN), url, before=watch) as (_, again, _):
                sick.append(True)
                await until(lambda: told.health == again.health == [("down", 0)])
                sick.clear()
                await until(lambda: told.health == again.health == [("down", 0), ("up", 0)])

    run(scenario())


def test_a_poll_tells_how_many_and_when() -> None:
    """By a clock on which each reading is a second after the one before."""

    async def scenario() -> None:
        async with serving(saying(ok(BUSY))) as backend:
            addresses = [BackendAddress("b0", f"http://127.0.0.1:{backend.port}")]
            told, readings = Told(), itertools.count(100.0)
            client = Client(addresses, lambda: next(readings))
            watch = Monitor(addresses, polling(), told, client=client)
            await watch.start()
            await until(lambda: len(told.reports) >= 2)
            await watch.close()
        assert told.reports[:2] == [(0, 7, 100.5), (0, 7, 102.5)]
        assert told.health == []  # nobody asked for checks

    run(scenario())


NUMBERS = b"vllm:num_requests_running NaN\nvllm:num_requests_waiting 1\n"
BAD_PAGES = {
    "silent": (silent, "no answer within 0.2 s"),
    "garbage": (saying(GARBAGE), "the answer is not valid HTTP"),
    "long head": (
        saying(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 10_000 + b"\r\nContent-Length: 0\r\n\r\n"),
        "a line of the answer's head is too long; shorten it at the backend",
    ),
    "missing": (saying(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"), "status 404"),
    "others": (saying(ok(b"up 1\n")), "/metrics has none of"),
    "numbers": (saying(ok(NUMBERS)), "num_requests_running is 'NaN'"),
    "binary": (saying(ok(bytes(range(256)) * 9)), "/metrics has none of"),
    "long": (saying(ok(b"# x\n" * 500_000 + BUSY)), "more than 1048576 bytes"),
    "flood": (FLOOD, "more than 1048576 bytes"),
}


@pytest.mark.parametrize("name", BAD_PAGES)
def test_a_bad_page_tells_nothing_and_is_logged_once(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    handler, problem = BAD_PAGES[name]

    async def scenario() -> None:
        rule = replace(POLL, server="vllm", timeout=NEVER if handler is silent else POLL.timeout)
        async with watching(polling(rule), handler) as (watch, told, _):
            count = watch.records[0].metrics
            await until(lambda: count.asked >= 4)
            assert problem in count.problem
            assert (told.reports, told.health) == ([], [])
            assert count.failed == count.asked

    with caplog.at_level(logging.INFO, "isocline.serve.watch"):
        run(scenario())
    (line,) = caplog.records
    assert line.getMessage().startswith("backend b0: metrics: ")
    assert problem in line.getMessage()


def test_a_page_of_a_megabyte_is_read_and_problems_end(caplog: pytest.LogCaptureFixture) -> None:
    page = ok(b"# " + b"x" * 1_000_000 + b"\n" + BUSY)

    async def scenario() -> None:
        async with watching(polling(), saying(SICK, SICK, page)) as (watch, told, _):
            await until(lambda: len(told.reports) >= 2)
            assert {jobs for _, jobs, _ in told.reports} == {7}
            assert watch.records[0].metrics.failed == 2

    with caplog.at_level(logging.INFO, "isocline.serve.watch"):
        run(scenario())
    assert [it.levelname for it in caplog.records] == ["WARNING", "INFO", "INFO"]


def test_an_emulated_server_is_checked_and_polled() -> None:
    async def scenario() -> None:
        server = await start_emulator(Settings(HyperbolicCurve(10.0, 5.0)))
        url = f"http://127.0.0.1:{server.port}"
        async with watching(Checks(OFTEN, (replace(POLL, server="vllm"),)), url) as (_, told, _):
            await until(lambda: bool(told.reports))
            assert told.reports[0][:2] == (0, 0)
            server.engine.set_faults(server.engine.faults.with_these({"sick": True}))
            await until(lambda: told.health == [("down", 0)])
            server.engine.set_faults(server.engine.faults.with_these({"sick": False}))
            await until(lambda: told.health == [("down", 0), ("up", 0)])
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            body = b'{"model": "m", "prompt": "hello", "max_tokens": 100000}'
            writer.write(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\n")
            writer.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
            await until(lambda: told.reports[-1][1] == 1)
            writer.close()
            await until(lambda: told.reports[-1][1] == 0)
            await server.close()
            await until(lambda: told.health[-1] == ("down", 0) and len(told.health) == 3)

    run(scenario())


def test_tls_and_what_the_backend_knows_its_router_by(tmp_path: Path) -> None:
    trustme = pytest.importorskip("trustme")
    authority, ca_file = trustme.CA(), str(tmp_path / "ca.pem")
    authority.cert_pem.write_to_path(ca_file)
    import ssl

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)

    async def scenario() -> None:
        backend = Backend(0)
        handle = saying(ok(BUSY))(backend)
        async with listening(handle, ssl=context) as port, serving(saying(ok(BUSY))) as other:
            secret = BackendAddress(
                "b0", f"https://127.0.0.1:{port}/base/", ca_file, True, "Bearer x"
            )
            stranger = BackendAddress("b1", f"https://127.0.0.1:{port}")  # trusts the system's
            page = replace(POLL, path=f"http://127.0.0.1:{other.port}/elsewhere")
            told = Told()
            watch = Monitor([secret, stranger], Checks(OFTEN, (page, None)), told)
            await watch.start()
            await until(lambda: bool(told.reports) and bool(backend.heads) and bool(told.health))
            await watch.close()
            assert told.health == [("down", 1)]
            untrusted = f"127.0.0.1:{port} has a certificate that is not trusted"
            assert watch.records[1].health.problem.startswith(untrusted)
            assert backend.heads[0].startswith(b"GET /base/health HTTP/1.1\r\n")
            assert value_of(backend.heads[0], b"authorization") == b"Bearer x"
            assert other.heads[0].startswith(b"GET /elsewhere HTTP/1.1\r\n")
            assert value_of(other.heads[0], b"authorization") is None

    run(scenario())


def test_a_teller_that_fails_does_not_end_the_watch() -> None:
    class Failing(Told):
        def reported(self, *_: object) -> None:
            raise ZeroDivisionError

    async def scenario() -> None:
        wrong: list[object] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: wrong.append(context["exception"]))
        async with serving(saying(ok(BUSY))) as backend:
            address = BackendAddress("b0", f"http://127.0.0.1:{backend.port}")
            watch = Monitor([address], polling(), Failing())
            await watch.start()
            await until(lambda: len(wrong) >= 2)
            await watch.close()
        assert {type(it) for it in wrong} == {ZeroDivisionError}

    run(scenario())


def test_sixty_hung_backends_do_not_keep_a_good_one_waiting() -> None:
    async def scenario() -> None:
        async with serving(silent) as hung:
            urls = [f"http://127.0.0.1:{hung.port}"] * 60
            async with watching(Checks(OFTEN), *urls, saying(ok())) as (watch, told, _):
                await until(lambda: watch.records[60].health.asked >= 5)
                assert (told.health, watch.records[60].health.failed) == ([], 0)

    run(scenario())


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: HealthCheck(path="health"), "path 'health' is invalid; give one such as /health"),
        (lambda: HealthCheck(path="/a b"), "path '/a b' is invalid"),
        (lambda: HealthCheck(every=0.0), "every is 0.0; give a time"),
        (lambda: HealthCheck(rise=0), "rise is 0; give 1 or more"),
        (lambda: HealthCheck(status=(399, 200)), "status is 399 to 200"),
        (lambda: Poll(server="vlm"), "server 'vlm' is unknown; give auto, emulator, vllm"),
        (lambda: Poll(path="ftp://x/"), "path 'ftp://x/' is invalid"),
        (lambda: Poll(path="http://x:99999/"), "path 'http://x:99999/' is invalid"),
        (lambda: Poll(timeout=float("inf")), "timeout is inf"),
        (lambda: Poll(largest=0), "largest is 0"),
        (lambda: Monitor([], Checks(None, (None,)), Told()), "1 for 0 backends; give one for each"),
    ],
)
def test_bad_checks_are_refused(make: Callable[[], object], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        make()
