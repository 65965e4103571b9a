"""Real Envoy, real backends, and `isocline serve --plane picker` between them."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any, NamedTuple

import pytest
import yaml

from tests.deploy.promql import DEPLOY
from tests.gateway.proxies import refusing_port
from tests.gateway.telemetry.collector import collecting
from tests.live.processes import Counting, Live, counting, serving, system, until, write
from tests.planes.picker.envoys import Envoy, configured, envoy
from tests.running import running

PICKER = {"conformance": True}
SERVED = "x-conformance-test-served-endpoint"
CLIENTS, FEW = 4, 20  # of a load, and requests of it that are looked at


class Site(NamedTuple):
    envoy: Envoy
    picker: Live
    backends: list[Counting]

    def endpoint(self, backend: int) -> str:
        return f"127.0.0.1:{self.backends[backend].port}"

    def nothing_left(self) -> None:
        until(lambda: self.picker.in_flight == 0, lambda: "requests are counted that are over")


def pool(backends: list[Counting] | dict[str, str]) -> dict[str, Any]:
    """A system file's content, without what is a gateway's affair."""
    content = system(backends, policy="gmsr", picker=PICKER)
    del content["serve"]["times"], content["serve"]["retries"]
    return content


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("picker")
    with ExitStack() as stack:
        backends = stack.enter_context(counting(folder, "a", "b", "c"))
        options = ["--plane", "picker"]
        live = stack.enter_context(serving(folder, pool(backends), options=options))
        ports = [backend.port for backend in backends]
        front = stack.enter_context(envoy(folder, live.port, ports))
        until(front.picker_is_healthy, lambda: "Envoy does not see the picker")
        yield Site(front, live, backends)


def test_requests_go_where_the_picker_says_and_it_learns_who_served(site: Site) -> None:
    fields = {"x-id": "one"}
    for _ in range(10):
        status, answered, content = site.envoy.ask("/echo", b"something", fields)
        assert (status, content) == (200, b"something")
        assert answered[SERVED] in [site.endpoint(b) for b in range(3)]
    site.nothing_left()
    assert site.picker.statistics["frontends"][0]["requests"]["codes"]["200"] >= 10


@pytest.mark.parametrize("backend", [0, 1, 2])
def test_a_conformance_test_selects_its_endpoint(site: Site, backend: int) -> None:
    selected = site.endpoint(backend)
    for _ in range(3):
        fields = {"test-epp-endpoint-selection": selected}
        status, answered, _ = site.envoy.ask(fields=fields)
        assert status == 200
        assert answered[SERVED] == selected


@pytest.mark.parametrize("selected", [[2], [0, 1], [0, 1, 2], None])
def test_a_conformance_tests_requests_reach_selected_endpoints_only(
    site: Site, selected: list[int] | None
) -> None:
    """As in the extension's own tests; None: an address alone, which stands for all its ports."""
    endpoints = [site.endpoint(b) for b in ([0, 1, 2] if selected is None else selected)]
    header = "127.0.0.1" if selected is None else ",".join(endpoints)
    fields = {"test-epp-endpoint-selection": header}
    with ThreadPoolExecutor(10) as clients:
        ends = list(clients.map(lambda _: site.envoy.ask("/slow/0.01", fields=fields), range(50)))
    assert {status for status, _, _ in ends} == {200}
    assert {answered[SERVED] for _, answered, _ in ends} == set(endpoints)
    site.nothing_left()


def test_a_conformance_test_that_selects_nobody_gets_503(site: Site) -> None:
    for selected in ("10.9.9.9", "10.9.9.9:1,10.9.9.8", "127.0.0.1:1"):
        status, _, _ = site.envoy.ask(fields={"test-epp-endpoint-selection": selected})
        assert status == 503


def test_a_gateways_subset_is_kept_to(site: Site) -> None:
    for backend in (2, 1):
        _, answered, _ = site.envoy.ask(fields={"x-subset": site.endpoint(backend)})
        assert answered[SERVED] == site.endpoint(backend)
    both = f"{site.endpoint(2)}, {site.endpoint(1)}"
    for _ in range(5):
        _, answered, _ = site.envoy.ask(fields={"x-subset": both})
        assert answered[SERVED] in both
    status, answered, content = site.envoy.ask(fields={"x-subset": "10.9.9.9:1"})
    assert (status, answered["content-type"]) == (503, "application/json")
    assert b"no backend" in content
    assert "retry-after" in answered


