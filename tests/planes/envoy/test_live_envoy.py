"""The plane with a real Envoy: prices, changes, faults and the end, over sockets and processes."""

import asyncio
import json
import os
import shutil
import signal
import socket
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import numpy as np
import pytest

from tests.gateway.proxies import run
from tests.live.asking import BROKEN, connect, keep_asking, once
from tests.live.processes import SECONDS, Counting, Live, counting, soon, until, write
from tests.planes.envoy.envoys import Backend
from tests.planes.envoy.envoys import backends as served
from tests.planes.envoy.live_planes import (
    TIMES,
    arguments,
    envoy_of,
    needs_envoy,
    plane,
    system,
)
from tests.running import alive

pytestmark = needs_envoy
needs_cc = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")

FAST = {"type": "hyperbolic", "peak": 200.0, "half": 4.0}
SLOW = {"type": "hyperbolic", "peak": 40.0, "half": 2.0}


def cheapest_first(jobs: int, curves: list[dict[str, Any]]) -> list[int]:
    """Jobs at each backend if each in turn goes where 1 / l' is least."""
    held = np.zeros(len(curves))
    for _ in range(jobs):
        prices = [
            (n + it["half"]) ** 2 / (it["peak"] * it["half"])
            for n, it in zip(held, curves, strict=True)
        ]
        held[int(np.argmin(prices))] += 1
    return [int(n) for n in held]


async def hold(live: Live, backends: list[Counting], jobs: int) -> list["asyncio.Task[Any]"]:
    """Send requests one after the other, each once the last one is at its backend."""
    tasks = []
    for number in range(jobs):
        before = sum(len(it.executed) for it in backends)
        tasks.append(asyncio.create_task(once(live.port, "/hang", f"h{number}")))
        await soon(
            lambda before=before: sum(len(it.executed) for it in backends) > before, "not sent"
        )
    return tasks


def test_each_request_goes_to_the_backend_with_the_least_price(tmp_path: Path) -> None:
    async def scenario(live: Live, backends: list[Counting]) -> None:
        tasks = await hold(live, backends, 16)
        held = [len(it.executed) for it in backends]
        assert held == cheapest_first(16, [FAST, SLOW])
        await soon(lambda: live.in_flight == 16, "the plane does not count them")
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    with counting(tmp_path, "fast", "slow") as backends:
        content = system(backends, {"fast": FAST, "slow": SLOW}, policy="gmsr", drain=0.0)
        with plane(tmp_path, content) as live:
            run(scenario(live, backends))


def test_changes_lose_no_request_and_a_bad_file_changes_nothing(tmp_path: Path) -> None:
    """Curves, a frontend, a backend that leaves and another that comes, all under load."""

    async def scenario(live: Live, backends: list[Counting]) -> None:
        over = asyncio.Event()
        asking = asyncio.create_task(keep_asking(live.port, over.is_set, clients=8))
        curves = {"fast": FAST, "slow": SLOW, "third": FAST}
        await live.rewrite(system(backends[:2], curves | {"slow": FAST, "fast": SLOW}))
        assert "prices alone have changed" in live.said
        await live.rewrite(system(backends[:2], curves, learn={}))
        await live.rewrite(system(backends[:2], curves | {"slow": FAST}, learn={}))
        assert "no price has changed, as curves are learned" in live.said
        apart: list[dict[str, Any]] = [
            {"name": "others", "match": {"host": "x.*"}, "backends": ["third"]},
            {"name": "all", "rate": 1.0, "backends": ["slow", "third"]},
        ]
        await live.rewrite(system(backends[1:], curves, apart))
        before = len(backends[0].executed)
        status, _, _ = await once(live.port, "/ok", "after")
        assert status == 200
        live.file.write_text("kind: routing\nbackends: [")
        await soon(lambda: "the settings stay in force" in live.said, "nothing is said of it")
        write(live.file, system(backends[1:], curves, apart, slow_start=3))
        await soon(lambda: "serve.slow_start" in live.said, "nothing is said of it")
        status, _, _ = await once(live.port, "/ok", "last")
        assert status == 200
        over.set()
        asked = await asking
        assert {status for _, status in asked.outcomes.values()} == {200}
        sent = Counter(note for it in backends for note in it.executed)
        assert set(asked.outcomes) <= set(sent)
        assert set(sent.values()) == {1}  # none twice
        assert len(backends[0].executed) == before  # it had left
        assert backends[2].executed

    with counting(tmp_path, "fast", "slow", "third") as backends:
        content = system(backends[:2], {"fast": FAST, "slow": SLOW})
        with plane(tmp_path, content) as live:
            run(scenario(live, backends))
            assert "started again" not in live.said
            assert "no price for" not in live.said
            assert "no such frontend" not in live.said


