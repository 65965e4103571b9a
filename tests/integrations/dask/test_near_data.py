"""Unchanged Dask programs with the plugin: where tasks run, what is left to Dask, and no trace."""

import asyncio
import socket
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("distributed")

import distributed
import pandas as pd
from dask import annotate, delayed
from dask.bag import read_text
from dask.dataframe import read_csv, read_parquet
from distributed import get_worker, secede, worker_client

from isocline.errors import PolicyError, UsageError
from isocline.integrations.dask import install, statistics, uninstall
from isocline.integrations.dask.holders import Holders
from isocline.integrations.dask.plugin import NAME
from tests.docs.blocks import PAGES, blocks
from tests.integrations.dask.clusters import Inside, inside
from tests.live.processes import soon

REPLACED = ("is_rootish", "decide_worker_non_rootish", "stimulus_queue_slots_maybe_opened")


def where(chunk: Any, *_: Any) -> str:
    return str(get_worker().address)


def test_mapped_tasks_run_where_their_chunks_are() -> None:
    async def test(at: Inside) -> None:
        chunks = [f"/data/{i}" for i in range(30)]
        locations = {chunk: [at.workers[i % 3]] for i, chunk in enumerate(chunks)}
        await install(at.client, locations)
        ran = await at.client.gather(at.client.map(where, chunks))
        near = sum(worker in locations[chunk] for chunk, worker in zip(chunks, ran, strict=True))
        found = await statistics(at.client)
        assert (found.local, found.remote) == (near, 30 - near)
        assert near >= 15
        assert found.left_to_dask == 0
        assert found.waiting == 0

    inside(test)


def test_a_task_waits_for_its_busy_worker() -> None:
    """As Dask has no reason to: the other two are idle."""

    async def test(at: Inside) -> None:
        await install(at.client, {"a": at.workers[1]})
        busy = at.client.submit(time.sleep, 0.3, workers=at.workers[1], pure=False)
        await soon(lambda: at.scheduler.workers[at.workers[1]].processing, "nothing runs")
        assert await at.client.submit(where, "a") == at.workers[1]
        await busy

    inside(test)


@pytest.mark.parametrize("name", ["address", "bare", "name", "host"])
def test_a_worker_may_be_named_in_any_way(name: str) -> None:
    async def test(at: Inside) -> None:
        address = at.workers[2]
        spelled = {
            "address": address,
            "bare": address.rpartition("://")[2],
            "name": str(at.scheduler.workers[address].name),
            "host": socket.gethostname().upper(),
        }[name]
        await install(at.client, {"a": spelled})
        places = 3 if name == "host" else 1
        await soon(lambda: len(at.plugin().workers_at([spelled])) == places, name)
        ran = await at.client.submit(where, "a")
        assert name == "host" or ran == address
        assert (await statistics(at.client)).local == 1

    inside(test)


def test_locations_may_be_a_function() -> None:
    async def test(at: Inside) -> None:
        names = [str(at.scheduler.workers[worker].name) for worker in at.workers]
        assert names == ["0", "1", "2"]
        await install(at.client, _by_digit)
        ran = await at.client.gather(at.client.map(where, ["2", "x", "1"]))
        assert (ran[0], ran[2]) == (at.workers[2], at.workers[1])

    inside(test)


def _by_digit(chunks: list[str]) -> Mapping[str, Sequence[str]]:
    return {chunk: [chunk] for chunk in chunks if chunk.isdigit()}


def test_a_lookup_that_fails_leaves_all_to_dask() -> None:
    async def test(at: Inside) -> None:
        await install(at.client, _fails)
        assert len(await at.client.gather(at.client.map(where, ["a", "b"]))) == 2
        found = await statistics(at.client)
        assert (found.failed_lookups, found.left_to_dask) == (1, 2)

    inside(test)


def _fails(_: list[str]) -> Mapping[str, Sequence[str]]:
    raise OSError("the name node is down")


def parquet_totals(folder: Path) -> Any:
    return read_parquet(folder).x.sum()


def parquet_groups(folder: Path) -> Any:
    """Several steps on each file, which Dask fuses, and a tree of reductions."""
    frame = read_parquet(folder)
    return frame.assign(y=frame.x + 0).groupby("k").y.sum().sum()


def csv_totals(folder: Path) -> Any:
    return read_csv(f"{folder}/*.csv").x.sum()


def lines(folder: Path) -> Any:
    return read_text(f"{folder}/*.txt").map(int).sum()


def delayed_totals(folder: Path) -> Any:
    return delayed(sum)([delayed(_total)(path) for path in sorted(folder.glob("*.parquet"))])


def _total(path: Path) -> int:
    return int(pd.read_parquet(path).x.sum())


