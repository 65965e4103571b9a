"""Decisions of the module inside Envoy, with a stand-in for the proxy."""

import os
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from isocline.errors import UsageError
from isocline.planes.envoy import stand_in
from isocline.planes.envoy.price_table import PriceTable
from isocline.planes.envoy.stand_in import StandIn
from isocline.policies.routing.contract import View
from isocline.policies.routing.picks import least
from isocline.randomness.draws import stream
from tests.live.processes import until

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")

ADDRESSES = ["10.0.0.1:80", "10.0.0.2:80", "[::1]:80"]
BACKENDS = dict(zip("abc", ADDRESSES, strict=True))
RISING = np.array([[3.0, 4, 5, 6], [1.0, 2, 3.5, 9], [2.0, 2.5, 3, 8]])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "prices"


@pytest.fixture
def table(path: Path) -> Iterator[PriceTable]:
    with PriceTable.create(path, ["eu", "us"], BACKENDS, limit=3, stale_after=0) as made:
        made.write(RISING)
        yield made


@pytest.fixture
def cluster(table: PriceTable) -> Iterator[StandIn]:
    with StandIn(table.path, "eu", ADDRESSES) as made:
        yield made


def picks(cluster: StandIn, times: int = 60) -> Counter[int]:
    return Counter(cluster.pick() for _ in range(times))


def test_the_least_price_at_the_workload_is_picked(cluster: StandIn) -> None:
    assert set(picks(cluster)) == {1}
    cluster.active[1] = 2  # 3.5, against 3 and 2
    assert set(picks(cluster)) == {2}
    cluster.active[2] = 3  # 8
    assert set(picks(cluster)) == {0}
    cluster.active[:] = [3, 3, 400]  # 6, 9 and, beyond the last column, 8
    assert set(picks(cluster)) == {0}


def test_ties_are_even(table: PriceTable, cluster: StandIn) -> None:
    table.write(np.array([[1.0] * 4, [2.0] * 4, [1.0] * 4]))
    found = picks(cluster, 4000)
    assert set(found) == {0, 2}
    assert abs(found[0] - 2000) < 6 * 0.5 * 4000**0.5  # six standard deviations


def test_corrections_count_as_jobs(table: PriceTable, cluster: StandIn) -> None:
    table.correct([0, 2, 0])
    assert set(picks(cluster)) == {2}
    cluster.active[1] = 3
    table.correct([0, -3, 0])
    assert set(picks(cluster)) == {1}
    table.correct([0, -30, 0])  # fewer than none are none
    assert set(picks(cluster)) == {1}


def test_a_frontend_uses_what_it_may(table: PriceTable, cluster: StandIn) -> None:
    table.write(RISING, [[True, False, True], [False, True, False]])
    assert set(picks(cluster)) == {2}
    table.write(RISING, [[False, False, False], [True, True, True]])
    assert set(picks(cluster)) == {-1}


def test_delays_are_added(table: PriceTable, cluster: StandIn) -> None:
    table.write(RISING, delays=[[0.0, 2.5, 0.5], [9.0, 9.0, 9.0]])  # 3, 3.5 and 2.5
    assert set(picks(cluster)) == {2}


def test_each_frontend_may_have_prices_of_its_own(path: Path) -> None:
    with PriceTable.create(path, ["eu", "us"], BACKENDS, limit=3, per_frontend=True) as table:
        table.write([RISING, RISING[[1, 0, 2]]])
        for name, cheapest in (("eu", 1), ("us", 0)):
            with StandIn(path, name, ADDRESSES) as cluster:
                assert set(picks(cluster)) == {cheapest}


def test_clusters_with_one_table_count_each_others_requests(table: PriceTable) -> None:
    hosts = [ADDRESSES[1], ADDRESSES[0]]  # in another order
    with StandIn(table.path, "eu", ADDRESSES) as eu, StandIn(table.path, "us", hosts) as us:
        us.active[0] = 2
        assert set(picks(eu)) == {2}
        us.close()
        assert set(picks(eu)) == {1}


def test_a_host_that_is_ill_gets_nothing_but_its_requests_count(cluster: StandIn) -> None:
    cluster.healthy[1] = 0
    cluster.update()
    assert set(picks(cluster)) == {2}
    cluster.healthy[:] = [0, 1, 0]
    cluster.update()
    assert set(picks(cluster)) == {1}
    cluster.healthy[:] = 0
    cluster.update()
    assert set(picks(cluster)) == {-1}


