"""One worker in this process: load reports, health through a reload, learned curves."""

import asyncio
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from isocline.errors import UsageError
from isocline.gateway.metrics import Snapshot
from isocline.gateway.metrics.admin_server import AdminServer
from isocline.gateway.serve.config import Overrides, Serving
from isocline.gateway.serve.from_file import read
from isocline.gateway.serve.worker import Worker
from tests.gateway.proxies import (
    SECONDS,
    Backend,
    Client,
    Handler,
    ok,
    read_request,
    run,
    saying,
    serving,
    value_of,
)

CURVE = "curve: {type: hyperbolic, peak: 1000, half: 10}"
LOAD = b"endpoint-load-metrics: TEXT named_metrics.num_requests_running=%d, "
LOAD += b"named_metrics.num_requests_waiting=0"
HERE = Overrides(listen="127.0.0.1:0")


def write(folder: Path, backends: list[str], serve: str = "") -> Path:
    """A system file; backends are asked nothing but what clients ask, unless one says otherwise."""
    file = folder / "fleet.yaml"
    backends = [it if "report:" in it else f"{it}, report: orca" for it in backends]
    lines = "\n".join(f"  - {{{backend}}}" for backend in backends)
    file.write_text(
        f'kind: routing\nbackends:\n{lines}\nfrontends: [{{name: all, backends: ["*"]}}]\n'
        f"serve:\n  drain: 1\n{serve}"
    )
    return file


async def ask(worker: Worker, times: int = 1) -> bytes:
    """Ask so many times in a row; the last answer."""
    client = Client(*await asyncio.open_connection("127.0.0.1", worker.addresses[0][2]))
    answer = b""
    for _ in range(times):
        client.writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        head = await client.reader.readuntil(b"\r\n\r\n")
        answer = await client.reader.readexactly(int(value_of(head, b"content-length") or b"0"))
    client.writer.close()
    return answer


