"""The helpers of these tests close what they opened, also where a test fails in their midst."""

from pathlib import Path

import pytest

from tests.gateway.proxies import ok, proxying, refusing_port, run, saying, serving, until
from tests.gateway.proxy.test_failures import silent

OPEN = Path("/proc/self/fd")
needs_proc = pytest.mark.skipif(not OPEN.exists(), reason="open files are counted in /proc")


@needs_proc
def test_a_failure_within_leaves_nothing_open() -> None:
    async def scenario() -> None:
        async with proxying(silent, saying(ok())) as (seen, [backend, _]):
            clients = [await seen.connect() for _ in range(3)]
            for client in clients:
                client.writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await until(lambda: backend.heads)
            raise ZeroDivisionError(backend.port)

    def fails() -> None:
        with pytest.raises(ZeroDivisionError):
            run(scenario())

    fails()  # what is opened once per process is there
    before = len(list(OPEN.iterdir()))
    fails()
    assert len(list(OPEN.iterdir())) == before


def test_a_port_refuses_is_served_and_refuses_again() -> None:
    async def scenario() -> None:
        with refusing_port() as port:
            for _ in range(2):
                async with proxying(f"http://127.0.0.1:{port}") as (seen, _):
                    get = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
                    assert (await (await seen.connect()).ask(get))[0] == 502
                    async with serving(saying(ok()), port):
                        assert (await (await seen.connect()).ask(get))[0] == 200

    run(scenario())