def test_a_retry_goes_elsewhere_while_it_can(cluster: StandIn) -> None:
    cluster.refused[1] = 1
    assert set(picks(cluster)) == {2}
    cluster.refused[:] = 1
    assert set(picks(cluster)) == {1}


def test_requests_that_wait_for_a_connection_count(path: Path) -> None:
    """Envoy does not count them: without that, a burst would go to one host."""
    prices = np.tile((np.arange(101.0) + 5.0) ** 2, (3, 1))
    with PriceTable.create(path, ["eu"], BACKENDS, limit=100, stale_after=0) as table:
        table.write(prices)
        with StandIn(path, "eu", ADDRESSES) as cluster:
            cluster.waiting[:] = 1
            found = picks(cluster, 30)
            assert set(found.values()) == {10}  # within one second, after which they have failed
            with StandIn(path, "eu", ADDRESSES) as other:
                cluster.active[0] = 4
                assert other.pick() in (1, 2)


def test_requests_that_never_get_a_connection_are_forgotten(cluster: StandIn) -> None:
    cluster.waiting[:] = 1
    assert set(picks(cluster)) == {0, 1, 2}
    cluster.waiting[:] = 0
    until(lambda: set(picks(cluster)) == {1}, lambda: f"{picks(cluster)}")


def test_infinite_prices_tie(table: PriceTable, cluster: StandIn) -> None:
    table.write(np.full((3, 4), np.inf))
    assert set(picks(cluster)) == {0, 1, 2}


def test_any_candidates_at_any_workloads_as_the_policy_function(path: Path) -> None:
    """Random tables, workloads, corrections, health and frontends; prices in steps, so they tie."""
    rng = np.random.default_rng(3)
    backends = {str(b): f"127.0.0.1:{b}" for b in range(6)}
    ties, same_ties = stream(1, 2), stream(1, 2)
    with (
        PriceTable.create(path, ["one"], backends, limit=7, stale_after=0) as table,
        StandIn(path, "one", list(backends.values()), ties) as cluster,
    ):
        for _ in range(3000):
            prices = rng.integers(0, 4, (6, 8)).astype(float)
            allowed = rng.random((1, 6)) < 0.8
            correction = rng.integers(-2, 3, 6)
            table.write(prices, allowed)
            table.correct(correction)
            cluster.active[:] = rng.integers(0, 9, 6)
            cluster.healthy[:] = rng.random(6) < 0.8
            cluster.update()
            candidates = np.flatnonzero(allowed[0] & (cluster.healthy > 0)).astype(np.int32)
            jobs = np.maximum(cluster.active.astype(np.int64) + correction, 0).astype(np.int32)
            numbers, none = np.arange(6, dtype=np.int32), np.zeros((6, 0))
            view = View(numbers, jobs, numbers, prices, none, none, np.array([1.0, 0.0]))
            expected = least(candidates, view, 0.0, same_ties) if candidates.size else -1
            assert cluster.pick() == expected
    np.testing.assert_array_equal(ties, same_ties)  # as many draws


def fewest(cluster: StandIn) -> bool:
    """Whether picks are by least requests, which the table would not pick."""
    cluster.active[:] = [0, 1, 3]  # prices 3, 2 and 8
    return set(picks(cluster)) == {0}


def damaged(path: Path, offset: int, value: bytes) -> None:
    content = bytearray(path.read_bytes())
    content[offset : offset + len(value)] = value
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (lambda path: path.unlink(), "is not there"),
        (lambda path: path.write_bytes(b""), "is no price table"),
        (lambda path: path.write_text("kind: routing\n" * 100), "is no price table"),
        (lambda path: os.truncate(path, 100), "is cut short"),
        (lambda path: os.truncate(path, path.stat().st_size - 1), "is cut short"),
        (lambda path: damaged(path, 8, b"\2"), "is of another version"),
        (lambda path: damaged(path, 33, b"\1"), "is damaged"),
        (lambda path: damaged(path, 44, b"\0"), "is damaged"),
        (lambda path: damaged(path, 56, b"\xff" * 8), "is damaged"),
        (lambda path: damaged(path, 129, b"?"), "is damaged"),
        (lambda path: damaged(path, 64, b"\0"), "holds no prices yet"),
    ],
)
def test_a_table_that_cannot_be_used_is_said_once_and_requests_counted(
    table: PriceTable, wrong: object, reason: str
) -> None:
    wrong(table.path)  # type: ignore[operator]
    before = stand_in.messages()
    with StandIn(table.path, "eu", ADDRESSES) as cluster:
        assert fewest(cluster)
    assert stand_in.messages() == before + 1
    assert f"frontend eu: price table {table.path} {reason}" in stand_in.message()
    assert "picked by least requests until" in stand_in.message()