def test_bodies_longer_than_all_windows_pass(site: Site) -> None:
    long = bytes(range(256)) * 16_384  # 4 MiB
    status, _, content = site.envoy.ask("/echo", long)
    assert status == 200
    assert content == long
    site.nothing_left()


@pytest.mark.parametrize("path", ["/reset", "/garbage", "/cut", "/short"])
def test_what_goes_wrong_at_a_backend_leaves_no_count(site: Site, path: str) -> None:
    status, _, _ = site.envoy.ask(path)
    assert status in (0, 502, 503)
    site.nothing_left()


def test_many_at_once_are_all_answered(site: Site) -> None:
    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(lambda _: site.envoy.ask("/slow/0.01")[0], range(200)))
    assert statuses == [200] * 200
    site.nothing_left()


@contextmanager
def remembering() -> Iterator[tuple[int, list[str]]]:
    """Port of a backend, and the `traceparent` of each request that it gets."""
    told: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(self.headers.get("traceparent", ""))
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server.server_address[1], told
        finally:
            server.shutdown()
            thread.join()


def test_a_backend_continues_the_trace_of_the_picker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    with ExitStack() as stack:
        collector = stack.enter_context(collecting())
        port, told = stack.enter_context(remembering())
        content = pool({"a": f"http://127.0.0.1:{port}"})
        content["serve"]["tracing"] = {"endpoint": collector.url}
        live = stack.enter_context(serving(tmp_path, content, options=["--plane", "picker"]))
        front = stack.enter_context(envoy(tmp_path, live.port, [port]))
        until(front.picker_is_healthy, lambda: "Envoy does not see the picker")
        trace, caller = "12345678901234567890123456789012", "1234567890123456"
        status, _, _ = front.ask(fields={"traceparent": f"00-{trace}-{caller}-01"})
        assert status == 204
        collector.until(lambda: len(collector.spans) == 2)
        server, client = sorted(collector.spans, key=lambda it: it.parent_span_id.hex() != caller)
        assert server.trace_id.hex() == trace
        assert server.parent_span_id.hex() == caller
        assert client.parent_span_id == server.span_id
        assert told == [f"00-{trace}-{client.span_id.hex()}-01"]


@contextmanager
def picking(folder: Path, port: int = 0) -> Iterator[Live]:
    """A picker that may be killed."""
    stderr = folder / f"stderr-{port}"
    command = [sys.executable, "-m", "isocline", "serve", str(folder / "system.yaml")]
    options = ["--plane", "picker", "--listen", f"127.0.0.1:{port}"]
    with stderr.open("w") as errors, running([*command, *options], stderr=errors) as process:
        live = Live(process, folder / "system.yaml", stderr)
        until(live.serves, lambda: live.said)
        assert process.poll() is None, live.said
        yield live


class Load:
    """Clients that ask again and again, and how each of their requests has ended, in order.

    Attributes:
        ended: Status of each, and the endpoint that served if the picker was asked.
    """

    def __init__(self, front: Envoy, clients: int) -> None:
        self.ended: list[tuple[int, str]] = []
        self._front, self._stopped = front, Event()
        self._pool = ThreadPoolExecutor(clients)
        for _ in range(clients):
            self._pool.submit(self._ask)

    def _ask(self) -> None:
        while not self._stopped.is_set():
            status, answered, _ = self._front.ask("/slow/0.01")
            self.ended.append((status, answered.get(SERVED, "")))

    def more(self, requests: int) -> list[tuple[int, str]]:
        """Ends of so many requests that began from now on."""
        first = len(self.ended) + CLIENTS  # those under way may have begun before
        until(lambda: len(self.ended) >= first + requests, lambda: "the load stands still")
        return self.ended[first : first + requests]

    def stop(self) -> None:
        self._stopped.set()
        self._pool.shutdown()


