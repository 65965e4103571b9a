"""What real processes do to each other: killed, stopped, flapping, reset, gone, reloaded.

Each request has an id, and backends note the ids that they execute, before they answer. So it is
known of each whether it was lost, saved, or done twice.
"""

import asyncio
import itertools
import json
import os
import signal
import urllib.request
from collections import Counter
from pathlib import Path

import pytest

from tests.emulator.running import emulated
from tests.gateway.proxies import value_of
from tests.live.asking import BROKEN, Asked, connect, keep_asking, once, request
from tests.live.processes import (
    HASTY,
    SECONDS,
    TIMES,
    Counting,
    Live,
    counting,
    serving,
    soon,
    system,
)

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/net/tcp").exists(), reason="connections are counted in /proc"
)
CLIENTS = 16
FAILURES = 5  # in a row eject a backend, unless the file says otherwise


def executions(backends: list[Counting]) -> Counter[str]:
    return Counter(number for backend in backends for number in backend.executed)


def expect_no_post_twice(asked: Asked, backends: list[Counting]) -> None:
    """What is said to be done is done; POST, whatever is said, at most once."""
    times = executions(backends)
    for number, status in asked.of("POST").items():
        assert times[number] in ([1] if status == 200 else [0, 1]), number
    for number, status in asked.of("GET").items():
        assert times[number] >= (status == 200), number


class Load:
    """Clients that ask until told to stop, and how many answers backends have given so far."""

    def __init__(self, live: Live, backends: list[Counting]) -> None:
        self._backends = backends
        self._over = False
        self._work = asyncio.ensure_future(
            keep_asking(live.port, lambda: self._over, clients=CLIENTS)
        )

    async def goes_on(self, requests: int = 200) -> None:
        """So many more requests are executed."""
        wanted = executions(self._backends).total() + requests
        await soon(lambda: executions(self._backends).total() >= wanted, "requests are stuck")

    async def ends(self) -> Asked:
        self._over = True
        return await self._work


async def started_again(backend: Counting) -> None:
    """On its old port; it is used again once its ejection has ended."""
    before = len(backend.executed)
    backend.start()
    await soon(lambda: len(backend.executed) > before, "it is not used again")


# (path, method, status, times executed)
SINGLE = [
    ("/reset", "POST", 502, 1),  # it may have been done: not again
    ("/reset", "GET", 502, 3),  # as often as the rules allow
    ("/short", "GET", BROKEN, 1),  # a part has gone to the client
    ("/cut", "POST", BROKEN, 1),
    ("/garbage", "GET", 502, 1),
    ("/slow/0.3", "POST", 200, 1),
]
HANGING = [
    ("/hang", "GET", 504, 1),  # the backend may still be at it
    ("/hang", "POST", 504, 1),
]


# of `isocline backend`, each with a share of 1
FAULTS = {"slow": 200, "error": 500, "garbage": 502, "reset": BROKEN}


@pytest.mark.parametrize(("rows", "times"), [(SINGLE, TIMES), (HANGING, HASTY)])
def test_each_fault_is_told_and_nothing_unsafe_is_repeated(
    tmp_path: Path, rows: list[tuple[str, str, int, int]], times: dict[str, float]
) -> None:
    async def scenario(live: Live, backend: Counting) -> None:
        got = await asyncio.gather(
            *(once(live.port, path, f"{method}{path}", method) for path, method, *_ in rows)
        )
        assert [status for status, _, _ in got] == [status for _, _, status, _ in rows]
        wanted = {f"{method}{path}": times for path, method, _, times in rows}
        # One that is given up may not have been read by then.
        await soon(lambda: executions([backend]).total() >= sum(wanted.values()), "one is lost")
        await live.nothing_left()
        assert executions([backend]) == wanted

    with (
        counting(tmp_path, "a") as [backend],
        serving(tmp_path, system([backend], times=times)) as live,
    ):
        asyncio.run(scenario(live, backend))