@pytest.mark.parametrize(
    "program", [parquet_totals, parquet_groups, csv_totals, lines, delayed_totals]
)
def test_files_are_read_where_they_are(tmp_path: Path, program: Callable[[Path], Any]) -> None:
    for i in range(12):
        frame = pd.DataFrame({"x": range(i, i + 10), "k": [0, 1] * 5})
        frame.to_parquet(tmp_path / f"{i:02}.parquet")
        frame.to_csv(tmp_path / f"{i:02}.csv")
        (tmp_path / f"{i:02}.txt").write_text("".join(f"{x}\n" for x in frame.x))
    total = sum(sum(range(i, i + 10)) for i in range(12))

    async def test(at: Inside) -> None:
        files = sorted(tmp_path.iterdir())
        await install(at.client, {path: at.workers[i % 3] for i, path in enumerate(files)})
        assert await at.client.compute(program(tmp_path)) == total
        found = await statistics(at.client)
        assert found.local + found.remote == 12
        assert found.failed_lookups == 0

    inside(test)


def test_tasks_with_large_inputs_run_where_these_are() -> None:
    async def test(at: Inside) -> None:
        await install(at.client)
        made = [at.client.submit(_large, i, workers=at.workers[i % 3]) for i in range(9)]
        await at.client.gather(at.client.map(len, made))
        used = at.client.map(where, made)
        ran = await at.client.gather(used)
        assert ran == [at.workers[i % 3] for i in range(9)]
        assert (await statistics(at.client)).local >= 9

    inside(test)


def _large(i: int) -> bytes:
    return bytes(5_000_000 + i)


def test_what_the_program_says_goes_before_locations() -> None:
    async def test(at: Inside) -> None:
        await install(at.client, {"a": at.workers[0], "b": at.workers[0], "c": at.workers[0]})
        assert await at.client.submit(where, "a", workers=at.workers[2]) == at.workers[2]
        with annotate(priority=3):
            await at.client.submit(where, "b")
        assert await at.client.submit(where, "c", retries=2) == at.workers[0]
        found = await statistics(at.client)
        assert (found.local, found.left_to_dask) == (1, 2)

    inside(test)


def test_unknown_tasks_and_unknown_places_are_dasks() -> None:
    async def test(at: Inside) -> None:
        await install(at.client, {"a": ["nowhere"]})
        assert len(await at.client.gather(at.client.map(where, ["a", "b", "c"]))) == 3
        assert (await statistics(at.client)).left_to_dask == 3

    inside(test)


def test_a_task_that_secedes_frees_its_thread() -> None:
    """Or its own subtasks, which are bound to the same worker, could never run."""

    async def test(at: Inside) -> None:
        await install(at.client, dict.fromkeys(["a", "b", "c", "d"], at.workers[0]))
        assert await at.client.submit(_with_subtasks, "a") == [at.workers[0]] * 2
        assert await at.client.submit(_seceding, "d") == at.workers[0]

    inside(test, workers=1)


def _with_subtasks(_: str) -> list[str]:
    with worker_client() as client:
        found: list[str] = client.gather(client.map(where, ["b", "c"]))
        return found


def _seceding(chunk: str) -> str:
    secede()
    return where(chunk)


def test_a_task_that_fails_is_run_again_where_it_belongs() -> None:
    async def test(at: Inside) -> None:
        await install(at.client, {"a": at.workers[1], "b": at.workers[1]})
        with pytest.raises(ZeroDivisionError):
            await at.client.submit(_failing, "a")
        assert await at.client.submit(_failing_once, "b", retries=1) == at.workers[1]
        assert (await statistics(at.client)).local == 3

    inside(test)


def _failing(_: str) -> None:
    raise ZeroDivisionError


_FAILED: list[str] = []


def _failing_once(chunk: str) -> str:
    if not _FAILED:
        _FAILED.append(chunk)
        raise ZeroDivisionError
    return where(chunk)


def test_cancelled_tasks_make_room() -> None:
    async def test(at: Inside) -> None:
        await install(at.client, dict.fromkeys(range(20), at.workers[0]))
        slow = at.client.map(_nap, range(20))
        await soon(lambda: at.plugin().statistics().waiting > 0, "none waits")
        await at.client.cancel(slow)
        await soon(lambda: not at.scheduler.tasks, "tasks are left")
        assert at.plugin().statistics().waiting == 0
        assert await at.client.submit(where, 3) == at.workers[0]

    inside(test, workers=1)


def _nap(i: int) -> int:
    time.sleep(0.05)
    return i


def test_waiting_tasks_do_not_time_out_while_workers_run() -> None:
    async def test(at: Inside) -> None:
        await install(at.client, dict.fromkeys(range(20), at.workers[0]))
        assert await at.client.gather(at.client.map(_nap, range(20))) == list(range(20))

    inside(test, workers=1, settings={"distributed.scheduler.no-workers-timeout": "100ms"})


def test_a_paused_worker_gets_nothing() -> None:
    async def test(at: Inside) -> None:
        await install(at.client, dict.fromkeys(range(10), at.workers[:2]))
        at.scheduler.handle_worker_status_change("paused", at.workers[0], stimulus_id="pause")
        ran = await at.client.gather(at.client.map(where, range(5)))
        assert at.workers[0] not in ran
        at.scheduler.handle_worker_status_change("running", at.workers[0], stimulus_id="resume")
        ran = await at.client.gather(at.client.map(_nap_where, range(5, 10)))
        assert at.workers[0] in ran

    inside(test)