def test_an_unknown_frontend_is_said(table: PriceTable) -> None:
    with StandIn(table.path, "asia", ADDRESSES) as cluster:
        assert fewest(cluster)
    assert "has no such frontend" in stand_in.message()


def test_a_stale_table_is_put_aside_until_its_writer_is_back(path: Path) -> None:
    second = 10**9  # ns
    with PriceTable.create(path, ["eu"], BACKENDS, limit=3, stale_after=1.0) as table:
        table.write(RISING)
        with StandIn(path, "eu", ADDRESSES) as cluster:
            table.beat(lambda: time.monotonic_ns() + 1000 * second)  # fresh for the whole test
            assert not fewest(cluster)
            assert not stand_in.is_warning()
            table.beat(lambda: time.monotonic_ns() - 5 * second)
            assert fewest(cluster)
            assert "is stale" in stand_in.message()
            table.beat(lambda: time.monotonic_ns() + 1000 * second)
            assert not fewest(cluster)
            assert "is in use" in stand_in.message()
            assert stand_in.is_warning()  # as loud as what it takes back


def test_a_table_that_takes_the_place_of_another_is_used(table: PriceTable) -> None:
    with StandIn(table.path, "eu", ADDRESSES) as cluster:
        assert set(picks(cluster)) == {1}
        backends = {"c": ADDRESSES[2], "a": ADDRESSES[0]}
        with PriceTable.create(table.path, ["eu"], backends, limit=1, stale_after=0) as later:
            later.write([[1.0, 2.0], [5.0, 6.0]])
            until(lambda: set(picks(cluster)) == {2}, stand_in.message)
            assert "no price for 10.0.0.2:80, which gets no requests" in stand_in.message()


def test_tables_that_follow_each_other_are_used_at_once(path: Path, table: PriceTable) -> None:
    """Each has its prices from the first, so that no request is sent by another rule."""
    with StandIn(path, "eu", ADDRESSES) as cluster:
        before = stand_in.messages()
        for cheapest in (0, 2, 1):
            prices = np.full((3, 4), 2.0)
            prices[cheapest] = 1.0
            with PriceTable.create(path, ["eu"], BACKENDS, limit=3, prices=prices):
                assert set(picks(cluster)) == {cheapest}
        assert stand_in.messages() == before


def test_a_writer_that_dies_half_way_leaves_the_last_whole_table(table: PriceTable) -> None:
    with StandIn(table.path, "eu", ADDRESSES) as cluster, table.path.open("r+b") as file:
        file.seek(64)
        file.write((3).to_bytes(8, "little"))  # the second table is being written
        file.flush()
        assert set(picks(cluster)) == {1}
        with PriceTable.open(table.path) as reader:
            np.testing.assert_array_equal(reader.read().prices, RISING)
        table.write(RISING[[1, 0, 2]])
        assert set(picks(cluster)) == {0}
        assert table.generation == 2


def test_prices_are_never_of_two_tables(path: Path) -> None:
    """Each table has one cheapest backend; a mixture of two would have others."""
    count = 400
    backends = {str(b): f"127.0.0.1:{b}" for b in range(count)}
    with PriceTable.create(path, ["one"], backends, limit=1, stale_after=0) as table:
        whole = [np.full((count, 2), 2.0), np.full((count, 2), 4.0)]
        for level, prices in enumerate(whole):
            prices[level] = 2.0 * level + 1.0  # of a mixture: any of the lower level
        table.write(whole[0])
        done = threading.Event()

        def write() -> None:
            while not done.is_set():
                for prices in whole:
                    table.write(prices)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            with StandIn(path, "one", list(backends.values())) as cluster:
                found = picks(cluster, 20_000)
        finally:
            done.set()
            writer.join()
    assert set(found) <= {0, 1}


def test_a_policy_without_a_table_is_refused() -> None:
    with pytest.raises(UsageError, match="frontend"):
        StandIn("/tmp/prices", "a\nb", ADDRESSES)