def test_a_client_that_leaves_a_stream_stops_the_work(tmp_path: Path) -> None:
    async def scenario(live: Live, backend: Counting) -> None:
        clients = [await connect(live.port) for _ in range(8)]
        for i, client in enumerate(clients):
            client.writer.write(request("POST", "/events", f"stream{i}"))
            assert b" 200 " in await client.reader.readuntil(b"data: x\n\n")
        assert live.in_flight == len(clients)
        for i, client in enumerate(clients):
            client.writer.transport.abort() if i % 2 else client.close()
        left = {f"left stream{i}" for i in range(len(clients))}
        await soon(lambda: left <= set(backend.notes), "the backend works on for nobody")
        await live.nothing_left()

    with counting(tmp_path, "a") as [backend], serving(tmp_path, system([backend])) as live:
        asyncio.run(scenario(live, backend))


def test_a_backend_killed_again_and_again_costs_only_what_may_not_be_repeated(
    tmp_path: Path,
) -> None:
    flaps = 4

    async def scenario(live: Live, backends: list[Counting]) -> None:
        load = Load(live, backends)
        for _ in range(flaps):
            await load.goes_on()
            backends[0].kill()
            await load.goes_on()
            await started_again(backends[0])
        asked = await load.ends()
        assert asked.statuses("GET") == {200}
        failed = [status for status in asked.of("POST").values() if status != 200]
        assert set(failed) <= {502}
        assert len(failed) <= flaps * CLIENTS  # those that were there when it was killed
        expect_no_post_twice(asked, backends)
        await live.nothing_left()

    ejection = {"first": 0.1, "longest": 0.1}  # so that it is in use whenever it is there
    with (
        counting(tmp_path, "a", "b") as backends,
        serving(tmp_path, system(backends, ejection=ejection)) as live,
    ):
        asyncio.run(scenario(live, backends))


def test_a_stopped_backend_is_told_of_and_then_left_alone(tmp_path: Path) -> None:
    async def scenario(live: Live, backends: list[Counting]) -> None:
        load = Load(live, backends)
        await load.goes_on()
        backends[0].say(signal.SIGSTOP)  # the kernel still accepts connections in its name
        await load.goes_on(1000)  # which needs the other one alone
        asked = await load.ends()
        backends[0].say(signal.SIGCONT)
        for method in ("GET", "POST"):
            assert asked.statuses(method) <= {200, 504}
        failed = [s for method in ("GET", "POST") for s in asked.of(method).values() if s == 504]
        # All may wait for it when it is ejected; those whose failures came before may be back.
        assert 0 < len(failed) <= CLIENTS + FAILURES - 1
        await live.nothing_left()
        expect_no_post_twice(asked, backends)
        assert (
            max(executions(backends).values()) == 1
        )  # a limit on time repeats nothing, GET or not

    with (
        counting(tmp_path, "a", "b") as backends,
        serving(
            tmp_path,
            # A good backend that is silent for as long would fail, too: longer than HASTY.
            system(
                backends,
                ejection={"first": 600.0, "failures": FAILURES},
                times=TIMES | {"first_byte": 10.0},
            ),
        ) as live,
    ):
        asyncio.run(scenario(live, backends))


def test_when_all_are_gone_clients_are_told_when_to_come_back(tmp_path: Path) -> None:
    async def scenario(live: Live, backends: list[Counting]) -> None:
        numbers = (f"all{i}" for i in itertools.count())
        for backend in backends:
            backend.kill()
        async with asyncio.timeout(SECONDS):
            # 502 until the checks have found out; nobody has been sent anything.
            while (told := await once(live.port, "/ok", next(numbers)))[0] != 503:
                assert told[0] == 502
        assert int(value_of(told[1], b"retry-after") or b"0") >= 1
        assert not executions(backends).total()
        backends[0].start()
        async with asyncio.timeout(SECONDS):
            while (await once(live.port, "/ok", next(numbers)))[0] != 200:
                await asyncio.sleep(0.05)
        await soon(lambda: live.in_flight == 0, "requests are counted that are over")

    health = {"path": "/health", "every": 0.2, "timeout": 60.0, "rise": 1, "fall": 1}
    with (
        counting(tmp_path, "a", "b") as backends,
        serving(tmp_path, system(backends, health=health)) as live,
    ):
        asyncio.run(scenario(live, backends))


