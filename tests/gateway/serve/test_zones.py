"""Zones with real sockets: requests stay in theirs, also after a reload."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

from isocline.gateway.metrics.snapshot import LiveBackend
from isocline.gateway.serve.from_file import read
from isocline.gateway.serve.worker import Worker
from tests.emulator.in_memory import request
from tests.emulator.running import emulated
from tests.gateway.proxies import Client, dropped, listening, ok, run, saying, serving, until
from tests.gateway.serve.test_worker import CURVE, HERE, ask


def write(folder: Path, zone: str, ports: dict[str, int]) -> Path:
    """A system file with a backend in each zone, and a frontend in one."""
    file = folder / "fleet.yaml"
    backends = "".join(
        f"  - {{name: {name}, url: 'http://127.0.0.1:{port}', zone: {name}/a, "
        f"report: orca, {CURVE}}}\n"
        for name, port in ports.items()
    )
    file.write_text(
        f"kind: routing\nbackends:\n{backends}"
        f'frontends: [{{name: all, zone: {zone}/a, backends: ["*"]}}]\n'
        "serve: {distance: {zone: 0.1, region: 5}, drain: 1}\n"
    )
    return file


def test_requests_stay_in_the_zone_that_the_file_says(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(saying(ok(b"eu"))) as eu, serving(saying(ok(b"us"))) as us:
            ports = {"eu": eu.port, "us": us.port}
            worker = Worker(read(write(tmp_path, "eu", ports), HERE))
            await worker.start()
            await ask(worker, 8)
            assert (len(eu.heads), len(us.heads)) == (8, 0)
            await worker.reload(read(write(tmp_path, "us", ports), HERE))
            await ask(worker, 5)
            assert (len(eu.heads), len(us.heads)) == (8, 5)
            await worker.stop(1.0)

    run(scenario())


DELAY = 0.15  # s, of each direction of the relay


@asynccontextmanager
async def far(port: int) -> AsyncIterator[int]:
    """Port of a TCP relay to another one; whatever passes it takes DELAY longer, either way."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        try:
            await asyncio.gather(_delayed(reader, back), _delayed(there, writer))
        finally:
            await dropped([back])

    async with listening(handle) as found:
        yield found


async def _delayed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    loop, last = asyncio.get_running_loop(), None
    while data := await reader.read(65_536):
        last = loop.call_later(DELAY, writer.write, data)
    if last is not None:
        await asyncio.sleep(max(last.when() - loop.time(), 0.0))
    writer.close()


def test_measured_distances_keep_requests_near_until_the_price_is_higher(tmp_path: Path) -> None:
    """Policy gmsr at backends that hold N requests: its price is (10 + N)^2 / 10 000 s."""

    async def scenario(near: int, beyond: int) -> None:
        async with far(beyond) as relay, AsyncExitStack() as stack:
            file = write(tmp_path, "eu", {"eu": near, "us": relay})
            measured = "measured, policy: gmsr, health: {every: 0.2, timeout: 30}"
            file.write_text(file.read_text().replace("{zone: 0.1, region: 5}", measured))
            worker = Worker(read(file, HERE))
            await worker.start()
            stack.push_async_callback(worker.stop, 0.0)

            def live(name: str) -> LiveBackend:
                found = worker.snapshot().backends[name].live
                assert found
                return found

            def distance() -> float:
                return live("us").distance or 0.0

            def in_flight() -> tuple[int, int]:
                return live("eu").in_flight, live("us").in_flight

            def all_in_flight(wanted: int) -> bool:
                return sum(in_flight()) == wanted

            asking = request({"model": "m", "prompt": "hi"})
            asking = asking.replace(b"HTTP/1.1\r\n", b"HTTP/1.1\r\nHost: x\r\n")
            await until(distance)
            assert live("eu").distance == 0.0
            seen, sent = [distance()], 0
            while in_flight()[1] == 0:
                client = Client(*await asyncio.open_connection("127.0.0.1", worker.addresses[0][2]))
                stack.callback(client.close)
                client.writer.write(asking)
                sent += 1
                await until(partial(all_in_flight, sent))
                seen.append(distance())
            stayed = in_flight()[0]
            # The way there and back is the least, to which a busy machine adds.
            trip = live("us").round_trip
            assert trip
            assert 2 * DELAY <= trip < 40 * DELAY
            assert min(seen) > 0.0
            assert (10 + stayed) ** 2 / 10_000 > 0.01 + min(seen)
            assert (9 + stayed) ** 2 / 10_000 <= 0.01 + max(seen)
            # A reload goes on from what was measured, and adds what the file says.
            file.write_text(file.read_text().replace("measured,", "{measured: true, zone: 9},"))
            await worker.reload(read(file, HERE))
            assert 0.0 < distance() <= max(seen)

    busy = "{type: servers, rate: 0.001, count: 1}"  # no request is answered before the end
    with (
        emulated("--unit", "jobs", curve=busy) as near,
        emulated("--unit", "jobs", curve=busy) as beyond,
    ):
        run(scenario(*(int(it.rpartition(":")[2]) for it in (near, beyond))))