def test_envoy_comes_back_after_it_was_killed_and_ends_with_its_plane(tmp_path: Path) -> None:
    async def scenario(live: Live, backends: list[Counting]) -> None:
        over = asyncio.Event()
        asking = asyncio.create_task(_keep_trying(live.port, over))
        await soon(lambda: backends[0].executed, "no request arrives")
        first = envoy_of(live)
        os.kill(first, signal.SIGKILL)
        await soon(lambda: "Envoy serves again" in live.said, "it does not come back")
        assert envoy_of(live) != first
        assert "Envoy was killed by SIGKILL, often for lack of memory; it is started" in live.said
        before = len(backends[0].executed)
        await soon(lambda: len(backends[0].executed) > before + 20, "no request arrives again")
        over.set()
        assert await asking > 20
        await soon(lambda: live.in_flight == 0, "requests are counted that went with it")
        assert live.statistics["restarts"] == 1

    with ExitStack() as stack:
        backends = stack.enter_context(counting(tmp_path, "fast"))
        live = stack.enter_context(plane(tmp_path, system(backends, {"fast": FAST})))
        run(scenario(live, backends))
        envoy = envoy_of(live)
        folder = Path(arguments(envoy)[2]).parent
        assert folder.exists()
        live.process.kill()
        until(lambda: not alive(envoy), lambda: "Envoy goes on alone")
        until(lambda: not folder.parent.exists(), lambda: "its files stay")
        live.process.wait()
        live.process.returncode = 0  # as `plane` expects of one that it asks to end


def _entries(backends: list[Backend]) -> list[dict[str, Any]]:
    return [
        {"name": it.name, "url": f"http://127.0.0.1:{it.port}", "curve": FAST} for it in backends
    ]


def _system(backends: list[Backend], **serve: Any) -> dict[str, Any]:
    return {
        "kind": "routing",
        "backends": _entries(backends),
        "frontends": [{"name": "all", "rate": 1.0, "backends": ["*"]}],
        "serve": {"times": TIMES, **serve},
    }


async def _answers(port: int, times: int) -> set[str]:
    return {(await once(port, "/", f"a{number}", "GET"))[2].decode() for number in range(times)}


@needs_cc
def test_backends_that_break_off_or_refuse_are_ejected_and_this_is_said(tmp_path: Path) -> None:
    """In the middle of a body, and with 500: neither is a failure to Envoy's outlier detection."""

    async def scenario(live: Live) -> None:
        names = ("broken", "refusing")
        while not all(f"backend {name}: ejected for 60 s: " in live.said for name in names):
            await _answers(live.port, 10)
        assert "the last one: the connection broke before the response was comp" in live.said
        assert "it refused" in live.said
        assert await _answers(live.port, 30) == {"good"}
        said = {it["name"]: it["ejected"] for it in live.statistics["backends"]}
        assert said == {"broken": True, "refusing": True, "good": False}

    with served("broken", "refusing", "good") as backends:
        backends[0].breaks, backends[1].refuses = True, True
        ejection = {"first": 60.0, "floor": 0.3}
        content = _system(backends, policy="jsq", ejection=ejection)
        with plane(tmp_path, content) as live:
            run(scenario(live))


def test_health_is_said_and_decides_whether_the_plane_is_ready(tmp_path: Path) -> None:
    async def scenario(live: Live, backend: Backend) -> None:
        assert _ready(live) == (200, [])
        backend.ill = True
        await soon(lambda: "backend only is down: status 500" in live.said, "nothing is said")
        assert _ready(live) == (503, ["frontend all: none of its backends is up"])
        assert [it["up"] for it in live.statistics["backends"]] == [False]
        backend.ill = False
        await soon(lambda: "backend only is up" in live.said, "nothing is said")
        assert _ready(live) == (200, [])

    with served("only") as backends:
        health = {"every": 0.05, "timeout": 60.0, "rise": 1, "fall": 1}
        with plane(tmp_path, _system(backends, health=health)) as live:
            run(scenario(live, backends[0]))


def test_a_frontend_whose_backends_are_all_replaced_goes_on(tmp_path: Path) -> None:
    """New backends get nothing until Envoy has checked them, which here takes a second."""

    async def scenario(live: Live, backends: list[Backend]) -> None:
        over = asyncio.Event()

        async def keep_getting() -> Counter[int]:
            found: Counter[int] = Counter()
            while not over.is_set():
                found[(await once(live.port, "/", "g", "GET"))[0]] += 1
            return found

        asking = asyncio.create_task(keep_getting())
        for one in (backends[1], backends[0]):
            await live.rewrite(_system([one], health=health))
            assert await _answers(live.port, 5) == {one.name}
        over.set()
        assert set(await asking) == {200}

    health = {"every": 0.2, "timeout": 60.0}
    with served("one", "two") as backends:
        for it in backends:
            it.slow = 1.0
        with plane(tmp_path, _system(backends[:1], health=health)) as live:
            run(scenario(live, backends))