def test_a_model_server_with_faults_is_passed_on_as_far_as_it_goes(tmp_path: Path) -> None:
    body = b'{"model": "tiny", "prompt": "hi", "max_tokens": 8, "stream": true}'
    ask = b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body)

    async def status(live: Live) -> int:
        client = await connect(live.port)
        try:
            got, _, said = await client.ask(ask + body)
            return got if got != 200 or said.endswith(b"data: [DONE]\n\n") else BROKEN
        except (ConnectionError, asyncio.IncompleteReadError, ValueError):
            return BROKEN
        finally:
            client.close()

    def switch(address: str, faults: dict[str, float]) -> None:
        url, none = f"http://{address}/faults", dict.fromkeys(("error", "garbage", "reset"), 0)
        said = json.dumps({"hang": 0, "slow": 1, **none, **faults}).encode()
        urllib.request.urlopen(url, data=said, timeout=SECONDS).close()

    async def scenario(live: Live, address: str) -> None:
        for fault, told in {"": 200, **FAULTS}.items():
            switch(address, {fault: 3 if fault == "slow" else 1} if fault else {})
            assert await asyncio.gather(*(status(live) for _ in range(4))) == [told] * 4, fault
        switch(address, {"hang": 1})
        # The only one whose limit is reached: a short one would end others on a busy machine.
        await live.rewrite(system({"tiny": f"http://{address}"}, times=HASTY))
        assert await asyncio.gather(*(status(live) for _ in range(4))) == [504] * 4
        switch(address, {})
        await live.rewrite(system({"tiny": f"http://{address}"}))
        assert await status(live) == 200
        await live.nothing_left()

    with (
        emulated("--model", "tiny", curve="{type: servers, rate: 100, count: 16}") as address,
        serving(tmp_path, system({"tiny": f"http://{address}"})) as live,
    ):
        asyncio.run(scenario(live, address))


def test_reloads_under_load_lose_nothing(tmp_path: Path) -> None:
    async def scenario(live: Live, backends: list[Counting]) -> None:
        load = Load(live, backends)
        for now in (backends, backends[1:], backends[:1], backends):
            await load.goes_on()
            await live.rewrite(system(now))
            await load.goes_on()
        live.file.write_text("kind: routing\nbackends: 3\n")
        os.kill(live.process.pid, signal.SIGHUP)
        await soon(lambda: "reload failed" in live.said, "a bad file is taken")
        await load.goes_on()
        asked = await load.ends()
        assert asked.statuses("GET") == asked.statuses("POST") == {200}
        assert executions(backends) == dict.fromkeys(asked.outcomes, 1)
        assert all(backend.executed for backend in backends)
        await live.nothing_left()

    with (
        counting(tmp_path, "a", "b") as backends,
        serving(tmp_path, system(backends[:1])) as live,
    ):
        asyncio.run(scenario(live, backends))


def test_a_killed_worker_takes_only_its_own_connections_along(tmp_path: Path) -> None:
    async def scenario(live: Live, backends: list[Counting]) -> None:
        load = Load(live, backends)
        await load.goes_on()
        first, second = live.workers()[-2:]
        os.kill(first, signal.SIGKILL)
        await load.goes_on()
        await soon(
            lambda: len(set(live.workers()) - {first, second}) >= 1, "no worker in its place"
        )
        await load.goes_on()
        asked = await load.ends()
        for method in ("GET", "POST"):
            assert asked.statuses(method) <= {200, BROKEN}
        broken = [i for i, (_, status) in asked.outcomes.items() if status == BROKEN]
        times = executions(backends)
        # Those that it had; and a client may come back while the kernel still takes connections for
        # the dead, which nobody reads.
        assert sum(times[number] for number in broken) <= CLIENTS
        assert len(broken) <= 4 * CLIENTS
        expect_no_post_twice(asked, backends)
        await live.nothing_left()

    with (
        counting(tmp_path, "a", "b") as backends,
        serving(tmp_path, system(backends, workers=2)) as live,
    ):
        asyncio.run(scenario(live, backends))