def test_backends_are_asked_for_their_load_unless_they_should_not(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with (
            serving(saying(ok(b"a", LOAD % 900))) as a,
            serving(saying(ok(b"b", LOAD % 900))) as b,
        ):
            file = write(
                tmp_path,
                [
                    f"name: a, url: 'http://127.0.0.1:{a.port}', {CURVE}",
                    f"name: b, url: 'http://127.0.0.1:{b.port}', {CURVE}, report: none",
                ],
            )
            worker = Worker(read(file, HERE))
            await worker.start()
            await ask(worker, 20)
            backends = worker.snapshot().backends
            assert value_of(a.heads[0], b"endpoint-load-metrics-format") == b"TEXT"
            assert value_of(b.heads[0], b"endpoint-load-metrics-format") is None
            assert backends["a"].live is not None
            assert backends["a"].live.workload >= 899
            assert backends["b"].live is not None
            assert backends["b"].live.workload == 0
            assert (len(a.heads), len(b.heads)) == (1, 19)  # it says that it is full
            await worker.stop(1.0)

    run(scenario())


def test_a_backend_known_to_be_down_stays_so_through_a_reload(tmp_path: Path) -> None:
    health = "  health: {path: /health, every: 0.05, timeout: 60}\n"

    async def scenario() -> None:
        sick = b"HTTP/1.1 503 Sick\r\nContent-Length: 0\r\n\r\n"
        async with serving(saying(ok(b"a"))) as a, serving(saying(sick)) as b:
            backends = [
                f"name: a, url: 'http://127.0.0.1:{a.port}', {CURVE}",
                f"name: b, url: 'http://127.0.0.1:{b.port}', {CURVE}",
            ]
            file = write(tmp_path, backends, health)
            worker = Worker(read(file, HERE))
            await worker.start()
            while (live := worker.snapshot().backends["b"].live) is None or live.up:
                await asyncio.sleep(0.02)
            write(tmp_path, list(reversed(backends)), health)
            await worker.reload(read(file, HERE))
            after = worker.snapshot().backends
            assert after["b"].live is not None
            assert after["a"].live is not None
            assert (after["b"].live.up, after["a"].live.up) == (0, 1)
            assert await ask(worker, 5) == b"a"
            assert not any(head.startswith(b"GET / ") for head in b.heads)
            await worker.stop(1.0)

    run(scenario())


def test_an_ejected_backend_stays_out_through_a_reload(tmp_path: Path) -> None:
    async def scenario() -> None:
        broken = b"HTTP/1.1 502 Broken\r\nContent-Length: 0\r\n\r\n"
        async with serving(saying(ok(b"a"))) as a, serving(saying(broken)) as b:
            backends = [
                f"name: a, url: 'http://127.0.0.1:{a.port}', {CURVE}",
                f"name: b, url: 'http://127.0.0.1:{b.port}', {CURVE}",
            ]
            rule = "  ejection: {failures: 1, first: 60}\n"
            file = write(tmp_path, backends, rule)
            worker = Worker(read(file, HERE))
            await worker.start()
            while not b.heads:
                await ask(worker)
            write(tmp_path, list(reversed(backends)), rule)
            await worker.reload(read(file, HERE))
            live = worker.snapshot().backends["b"].live
            assert live is not None
            assert live.ejected == 1
            await ask(worker, 20)
            assert len(b.heads) == 1
            # Alone it is needed.
            write(tmp_path, backends[1:], rule)
            await worker.reload(read(file, HERE))
            await ask(worker)
            assert len(b.heads) == 2
            await worker.stop(1.0)

    run(scenario())


def test_what_is_held_through_a_reload_goes_when_a_backend_is_up_again(tmp_path: Path) -> None:
    """Its core was replaced, and has no checks of its own any more."""

    state = {"up": True, "served": 0}
    gate = asyncio.Event()

    def handler(backend: Backend) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await read_request(reader, backend):
                if backend.heads[-1].startswith(b"GET /health"):
                    said = ok() if state["up"] else b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"
                    writer.write(said)
                    continue
                state["served"] += 1
                if state["served"] == 1:
                    await gate.wait()
                writer.write(ok(b"done"))

        return handle

    async def scenario() -> None:
        table = "curve: {type: table, points: [[1, 10], [2, 9]]}"  # at its peak with 1
        health = "  health: {path: /health, every: 0.05, timeout: 60, rise: 1, fall: 1}\n"
        async with serving(handler) as a:
            file = write(tmp_path, [f"name: a, url: 'http://127.0.0.1:{a.port}', {table}"], health)
            worker = Worker(read(file, HERE))
            await worker.start()
            first = asyncio.create_task(ask(worker))
            while not state["served"]:
                await asyncio.sleep(0.01)
            held = asyncio.create_task(ask(worker))
            while worker.in_flight < 2:
                await asyncio.sleep(0.01)
            await worker.reload(read(file, HERE))
            state["up"] = False
            while (live := worker.snapshot().backends["a"].live) is None or live.up:
                await asyncio.sleep(0.01)
            gate.set()
            assert await first == b"done"
            await asyncio.sleep(0.1)
            assert not held.done()  # the old core, too, knows that the backend is down
            assert state["served"] == 1
            state["up"] = True
            assert await held == b"done"
            await worker.stop(1.0)

    run(scenario())


def test_what_was_learned_goes_on_through_a_reload_and_a_restart(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(saying(ok(b"a"))) as a, serving(saying(ok(b"b"))) as b:
            names = {"a": a.port, "b": b.port}
            backends = [f"name: {name}, url: 'http://127.0.0.1:{names[name]}'" for name in names]
            file = write(tmp_path, backends)
            worker = Worker(read(file, HERE))
            await worker.start()
            await ask(worker, 50)
            assert known(worker) == {"a": len(a.heads), "b": len(b.heads)}
            write(tmp_path, list(reversed(backends)), "  policy: jsq\n")
            await worker.reload(read(file, HERE))
            assert known(worker) == {"b": len(b.heads), "a": len(a.heads)}
            await ask(worker, 10)
            learned = worker.learned()
            await worker.stop(1.0)
            assert sum(known(worker).values()) == 60
            again = Worker(read(file, HERE), learned)
            assert known(again) == known(worker)

    run(scenario())


def known(worker: Worker) -> dict[str, int]:
    """Completions that a worker has learned from."""
    learned = worker.learned()
    assert learned is not None
    return {one.name: round(sum(one.done)) for one in learned.backends}


def test_a_reload_that_cannot_be_done_leaves_all_as_it_was(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(saying(ok(b"a"))) as a:
            backend = f"name: a, url: 'http://127.0.0.1:{a.port}', {CURVE}"
            worker = Worker(read(write(tmp_path, [backend]), HERE))
            await worker.start()
            other = read(write(tmp_path, [backend]), Overrides(listen="127.0.0.1:1"))
            with pytest.raises(UsageError, match="listeners cannot change"):
                await worker.reload(other)
            assert await ask(worker) == b"a"
            await worker.stop(1.0)

    run(scenario())


def test_a_router_that_compiles_for_a_reload_is_ready_and_serves_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiling, done = threading.Event(), threading.Event()

    def warm(_: Serving) -> None:
        compiling.set()
        assert done.wait(SECONDS)

    async def scenario() -> None:
        async with serving(saying(ok(b"a"))) as a:
            file = write(tmp_path, [f"name: a, url: 'http://127.0.0.1:{a.port}', {CURVE}"])
            worker = Worker(read(file, HERE))
            await worker.start()

            async def snapshots() -> list[Snapshot]:
                return [worker.snapshot()]

            admin = AdminServer("127.0.0.1", 0, snapshots)
            await admin.start()
            monkeypatch.setattr("isocline.gateway.serve.worker.warm", warm)
            reloading = asyncio.ensure_future(worker.reload(read(file, HERE)))
            await asyncio.to_thread(compiling.wait, SECONDS)
            assert not reloading.done()
            client = Client(*await asyncio.open_connection("127.0.0.1", admin.port))
            assert (await client.ask(b"GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n"))[0] == 200
            assert await ask(worker, 5) == b"a"
            assert not reloading.done()
            done.set()
            await reloading
            assert await ask(worker) == b"a"
            client.close()
            await admin.close()
            await worker.stop(1.0)

    run(scenario())


def test_a_request_counts_once_through_many_reloads(tmp_path: Path) -> None:
    """Each core before the last one knows of it; only the one that sent it reports it."""
    release = asyncio.Event()

    def slow(backend: Backend) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await read_request(reader, backend):
                if len(backend.heads) == 1:
                    await release.wait()
                writer.write(ok(b"a"))

        return handle

    async def scenario() -> None:
        async with serving(slow) as a:
            backend = f"name: a, url: 'http://127.0.0.1:{a.port}', {CURVE}"
            file = write(tmp_path, [backend])
            worker = Worker(read(file, HERE))
            await worker.start()
            waiting = asyncio.create_task(ask(worker))
            while not a.heads:
                await asyncio.sleep(0.01)
            seen = []
            for reload in range(6):
                write(tmp_path, [backend], f"  holding: {{most: {reload + 10}}}\n")
                await worker.reload(read(file, HERE))
                seen.append(jobs(worker))
                await ask(worker)
            release.set()
            await waiting
            with suppress(TimeoutError):
                async with asyncio.timeout(5.0):
                    while jobs(worker) != (0, 0):
                        await asyncio.sleep(0.01)
            after = jobs(worker)
            await worker.stop(1.0)
            assert (seen, after) == ([(1, 1)] * 6, (0, 0))

    def jobs(worker: Worker) -> tuple[int, int]:
        live = worker.snapshot().backends["a"].live
        assert live is not None
        return live.workload, live.in_flight

    run(scenario())


def test_a_backend_that_goes_keeps_its_curve_for_when_it_comes_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(saying(ok(b"a"))) as a, serving(saying(ok(b"b"))) as b:
            both = [
                f"name: a, url: 'http://127.0.0.1:{a.port}'",
                f"name: b, url: 'http://127.0.0.1:{b.port}'",
            ]
            file = write(tmp_path, both)
            teacher = Worker(read(file, HERE))
            await teacher.start()
            await ask(teacher, 40)
            known = teacher.learned()
            await teacher.stop(1.0)
            write(tmp_path, both[:1])  # a start without it, as before it is discovered
            worker = Worker(read(file, HERE), known)
            await worker.start()
            seen = [completions(worker)]
            for present in (both[1:], both[:1], both):
                write(tmp_path, present)
                await worker.reload(read(file, HERE))
                seen.append(completions(worker))
            await worker.stop(1.0)
            assert sum(seen[0].values()) == pytest.approx(40.0, rel=0.05)
            for later in seen[1:]:
                assert later == pytest.approx(seen[0], rel=0.05)

    def completions(worker: Worker) -> dict[str, float]:
        learned = worker.learned()
        assert learned is not None
        return {it.name: it.completions for it in learned.backends}

    run(scenario())
