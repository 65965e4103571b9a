"""The plane with a real Envoy: prices, changes, faults and the end, over sockets and processes."""

import asyncio
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from tests.gateway.proxies import run
from tests.live.asking import BROKEN, ask, connect, keep_asking, once
from tests.live.processes import Counting, Live, counting, soon, until, write
from tests.planes.envoy.envoys import envoy_of, needs_envoy, plane, system
from tests.running import alive

pytestmark = needs_envoy

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
        apart = [
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


def test_envoy_comes_back_after_it_was_killed_under_load(tmp_path: Path) -> None:
    async def scenario(live: Live, backends: list[Counting]) -> None:
        over = asyncio.Event()
        asking = asyncio.create_task(_keep_trying(live.port, over))
        await soon(lambda: backends[0].executed, "no request arrives")
        first = envoy_of(live)
        os.kill(first, signal.SIGKILL)
        await soon(lambda: "Envoy serves again" in live.said, "it does not come back")
        assert envoy_of(live) != first
        before = len(backends[0].executed)
        await soon(lambda: len(backends[0].executed) > before + 20, "no request arrives again")
        over.set()
        assert await asking > 20
        await soon(lambda: live.in_flight == 0, "requests are counted that went with it")
        assert live.statistics["restarts"] == 1

    with counting(tmp_path, "fast") as backends:
        with plane(tmp_path, system(backends, {"fast": FAST})) as live:
            run(scenario(live, backends))


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


def test_a_drain_lets_requests_end_and_takes_no_more(tmp_path: Path) -> None:
    async def scenario(live: Live, backends: list[Counting]) -> None:
        client = await connect(live.port)
        slow = asyncio.create_task(ask(client, "POST", "/slow/1.5", "slow"))
        await soon(lambda: backends[0].executed, "it does not arrive")
        live.process.terminate()
        await soon(lambda: "stopping: " in live.said, "it does not stop")
        await soon(lambda: not _accepts(live.port), "it still accepts connections")
        status, _, body = await slow
        assert (status, body) == (200, b"ok")
        client.close()

    with counting(tmp_path, "fast") as backends:
        with plane(tmp_path, system(backends, {"fast": FAST})) as live:
            run(scenario(live, backends))
            until(lambda: live.process.poll() is not None, lambda: live.said)
            assert "hurried" not in live.said


def _accepts(port: int) -> bool:
    import socket

    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def test_envoy_ends_with_a_plane_that_was_killed(tmp_path: Path) -> None:
    with counting(tmp_path, "fast") as backends:
        content = system(backends, {"fast": FAST})
        with plane(tmp_path, content) as live:
            envoy = envoy_of(live)
            live.process.kill()
            until(lambda: not alive(envoy), lambda: "Envoy goes on alone")
            live.process.wait()
            live.process.returncode = 0  # as `plane` expects of one that is asked to end