def test_a_picker_killed_under_load_is_fallen_back_from_and_comes_back(tmp_path: Path) -> None:
    """Here the picker does not see the bodies of responses: their ends are those of streams."""
    with ExitStack() as stack:
        backends = stack.enter_context(counting(tmp_path, "a", "b"))
        write(tmp_path / "system.yaml", pool(backends[:1]))
        ports = [backend.port for backend in backends]
        live = stack.enter_context(picking(tmp_path))
        front = stack.enter_context(envoy(tmp_path, live.port, ports, response_body="NONE"))
        until(front.picker_is_healthy, lambda: "Envoy does not see the picker")
        load = Load(front, CLIENTS)
        stack.callback(load.stop)
        picked = (200, f"127.0.0.1:{ports[0]}")
        assert load.more(FEW) == [picked] * FEW
        live.process.kill()
        live.process.wait()
        until(lambda: not front.picker_is_healthy(), lambda: "Envoy sees a dead picker")
        assert load.more(FEW) == [(200, "")] * FEW
        later = stack.enter_context(picking(tmp_path, live.port))
        until(front.picker_is_healthy, lambda: "Envoy does not see the new picker")
        # Its first answers may come too late for Envoy on a busy machine, which goes on without.
        until(lambda: load.more(1) == [picked], lambda: "the new picker is not asked")
        assert load.more(FEW) == [picked] * FEW
        load.stop()
        lost = [end for end in load.ended if end[0] != 200]
        assert {status for status, _ in lost} <= {500}  # those that were with it when it died
        until(lambda: later.in_flight == 0, lambda: "requests are counted that are over")


def test_attempts_go_down_the_list_of_endpoints(tmp_path: Path) -> None:
    """The first that is chosen does not listen: the next one serves, and is known to have."""
    with ExitStack() as stack:
        backends = stack.enter_context(counting(tmp_path, "a", "b"))
        nobody = stack.enter_context(refusing_port())
        ports = [nobody, *(backend.port for backend in backends)]
        urls = {f"b{b}": f"http://127.0.0.1:{port}" for b, port in enumerate(ports)}
        content = pool(urls)
        content["backends"][0]["curve"] = {"type": "hyperbolic", "peak": 1e6, "half": 1e3}
        content["serve"]["picker"] = {**PICKER, "endpoints": 3}
        content["serve"]["ejection"] = {"failures": 1000, "rate": 1.0}
        options = ["--plane", "picker"]
        live = stack.enter_context(serving(tmp_path, content, options=options))
        front = stack.enter_context(envoy(tmp_path, live.port, ports, several=True))
        until(front.picker_is_healthy, lambda: "Envoy does not see the picker")
        for _ in range(5):
            status, answered, _ = front.ask()
            assert status == 200
            assert answered[SERVED] in [f"127.0.0.1:{port}" for port in ports[1:]]
        until(lambda: live.in_flight == 0, lambda: "requests are counted that are over")
        assert live.statistics["backends"][0]["failures"] == {"reset": 5}


def test_the_envoy_of_a_trial_asks_the_picker_alone_and_falls_back(tmp_path: Path) -> None:
    """No client chooses where its request goes, even where no picker does."""
    with ExitStack() as stack:
        backends = stack.enter_context(counting(tmp_path, "a", "b", "c"))
        ports = [backend.port for backend in backends]
        write(tmp_path / "system.yaml", pool(backends[:1]))
        live = stack.enter_context(picking(tmp_path))

        def made(port: int) -> Any:
            text = (DEPLOY / "endpoint-picker-envoy.yaml").read_text()
            found = {10000: port, 9901: 0, 9002: live.port, 8001: ports[0], 8002: ports[1]}
            for given, used in found.items():
                assert text.count(f"port_value: {given}}}") == 1
                text = text.replace(f"port_value: {given}}}", f"port_value: {used} }}")
            return yaml.safe_load(text)

        front = stack.enter_context(configured(tmp_path, made))
        until(front.picker_is_healthy, lambda: "Envoy does not see the picker")
        wanted = {"x-gateway-destination-endpoint": f"127.0.0.1:{ports[2]}"}
        status, answered, _ = front.ask(fields=wanted)
        assert (status, answered["x-served"]) == (200, f"127.0.0.1:{ports[0]}")
        assert answered[SERVED] == answered["x-served"]
        live.process.kill()
        live.process.wait()
        until(lambda: not front.picker_is_healthy(), lambda: "Envoy sees a dead picker")
        served = {front.ask(fields=wanted)[1].get("x-served") for _ in range(4)}
        assert served == {f"127.0.0.1:{port}" for port in ports[:2]}
