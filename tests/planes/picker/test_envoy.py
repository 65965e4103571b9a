"""Real Envoy, real backends, and `isocline serve --plane picker` between them."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.live.processes import Counting, Live, counting, serving, system, until, write
from tests.planes.picker.envoys import Envoy, envoy
from tests.running import running

PICKER = {"conformance": True}
FALL_BACKS = 20  # requests in a row


class Site(NamedTuple):
    envoy: Envoy
    picker: Live
    backends: list[Counting]

    def endpoint(self, backend: int) -> str:
        return f"127.0.0.1:{self.backends[backend].port}"

    def nothing_left(self) -> None:
        until(lambda: self.picker.in_flight == 0, lambda: "requests are counted that are over")


def pool(backends: list[Counting]) -> dict[str, Any]:
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
        assert answered["x-conformance-test-served-endpoint"] in [
            site.endpoint(b) for b in range(3)
        ]
    site.nothing_left()
    assert site.picker.statistics["frontends"][0]["requests"]["codes"]["200"] >= 10


@pytest.mark.parametrize("backend", [0, 1, 2])
def test_a_conformance_test_selects_its_endpoint(site: Site, backend: int) -> None:
    selected = site.endpoint(backend)
    for _ in range(3):
        fields = {"test-epp-endpoint-selection": selected}
        status, answered, _ = site.envoy.ask(fields=fields)
        assert status == 200
        assert answered["x-conformance-test-served-endpoint"] == selected


def test_a_gateways_subset_is_kept_to(site: Site) -> None:
    for backend in (2, 1):
        _, answered, _ = site.envoy.ask(fields={"x-subset": site.endpoint(backend)})
        assert answered["x-conformance-test-served-endpoint"] == site.endpoint(backend)
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


def test_a_killed_picker_is_fallen_back_from_and_comes_back(tmp_path: Path) -> None:
    """Here the picker does not see the bodies of responses: their ends are those of streams."""

    def served() -> tuple[int, str]:
        status, answered, _ = front.ask()
        return status, answered.get("x-conformance-test-served-endpoint", "")

    with ExitStack() as stack:
        backends = stack.enter_context(counting(tmp_path, "a", "b"))
        write(tmp_path / "system.yaml", pool(backends[:1]))
        ports = [backend.port for backend in backends]
        live = stack.enter_context(picking(tmp_path))
        front = stack.enter_context(envoy(tmp_path, live.port, ports, response_body="NONE"))
        until(front.picker_is_healthy, lambda: "Envoy does not see the picker")
        picked = (200, f"127.0.0.1:{ports[0]}")
        assert served() == picked
        until(lambda: live.in_flight == 0, lambda: "the request is still counted")
        live.process.kill()
        live.process.wait()
        until(lambda: not front.picker_is_healthy(), lambda: "Envoy sees a dead picker")
        assert [served() for _ in range(FALL_BACKS)] == [(200, "")] * FALL_BACKS
        stack.enter_context(picking(tmp_path, live.port))
        until(front.picker_is_healthy, lambda: "Envoy does not see the new picker")
        assert served() == picked