def _nap_where(i: int) -> str:
    time.sleep(0.1)
    return where(i)


def test_after_uninstall_there_is_no_trace_and_nothing_is_lost() -> None:
    async def test(at: Inside) -> None:
        before = {name: getattr(at.scheduler, name) for name in REPLACED}
        handlers = dict(at.scheduler.stream_handlers)
        await install(at.client, dict.fromkeys(range(30), at.workers[0]))
        slow = at.client.map(_nap, range(30))
        await soon(lambda: at.plugin().statistics().waiting > 0, "none waits")
        await uninstall(at.client)
        assert await at.client.gather(slow) == list(range(30))
        assert {name: getattr(at.scheduler, name) for name in REPLACED} == before
        assert at.scheduler.stream_handlers == handlers
        assert NAME not in at.scheduler.plugins
        with pytest.raises(UsageError, match=r"call install\(client\)"):
            await statistics(at.client)
        await uninstall(at.client)

    inside(test)


def test_a_plugin_that_dask_is_told_to_remove_gives_everything_back() -> None:
    async def test(at: Inside) -> None:
        await install(at.client, dict.fromkeys(range(30), at.workers[0]))
        slow = at.client.map(_nap, range(30))
        await soon(lambda: at.plugin().statistics().waiting > 0, "none waits")
        plugin = at.plugin()
        await at.client.unregister_scheduler_plugin(NAME)
        assert await at.client.gather(slow) == list(range(30))
        assert not plugin.is_on

    inside(test)


def test_a_second_install_replaces_the_first() -> None:
    async def test(at: Inside) -> None:
        await install(at.client, dict.fromkeys(range(30), at.workers[0]))
        slow = at.client.map(_nap, range(30))
        await soon(lambda: at.plugin().statistics().waiting > 0, "none waits")
        await install(at.client, {"a": at.workers[2]}, policy="local_first")
        assert await at.client.gather(slow) == list(range(30))
        assert await at.client.submit(where, "a") == at.workers[2]
        found = await statistics(at.client)
        assert (found.policy, found.local) == ("local_first", 1)

    inside(test)


def test_an_error_of_ours_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(at: Inside) -> None:
        await install(at.client, dict.fromkeys(range(30), at.workers[0]))
        slow = at.client.map(_nap, range(10))
        await soon(lambda: at.plugin().statistics().waiting > 0, "none waits")
        plugin = at.plugin()
        monkeypatch.setattr(Holders, "of_files", _raise)
        more = at.client.map(_nap, range(10, 30))
        assert await at.client.gather(slow + more) == list(range(30))
        assert not plugin.is_on

    inside(test)


def _raise(*_: Any) -> None:
    raise RuntimeError("a fault")


def test_a_scheduler_that_goes_while_tasks_wait_is_followed_by_another(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As Dask's own state is lost with a scheduler, so is the plugin's; nothing else stays."""

    async def goes(at: Inside) -> None:
        await install(at.client, dict.fromkeys(range(30), at.workers[0]))
        slow = at.client.map(_nap, range(30))  # kept, as Dask forgets tasks that nobody asks for
        await soon(lambda: at.plugin().statistics().waiting > 0, "none waits")
        assert len(slow) == 30

    async def comes(at: Inside) -> None:
        assert NAME not in at.scheduler.plugins
        await install(at.client, dict.fromkeys(range(30), at.workers[0]))
        assert await at.client.gather(at.client.map(_nap, range(30))) == list(range(30))

    inside(goes)
    inside(comes)
    assert not [record for record in caplog.records if record.name == "isocline.dask"]


def test_statistics_are_a_page_of_the_scheduler() -> None:
    async def test(at: Inside) -> None:
        await install(at.client, {"a": at.workers[2]})
        await at.client.submit(where, "a")
        url = f"http://127.0.0.1:{at.scheduler.http_server.port}/isocline"
        text = await asyncio.to_thread(_get, url)
        assert "<td>late_binding</td>" in text
        assert '"local": 1' in await asyncio.to_thread(_get, f"{url}.json")
        await uninstall(at.client)
        with pytest.raises(OSError, match="404"):
            await asyncio.to_thread(_get, url)

    inside(test)


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return bytes(answer.read()).decode()


def test_the_example_of_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    (page,) = [page for page in PAGES if page.name == "dask.md"]
    example = next(block.text for block in blocks(page) if block.language == "python")
    exec(example, {"__name__": "__main__"})
    shown = capsys.readouterr().out.splitlines()
    assert shown == ["64", "8 tasks were placed by where their files are"]


def test_what_cannot_be_used_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(at: Inside) -> None:
        with pytest.raises(UsageError, match="locations"):
            await install(at.client, 5)  # type: ignore[arg-type]
        with pytest.raises(PolicyError):
            await install(at.client, policy="no such policy")
        monkeypatch.setattr(distributed, "__version__", "2031.1.0")
        with pytest.raises(UsageError, match=r"runs Dask 2031.1.0.*2026\.8"):
            await install(at.client)
        assert NAME not in at.scheduler.plugins

    inside(test)
