"""Faults of a cluster with the plugin: workers killed, holders lost, the plugin gone in between."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("distributed")

from distributed import get_worker, wait

from isocline.integrations.dask import install, statistics, uninstall
from tests.dispatch.engines.dask.clusters import Killable, killable_cluster
from tests.live.processes import until


@pytest.fixture(scope="module")
def killable() -> Iterator[Killable]:
    with killable_cluster(3) as found:
        yield found


@pytest.fixture
def names(killable: Killable) -> Iterator[list[str]]:
    """Names of the workers, which stay when their processes are killed."""
    killable.workers()
    yield ["0", "1", "2"]
    uninstall(killable.client)


def nap(i: int, folder: str) -> str:
    """Note each run in a file of its own, as runs may be killed."""
    time.sleep(0.03)
    Path(folder, f"{i}-{os.getpid()}-{time.monotonic_ns()}").touch()
    return str(get_worker().name)


def kill(killable: Killable, *names: str) -> None:
    """Kill the processes of these workers."""
    workers = killable.cluster.scheduler.workers.values()
    for pid in [worker.pid for worker in workers if str(worker.name) in names]:
        os.kill(pid, signal.SIGKILL)


def ended(folder: Path, at_least: int) -> None:
    until(lambda: len(list(folder.iterdir())) >= at_least, lambda: "tasks do not end")


def started(killable: Killable, locations: Any, tmp_path: Path, tasks: int = 60) -> list[Any]:
    install(killable.client, locations)
    futures: list[Any] = killable.client.map(nap, range(tasks), folder=str(tmp_path), pure=False)
    ended(tmp_path, 3)
    return futures


def test_tasks_of_a_killed_worker_run_elsewhere(
    killable: Killable, names: list[str], tmp_path: Path
) -> None:
    locations = {i: [names[i % 3], names[(i + 1) % 3]] for i in range(60)}
    futures = started(killable, locations, tmp_path)
    kill(killable, names[0])
    assert len(killable.client.gather(futures)) == 60
    found = statistics(killable.client)
    assert found.waiting == 0
    assert found.local > 0


def test_tasks_whose_only_holder_is_lost_are_run_all_the_same(
    killable: Killable, names: list[str], tmp_path: Path
) -> None:
    futures = started(killable, dict.fromkeys(range(60), names[1]), tmp_path)
    kill(killable, names[1])
    assert len(killable.client.gather(futures)) == 60
    assert statistics(killable.client).waiting == 0


def test_a_worker_that_comes_back_under_its_name_gets_its_tasks(
    killable: Killable, names: list[str], tmp_path: Path
) -> None:
    install(killable.client, dict.fromkeys(range(10), names[2]))
    before = killable.workers()
    kill(killable, names[2])
    until(lambda: killable.workers() != before, lambda: "the worker does not come back")
    futures = killable.client.map(nap, range(10), folder=str(tmp_path), pure=False)
    assert set(killable.client.gather(futures)) <= {*names}
    found = statistics(killable.client)
    assert found.local + found.remote == 10
    assert found.local > 0


def test_results_that_are_lost_are_made_again(
    killable: Killable, names: list[str], tmp_path: Path
) -> None:
    install(killable.client, {i: names[i % 3] for i in range(12)})
    futures = killable.client.map(nap, range(12), folder=str(tmp_path), pure=False)
    wait(futures)
    kill(killable, *names[:2])
    assert len(killable.client.gather(futures)) == 12


def test_a_plugin_that_goes_while_tasks_run_loses_none(
    killable: Killable, names: list[str], tmp_path: Path
) -> None:
    futures = started(killable, dict.fromkeys(range(60), names[0]), tmp_path)
    assert statistics(killable.client).waiting > 0
    uninstall(killable.client)
    kill(killable, names[0])
    assert len(killable.client.gather(futures)) == 60


def test_a_restarted_cluster_goes_on(killable: Killable, names: list[str], tmp_path: Path) -> None:
    started(killable, dict.fromkeys(range(60), names[0]), tmp_path)
    killable.client.restart()
    killable.workers()
    assert statistics(killable.client).waiting == 0
    futures = killable.client.map(nap, range(6), folder=str(tmp_path), pure=False)
    assert len(killable.client.gather(futures)) == 6


def test_a_holder_that_goes_while_it_sends_its_data(
    killable: Killable, names: list[str], tmp_path: Path
) -> None:
    """What is lost is made again, and every task that needs it runs."""
    install(killable.client, dict.fromkeys(range(4), names[0]))
    made = killable.client.map(large, range(4), pure=False)
    used = [
        killable.client.submit(used_by, each, i, str(tmp_path)) for each in made for i in range(10)
    ]
    until(lambda: statistics(killable.client).remote > 0, lambda: "nobody helps")
    kill(killable, names[0])
    assert killable.client.gather(used) == [20_000_000] * 40
    assert statistics(killable.client).waiting == 0


def large(i: int) -> bytes:
    time.sleep(0.03)
    return bytes([i]) * 20_000_000


def used_by(data: bytes, i: int, folder: str) -> int:
    nap(i, folder)
    return len(data)