def _ready(live: Live) -> tuple[int, list[str]]:
    try:
        answer = urlopen(f"http://127.0.0.1:{live.admin}/ready", timeout=SECONDS)
    except HTTPError as error:
        answer = error
    with answer:
        return answer.status, json.load(answer)["why_not"]


async def _keep_trying(port: int, over: asyncio.Event) -> int:
    """Ask until it is over, through refused and broken connections; returns the answers."""
    answers = 0
    number = 0
    while not over.is_set():
        number += 1
        try:
            status, _, _ = await once(port, "/ok", f"t{number}")
        except OSError:
            status = BROKEN
        answers += status == 200
        await asyncio.sleep(0.001)
    return answers


def test_requests_find_their_frontend_and_a_drain_lets_them_end(tmp_path: Path) -> None:
    """By model and host, with errors in OpenAI's form; then SIGTERM while one is under way."""

    async def scenario(live: Live, up: Counting) -> None:
        for model, status in (("large-7", 200), ("large-x", 404), ("small", 404)):
            assert await _post(live.port, {"model": model}) == status
        status, head, body = await once(live.port, "/ok", "none", "GET")
        assert (status, json.loads(body)["error"]["type"]) == (404, "not_found_error")
        client = await connect(live.port)
        there = b"GET /ok HTTP/1.1\r\nHost: a.EXAMPLE.org:81\r\nX-Id: there\r\n\r\n"
        status, _, body = await client.ask(there)
        error = json.loads(body)["error"]
        assert (status, error["code"], error["type"]) == (503, 503, "server_error")
        slow = b"POST /slow/1.5 HTTP/1.1\r\nHost: slow\r\nX-Id: slow\r\nContent-Length: 0\r\n\r\n"
        answer = asyncio.create_task(client.ask(slow))
        await soon(lambda: "slow" in up.executed, "it does not arrive")
        live.process.terminate()
        await soon(lambda: "stopping: " in live.said, "it does not stop")
        await soon(lambda: not _accepts(live.port), "it still accepts connections")
        status, head, body = await answer
        assert (status, body) == (200, b"ok")
        assert b"connection: close" in head.lower()
        client.close()

    with counting(tmp_path, "up", "down") as backends:
        backends[1].kill()
        frontends = [
            {"name": "large", "match": {"model": "large-[0-9]"}, "backends": ["up"]},
            {"name": "there", "match": {"host": "*.example.org"}, "backends": ["down"]},
            {"name": "slow", "match": {"host": "slow"}, "backends": ["up"]},
        ]
        log = tmp_path / "log"
        content = system(
            backends, {"up": FAST, "down": FAST}, frontends, access_log=str(log), health={}
        )
        with plane(tmp_path, content) as live:
            run(scenario(live, backends[0]))
            until(lambda: live.process.poll() is not None, lambda: live.said)
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        assert [(it["frontend"], it["backend"], it["status"]) for it in lines] == [
            ("large", "up", 200),
            (None, None, 404),
            (None, None, 404),
            (None, None, 404),
            ("there", None, 503),
            ("slow", "up", 200),
        ]


def test_a_second_signal_ends_requests_and_envoy(tmp_path: Path) -> None:
    async def scenario(live: Live, backend: Counting) -> None:
        asked = asyncio.create_task(once(live.port, "/hang", "h"))
        await soon(lambda: backend.executed, "it does not arrive")
        live.process.terminate()
        await soon(lambda: "stopping: " in live.said, "it does not stop")
        live.process.terminate()
        assert (await asked)[0] == BROKEN

    with counting(tmp_path, "fast") as backends:
        content = system(backends, {"fast": FAST}, drain=600.0)
        with plane(tmp_path, content) as live:
            envoy = envoy_of(live)
            run(scenario(live, backends[0]))
            assert live.process.wait(SECONDS) != 0
            live.process.returncode = 0  # `plane` expects this of one that it asks to end
            assert not alive(envoy)
            assert "Envoy was" not in live.said


async def _post(port: int, document: dict[str, str]) -> int:
    client = await connect(port)
    body = json.dumps(document).encode()
    head = "POST /ok HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    status, _, _ = await client.ask(request)
    client.close()
    return status


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
