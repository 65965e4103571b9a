"""The live page of a scheduler with worker processes: its stream, without a browser."""

import http.client
import json
import os
import signal
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from isocline.dispatch import Scheduler
from isocline.dispatch.batch.load import load_batch
from isocline.dispatch.batch.runner import run_batch
from isocline.dispatch.batch.spec import RunOptions
from isocline.errors import MissingExtraError, UsageError

cloudpickle.register_pickle_by_value(sys.modules[__name__])

PATIENCE = 120.0  # s, of a busy machine
HELD = {"c0": ["n0"], "c1": ["n0"], "c2": ["n1"]}


class Viewer:
    """One that follows a page from another thread, to its end."""

    def __init__(self, url: str) -> None:
        self.heard: list[tuple[str, Any]] = []
        self._changed = threading.Condition()
        self._stream = urllib.request.urlopen(f"{url}events", timeout=PATIENCE)
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        kind = ""
        for line in self._stream:
            if line.startswith(b"event: "):
                kind = line[7:].decode().strip()
            elif line.startswith(b"data: "):
                with self._changed:
                    self.heard.append((kind, json.loads(line[6:])))
                    self._changed.notify_all()

    def all(self, kind: str) -> list[Any]:
        return [value for each, value in self.heard if each == kind]

    @property
    def events(self) -> list[dict[str, Any]]:
        first = [it for history in self.all("history") for it in history["events"]]
        return first + [it for some in self.all("events") for it in some]

    def until(self, true: Callable[[], Any], what: str) -> None:
        with self._changed:
            assert self._changed.wait_for(true, PATIENCE), (what, self.heard[-3:])

    def end(self) -> dict[str, Any]:
        """The last frame; the stream has ended by itself."""
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        assert self.heard[-1][0] == "end"
        last: dict[str, Any] = self.all("frame")[-1]
        return last


@contextmanager
def gate(path: Path) -> Iterator[Path]:
    """A file that is made at the end, so that no task waits for it for ever."""
    try:
        yield path
    finally:
        path.touch()


def held(value: str, where: str) -> str:
    while not os.path.exists(where):  # noqa: PTH110 - at a worker
        time.sleep(0.01)
    return value


def fails(value: str) -> str:
    raise ValueError(f"no {value} <b>")


def test_a_run_from_its_first_frame_to_its_last(tmp_path: Path) -> None:
    with gate(tmp_path / "gate") as open_, Scheduler(nodes=2, locations=HELD, loader=str) as live:
        url = live.open_page(name="a run", total=4)
        assert url.startswith("http://127.0.0.1:")
        viewer = Viewer(url)
        futures = [live.submit(held, chunk, str(open_), key=chunk) for chunk in HELD]
        failed = live.submit(fails, "c2", key="bad")

        def begun() -> bool:
            frames = viewer.all("frame")
            return bool(frames) and sum(len(it["tasks"]) for it in frames[-1]["nodes"]) >= 2

        viewer.until(begun, "both nodes run a task")
        frame = viewer.all("frame")[-1]
        assert frame["state"] == "running"
        assert {it["state"] for it in frame["nodes"]} == {"up"}
        [layout] = viewer.all("layout") or [viewer.all("history")[0]["layout"]]
        assert (layout["run"], layout["policy"]) == ("a run", "late_binding")
        assert sorted(layout["names"]) == ["n0", "n1"]
        open_.touch()
        assert [it.result() for it in futures] == list(HELD)
        assert isinstance(failed.exception(), ValueError)
    last = viewer.end()
    assert (last["state"], last["finished"], last["failed"], last["total"]) == ("failed", 3, 1, 4)
    assert sum(sum(it["done"]) for it in last["nodes"]) == 3
    assert sum(it["failed"] for it in last["nodes"]) == 1
    assert any("3 tasks" in it for it in last["explanation"])
    [event] = [it for it in viewer.events if it["kind"] == "failed"]
    assert event["subject"] == "bad"
    assert "no c2 <b>" in event["text"]
    assert viewer.events[-1]["kind"] == "finished"
    with pytest.raises(urllib.error.URLError):  # it is gone with the run
        urllib.request.urlopen(url, timeout=PATIENCE)


def whose(value: str, where: str) -> int:
    with open(where, "w") as file:  # noqa: PTH123 - at a worker
        file.write(str(os.getpid()))
    while not os.path.exists(f"{where}.gate"):  # noqa: PTH110
        time.sleep(0.01)
    return 1


def test_a_node_that_is_killed_is_lost_and_comes_back(tmp_path: Path) -> None:
    where = tmp_path / "pid"
    with gate(tmp_path / "pid.gate") as open_, Scheduler(nodes=1, loader=str) as live:
        viewer = Viewer(live.open_page())
        future = live.submit(whose, None, "x", str(where), key="task")
        viewer.until(
            lambda: where.exists() and where.read_text() and viewer.all("frame"), "the task runs"
        )
        os.kill(int(where.read_text()), signal.SIGKILL)
        viewer.until(lambda: [it for it in viewer.events if it["kind"] == "lost"], "it is lost")
        open_.touch()
        assert future.result() == 1
    last = viewer.end()
    [node] = last["nodes"]
    assert (node["failed"], sum(node["done"]), last["state"]) == (1, 1, "finished")


def test_nothing_listens_unless_it_is_asked_for() -> None:
    with Scheduler(nodes=1) as live:
        assert not [it for it in threading.enumerate() if it.name == "isocline-page"]
        live.open_page()
        assert [it for it in threading.enumerate() if it.name == "isocline-page"]
        with pytest.raises(UsageError, match="already open"):
            live.open_page()
    assert not [it for it in threading.enumerate() if it.name == "isocline-page"]


def test_bad_addresses_are_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, Scheduler(nodes=1) as live:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"cannot listen on 127.0.0.1:{port}: .*give another"):
            live.open_page(f"127.0.0.1:{port}")
        for text in ("host", "127.0.0.1:http", "127.0.0.1:70000", ""):
            with pytest.raises(UsageError, match="give HOST:PORT"):
                live.open_page(text)
        assert live.open_page("0").startswith("http://127.0.0.1:")  # after those that failed


def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "isocline.dispatch.live_page.page", None)
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    monkeypatch.delitem(sys.modules, "isocline.dispatch.live_page.page")
    monkeypatch.delitem(sys.modules, "isocline.pages.live.routes", raising=False)
    missing = pytest.raises(MissingExtraError, match=r"needs aiohttp: pip .*'isocline\[serve\]'")
    with Scheduler(nodes=1) as live, missing:
        live.open_page()


def test_a_batch_has_its_page_for_as_long_as_it_runs(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one two")
    (tmp_path / "job.yaml").write_text('command: "wc -w < {path}"\nchunks: "*.txt"\n')
    pages: list[bytes] = []

    def opened(url: str) -> None:
        pages.append(urllib.request.urlopen(url, timeout=PATIENCE).read())
        host = url.removeprefix("http://").rstrip("/")
        connection = http.client.HTTPConnection(host, timeout=PATIENCE)
        connection.request("GET", "/")
        policy = connection.getresponse().getheader("Content-Security-Policy")
        connection.close()
        assert policy is not None
        assert policy.startswith("default-src 'self';")

    batch = load_batch(tmp_path / "job.yaml")
    options = RunOptions(workers=1, page="127.0.0.1:0")
    result = run_batch(batch, lambda _: None, options, opened=opened)
    assert result.status == "done"
    [page] = pages
    assert b"<script>" not in page
    assert b"style=" not in page
