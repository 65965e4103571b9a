"""Recorder of a real proxy before emulated servers, held to what the clients saw."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from time import monotonic

import pytest
from prometheus_client.parser import text_string_to_metric_families

from isocline.emulator import Faults, Settings, start
from isocline.errors import UsageError
from isocline.gateway.config import BackendAddress, FrontendRule, Listener, ProxySettings
from isocline.gateway.core.build import core_of
from isocline.gateway.metrics import Recorder, Snapshot, merged
from isocline.gateway.metrics.admin_server import AdminServer
from isocline.gateway.metrics.optimality import PARTS
from isocline.gateway.proxy import Proxy
from isocline.model.curves import Curve, HyperbolicCurve
from isocline.model.fleet import RoutingSystem
from isocline.model.match import Match
from isocline.model.serving_settings import RetryRule, Rules
from isocline.policies.parse import parse
from tests.builders import fleet
from tests.gateway.proxies import QUICK, Client, refusing_port, run

FAST, SLOW = HyperbolicCurve(400.0, 4.0), HyperbolicCurve(100.0, 4.0)


@asynccontextmanager
async def routing(
    curves: Sequence[Curve] = (FAST, SLOW),
    faults: Faults | None = None,
    dead: int = 0,
) -> AsyncIterator[tuple[Proxy, Recorder]]:
    """f0 takes /v1, on all backends; f1 has the last one only; the first `dead` are not there."""
    async with AsyncExitStack() as stack:
        ports = [stack.enter_context(refusing_port()) for _ in curves[:dead]]
        for curve in curves[dead:]:
            emulator = await start(Settings(curve, unit="jobs", faults=faults or Faults()))
            stack.push_async_callback(emulator.close)
            ports.append(emulator.port)
        system = fleet(curves, [1.0, 1.0], [range(len(curves)), [len(curves) - 1]])
        settings = settings_for(system, ports)
        statistics = Recorder(system, settings, "gmsr")
        # A budget that is never used up, however the failures fall together.
        rules = Rules(retries=RetryRule(share=1.0, least=1e6))
        proxy = Proxy(core_of(system, parse("gmsr"), rules=rules), settings, [statistics.observer])
        await proxy.start()
        stack.push_async_callback(proxy.stop, 0.0)
        yield proxy, statistics


def settings_for(system: RoutingSystem, ports: Sequence[int]) -> ProxySettings:
    return ProxySettings(
        tuple(
            BackendAddress(it.name, f"http://127.0.0.1:{port}")
            for it, port in zip(system.backends, ports, strict=True)
        ),
        (FrontendRule("f0", Match(path="/v1")), FrontendRule("f1", Match(path="/f1"))),
        (Listener(port=0),),
        QUICK,
    )


BODY = b'{"model": "m", "prompt": "hello", "max_tokens": 4}'


def asking(path: str = "/v1/completions") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {len(BODY)}\r\n\r\n"
    return head.encode() + BODY


async def client(proxy: Proxy, requests: Sequence[bytes]) -> list[tuple[int, float]]:
    """(status, s) of each, one after the other; -1: the response was not complete."""
    port = proxy.addresses[0][2]
    seen = []
    made: Client | None = None
    for request in requests:
        if made is None:
            made = Client(*await asyncio.open_connection("127.0.0.1", port))
        began = monotonic()
        try:
            status, head, _ = await made.ask(request)
        except (ConnectionError, asyncio.IncompleteReadError):
            status, head = -1, b"connection: close"
        seen.append((status, monotonic() - began))
        if b"connection: close" in head.lower():
            made.close()
            made = None
    if made is not None:
        made.close()
    return seen


async def settled(proxy: Proxy) -> None:
    while proxy.in_flight:
        await asyncio.sleep(0.005)


def counts(seen: Snapshot) -> Counter[int]:
    total: Counter[int] = Counter()
    for row in seen.pairs.values():
        for pair in row.values():
            total.update(pair.codes)
    return total


def test_counts_are_what_clients_saw_whatever_goes_wrong() -> None:
    async def scenario() -> None:
        faulty = Faults(error=0.1, reset=0.2, garbage=0.2)
        async with routing((FAST, SLOW, SLOW), faulty, dead=1) as (proxy, statistics):
            asked = [asking(), asking("/nowhere"), asking(), b"GARBAGE / HTTP/1.1\r\n\r\n"] * 15
            answers = await asyncio.gather(*(client(proxy, asked) for _ in range(6)))
            await settled(proxy)
            seen = statistics.snapshot(proxy.bridge.core, monotonic(), proxy)
        told = Counter(status for answer in answers for status, _ in answer)
        broken = sum(pair.broken for row in seen.pairs.values() for pair in row.values())
        gone = told.pop(-1, 0)
        counted = counts(seen)
        assert broken == gone
        assert sum(counted.values()) == 6 * len(asked)
        counted[200] -= broken  # of which the client had a part
        assert +counted == told
        assert told[404] == 6 * 15
        failed = [pair.failed for row in seen.pairs.values() for pair in row.values()]
        assert sum(it.get("no_frontend", 0) for it in failed) == 6 * 15
        assert (
            sum(sum(it.values()) for it in failed)
            == sum(n for status, n in told.items() if status not in (200, 500)) + broken
        )
        retries = sum(pair.retries for row in seen.pairs.values() for pair in row.values())
        causes = Counter[str]()
        for backend in seen.backends.values():
            causes.update(backend.failures)
        assert retries >= causes["connect"] > 0
        assert causes["reset"] > 0
        # Each attempt that failed was the last of its request, or was followed by another.
        lost = sum(it.get(cause, 0) for it in failed for cause in causes)
        assert sum(causes.values()) == retries + lost

    run(scenario())


async def account(admin: AdminServer) -> tuple[bytes, bytes]:
    """Metrics and statistics of one account, once there is a gap; they are made anew meanwhile."""

    async def gap() -> tuple[bytes, list[bytes]]:
        status, _, told = await get(admin.port, "/metrics")
        assert status == 200
        wanted = (b"isocline_optimality_gap ", b"isocline_gap_part_seconds{")
        return told, [line for line in told.splitlines() if line.startswith(wanted)]

    while True:
        told, found = await gap()
        _, _, statistic = await get(admin.port, "/statistics")
        if found and (await gap())[1] == found:
            return told, statistic
        await asyncio.sleep(0.02)


def test_littles_law_and_the_gap_hold_over_real_sockets() -> None:
    async def scenario() -> None:
        async with routing() as (proxy, statistics):

            async def snapshots() -> list[Snapshot]:
                return [statistics.snapshot(proxy.bridge.core, monotonic(), proxy)]

            admin = AdminServer("127.0.0.1", 0, snapshots, every=0.2)
            await admin.start()
            before = (await snapshots())[0]
            answers = await asyncio.gather(*(client(proxy, [asking()] * 60) for _ in range(8)))
            await settled(proxy)
            [after] = await snapshots()
            told, statistic = await account(admin)
            await admin.close()
        seconds = sum(took for answer in answers for _, took in answer)
        pairs = after.pairs["f0"].values()
        assert sum(pair.served for pair in pairs) == 480
        inside = sum(pair.served_seconds for pair in pairs)
        assert inside < seconds  # as clients have the way there and back
        # The integral is the core's own, the latencies are of each request: Little's law.
        there = sum(it.job_seconds for it in after.backends.values())
        there -= sum(it.job_seconds for it in before.backends.values())
        held = sum(pair.served_wait for pair in pairs)
        assert inside - held <= there <= inside + 0.01
        families = {it.name: it for it in text_string_to_metric_families(told.decode())}
        assert families["isocline_backend_job_seconds"].samples[0].value > 0
        [gap] = families["isocline_optimality_gap"].samples
        assert gap.value > 0.9  # clients that wait for one another bring less than at random
        parts = {
            it.labels["part"]: it.value for it in families["isocline_gap_part_seconds"].samples
        }
        assert list(parts) == list(PARTS)
        optimality = json.loads(statistic)["optimality"]
        assert sum(parts.values()) == pytest.approx(optimality["latency"])
        assert parts["optimum"] * gap.value == pytest.approx(optimality["latency"])

    run(scenario())


def test_two_workers_together_are_what_clients_saw() -> None:
    async def scenario() -> None:
        async with routing() as (first, one), routing() as (second, two):
            await asyncio.gather(client(first, [asking()] * 30), client(second, [asking()] * 20))
            await settled(first)
            await settled(second)
            both = [
                it.snapshot(proxy.bridge.core, monotonic(), proxy)
                for it, proxy in ((one, first), (two, second))
            ]
        total = merged(Snapshot.from_json(it.to_json()) for it in both)
        assert counts(total) == {200: 50}
        assert sum(it.opened for it in total.backends.values()) >= 2

    run(scenario())


async def get(port: int, path: str, method: str = "GET") -> tuple[int, bytes, bytes]:
    made = Client(*await asyncio.open_connection("127.0.0.1", port))
    try:
        request = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/plain\r\n\r\n"
        return await made.ask(request.encode())
    finally:
        made.close()


def test_ready_says_whether_requests_can_go_on() -> None:
    async def scenario() -> None:
        async with routing() as (proxy, statistics):

            async def snapshots() -> list[Snapshot]:
                return [statistics.snapshot(proxy.bridge.core, monotonic(), proxy)]

            admin = AdminServer("127.0.0.1", 0, snapshots)
            await admin.start()
            with pytest.raises(UsageError, match="give another port"):
                await AdminServer("127.0.0.1", admin.port, snapshots).start()
            core = proxy.bridge.core

            async def ready() -> tuple[int, list[str]]:
                status, _, body = await get(admin.port, "/ready")
                return status, json.loads(body)["why_not"]

            assert await ready() == (200, [])
            core.backend_down(0, monotonic())
            assert await ready() == (200, [])
            core.backend_down(1, monotonic())
            assert (await ready())[0] == 503
            core.backend_up(0, monotonic())
            assert await ready() == (503, ["frontend f1: none of its backends is up"])
            core.backend_up(1, monotonic())
            core.backend_drain(1, monotonic())
            assert (await ready())[0] == 503
            core.backend_undrain(1, monotonic())
            assert (await ready())[0] == 200
            proxy.clients.draining = True
            assert await ready() == (503, ["no worker takes requests"])
            assert (await get(admin.port, "/health"))[0] == 200
            assert (await get(admin.port, "/metrics", "POST"))[0] == 405
            assert (await get(admin.port, "/secret"))[0] == 404
            await admin.close()

    run(scenario())


def test_an_account_that_fails_does_not_end_the_others() -> None:
    async def scenario() -> None:
        calls = 0

        async def snapshots() -> list[Snapshot]:
            nonlocal calls
            calls += 1
            if calls == 1:
                raise RuntimeError("a worker is gone")
            return []

        admin = AdminServer("127.0.0.1", 0, snapshots, every=0.01)
        await admin.start()
        while calls < 4:
            await asyncio.sleep(0.01)
        assert (await get(admin.port, "/ready"))[0] == 503
        assert (await get(admin.port, "/metrics"))[0] == 200
        await admin.close()

    run(scenario())
