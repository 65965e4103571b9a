"""A router as a process, over real sockets: requests, reloads, signals, workers that die."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Coroutine
from contextlib import ExitStack
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.error import HTTPError

import pytest
from click.testing import CliRunner

from isocline.cli import main
from isocline.gateway.config import Listener
from isocline.gateway.serve.learned_curves import read_learned
from isocline.gateway.serve.ports import reserve
from tests.cli.served import PATIENCE, Served, served, starting
from tests.gateway.proxies import (
    Backend,
    Handler,
    ok,
    read_request,
    refusing_port,
    saying,
    serving,
)

CURVE = "curve: {type: hyperbolic, peak: 1000, half: 10}"


def run(scenario: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(3 * PATIENCE):
            await scenario

    asyncio.run(bounded())


def write(file: Path, backends: dict[str, int], serve: str, curve: str = CURVE) -> None:
    """A system file; it is there as a whole at any moment. Backends get requests only, no polls."""
    lines = [
        f'  - {{name: {name}, url: "http://127.0.0.1:{port}", report: orca, {curve}}}'
        for name, port in backends.items()
    ]
    text = "\n".join(
        [
            "kind: routing",
            "backends:",
            *(line.replace(", }", "}") for line in lines),
            'frontends: [{name: all, backends: ["*"]}]',
            "serve:",
            "  listen: 127.0.0.1:0",
            serve,
        ]
    )
    draft = file.with_suffix(".draft")
    draft.write_text(text)
    draft.replace(file)


async def get(port: int) -> tuple[int, bytes]:
    """Status and body; status 0 if there was no answer."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return 0, b""
    try:
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
    except OSError:
        return 0, b""
    finally:
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]) if head else 0, body


async def refused(port: int) -> None:
    """Return once nobody listens there; what stops says so a moment before it does."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return
        writer.close()
        await asyncio.sleep(0.01)


async def keep_asking(
    port: int, answers: Counter[tuple[int, bytes]], enough: asyncio.Event
) -> None:
    while not enough.is_set():
        answers[await get(port)] += 1


async def answering(port: int) -> set[bytes]:
    """Bodies of twenty answers, one after another."""
    answers = [await get(port) for _ in range(20)]
    assert {status for status, _ in answers} == {200}
    return {body for _, body in answers}


def slow_stream(backend: Backend) -> Handler:
    """Ten chunks in a second."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await read_request(reader, backend):
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(10):
                writer.write(b"4\r\nmore\r\n")
                await asyncio.sleep(0.1)
            writer.write(b"0\r\n\r\n")
            await writer.drain()

    return handle


def silent(backend: Backend) -> Handler:
    """Reads and says nothing."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await read_request(reader, backend):
            pass

    return handle


def test_one_process_reloads_without_losing_a_request_and_drains(tmp_path: Path) -> None:
    file, log = tmp_path / "fleet.yaml", tmp_path / "access.log"
    more = "  access_log: access.log"

    async def scenario() -> None:
        async with (
            serving(saying(ok(b"a"))) as a,
            serving(saying(ok(b"b"))) as b,
            serving(saying(ok(b"c"))) as c,
            serving(slow_stream) as slow,
        ):
            write(file, {"a": a.port, "b": b.port}, more)
            with served(file) as router:
                port = await asyncio.to_thread(lambda: router.port)
                await reload_under_load(router, port, b, c)
                await refuse_bad_files(router, port, b)
                write(file, {"slow": slow.port}, more)
                await heard(router, "reloaded: 1 frontend, 1 backend,")
                await drain(router, port, slow)

    async def reload_under_load(router: Served, port: int, b: Backend, c: Backend) -> None:
        answers: Counter[tuple[int, bytes]] = Counter()
        enough = asyncio.Event()
        asking = [asyncio.create_task(keep_asking(port, answers, enough)) for _ in range(4)]
        while not {(200, b"a"), (200, b"b")} <= answers.keys():
            await asyncio.sleep(0.01)
        write(file, {"b": b.port, "c": c.port}, more)
        os.kill(router.process.pid, signal.SIGHUP)
        await heard(router, "reloaded: 1 frontend, 2 backends")
        while (200, b"c") not in answers:
            await asyncio.sleep(0.01)
        enough.set()
        await asyncio.gather(*asking)
        assert {status for status, _ in answers} == {200}
        assert await answering(port) <= {b"b", b"c"}  # a fleet without load may keep to either

    async def refuse_bad_files(router: Served, port: int, b: Backend) -> None:
        file.write_text("kind: routing\nbackends: 3\n")  # noticed without a signal
        await heard(router, r"reload failed.*fleet.yaml:2: backends: is 3; give a list")
        assert (await get(port))[0] == 200
        write(file, {"b": b.port}, "  admin: 127.0.0.1:0")
        await heard(router, r"reload failed.*serve.admin cannot change in a running router")
        assert await answering(port) <= {b"b", b"c"}

    async def drain(router: Served, port: int, slow: Backend) -> None:
        streaming = asyncio.create_task(get(port))
        while not slow.heads:  # then it has a second to go
            await asyncio.sleep(0.01)
        router.process.terminate()
        await heard(router, "stopping")
        await refused(port)
        status, body = await streaming
        assert (status, body.count(b"more")) == (200, 10)
        assert body.endswith(b"0\r\n\r\n")
        assert await asyncio.to_thread(router.process.wait, PATIENCE) == 0

    run(scenario())
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {line["backend"] for line in lines} == {"a", "b", "c", "slow"}
    assert {line["status"] for line in lines} == {200}


def test_a_signal_to_stop_during_the_start_ends_it(tmp_path: Path) -> None:
    """Process 1 of a container gets only signals that it has a handler for."""
    pipe = tmp_path / "system.yaml"
    os.mkfifo(pipe)
    with starting(pipe) as router, pipe.open("w"):  # it waits for what comes out of the pipe
        router.process.terminate()
        assert router.process.wait(PATIENCE) == 0
    assert router.said == []


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    file = tmp_path / "fleet.yaml"

    async def scenario(router: Served, endless: Backend) -> None:
        asking = asyncio.create_task(get(router.port))
        while not endless.heads:
            await asyncio.sleep(0.01)
        router.process.send_signal(signal.SIGINT)
        await heard(router, "stopping")
        router.process.send_signal(signal.SIGINT)
        assert await asyncio.to_thread(router.process.wait, PATIENCE) == 130
        assert (await asking)[0] == 0  # it ended, in the middle of its answer

    async def with_backend() -> None:
        async with serving(silent) as endless:
            write(file, {"a": endless.port}, "  drain: 3600")
            with served(file, status=130) as router:
                await scenario(router, endless)

    run(with_backend())


@pytest.mark.parametrize("workers", [1, 2])
def test_a_router_that_drains_says_so_and_serves_on_until_it_is_hurried(
    tmp_path: Path, workers: int
) -> None:
    file = tmp_path / "fleet.yaml"
    more = f"  workers: {workers}\n  admin: 127.0.0.1:0\n  drain_delay: 3600"

    async def scenario(router: Served) -> None:
        assert await answered(router, "/ready") == (200, {"ready": True, "why_not": []})
        router.process.terminate()
        await heard(router, "draining: requests are accepted for 3600 s more")
        assert await answered(router, "/ready") == (503, {"ready": False, "why_not": ["draining"]})
        assert await answered(router, "/health") == (200, {"live": True, "draining": True})
        port = await asyncio.to_thread(lambda: router.port)
        assert {await get(port) for _ in range(20)} == {(200, b"a")}  # each on a new connection
        router.process.terminate()
        assert await asyncio.to_thread(router.process.wait, PATIENCE) == 130

    async def with_backend() -> None:
        async with serving(saying(ok(b"a"))) as a:
            write(file, {"a": a.port}, more)
            with served(file, status=130) as router:
                await scenario(router)

    run(with_backend())


def test_after_the_delay_it_stops_and_what_is_under_way_ends(tmp_path: Path) -> None:
    file = tmp_path / "fleet.yaml"

    async def scenario(router: Served) -> None:
        port = await asyncio.to_thread(lambda: router.port)
        router.process.terminate()
        await heard(router, "draining")
        streaming = asyncio.create_task(get(port))  # which begins after the signal
        await heard(router, "stopping: ")
        await refused(port)
        status, body = await streaming
        assert (status, body.count(b"more")) == (200, 10)
        assert await asyncio.to_thread(router.process.wait, PATIENCE) == 0
        said = " ".join(router.said)
        assert said.index("draining") < said.index("stopping: ")

    async def with_backend() -> None:
        async with serving(slow_stream) as slow:
            # Time enough to ask, on a busy machine too.
            more = "  workers: 2\n  drain_delay: 10\n  drain: 60"
            write(file, {"slow": slow.port}, more)
            with served(file) as router:
                await scenario(router)

    run(with_backend())


async def answered(router: Served, path: str) -> tuple[int, object]:
    """Status and document of the admin listener's answer."""
    try:
        return 200, json.loads(await asyncio.to_thread(router.asked, path))
    except HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def test_backends_that_refuse_at_once_get_next_to_nothing_of_two_workers(tmp_path: Path) -> None:
    file = tmp_path / "fleet.yaml"
    more = "  workers: 2\n  ejection: {first: 300}\n  refusals: {longest: 300}"
    full = b"HTTP/1.1 429 No\r\nRetry-After: 300\r\nContent-Length: 0\r\n\r\n"
    lost = b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"

    async def scenario() -> None:
        async with (
            serving(saying(full)) as a,
            serving(saying(lost)) as b,
            serving(saying(ok(b"c"))) as c,
            serving(saying(ok(b"d"))) as d,
        ):
            backends = {"a": a.port, "b": b.port, "c": c.port, "d": d.port}
            write(file, backends, more)
            with served(file) as router:
                port = await asyncio.to_thread(lambda: router.port)
                answers = Counter([await get(port) for _ in range(300)])
                asked = [sum(h.startswith(b"GET / ") for h in it.heads) for it in (a, b)]
                assert 1 <= asked[0] <= 2  # once from each worker
                assert 1 <= asked[1] <= 40  # until it was ejected
                assert answers[404, b""] == asked[1]
                assert answers[200, b"c"] + answers[200, b"d"] == 300 - asked[1]

    run(scenario())


async def heard(router: Served, pattern: str, times: int = 1) -> None:
    await asyncio.to_thread(router.wait_for, pattern, times)


def test_two_workers_share_a_port_and_one_that_dies_comes_back(tmp_path: Path) -> None:
    file, learned = tmp_path / "fleet.yaml", tmp_path / "curves.json"
    more = "  workers: 2\n  admin: 127.0.0.1:0\n  learn: {file: curves.json, every: 3600}"

    lasting = 0  # connections to the worker that is not killed

    async def scenario() -> None:
        async with serving(saying(ok(b"a"))) as a, serving(saying(ok(b"b"))) as b:
            write(file, {"a": a.port, "b": b.port}, more, curve="")
            with served(file) as router:
                await survive(router, await asyncio.to_thread(lambda: router.port))
                os.kill(router.process.pid, signal.SIGHUP)
                await heard(router, "reloaded")

    async def survive(router: Served, port: int) -> None:
        nonlocal lasting
        kept = [await asyncio.open_connection("127.0.0.1", port) for _ in range(30)]
        alive = [await still_served(*ends) for ends in kept]
        assert all(alive)
        assert await served_requests(router) == 30
        os.kill(int(router.wait_for(r"worker 0 serves, process (\d+)")[1]), signal.SIGKILL)
        await heard(router, r"worker 0 was killed by SIGKILL, often for lack of memory")
        alive = [await still_served(*ends) for ends in kept]
        assert True in alive  # of the other worker
        assert False in alive
        await heard(router, r"worker 0 serves", times=2)
        assert {(await get(port))[0] for _ in range(20)} == {200}
        assert await served_requests(router) == 30 + sum(alive) + 20
        metrics = await asyncio.to_thread(router.asked, "/metrics")
        assert "isocline_workers_ended_total 1.0\n" in metrics
        lasting = sum(alive)
        for _, writer in kept:
            writer.close()

    run(scenario())
    found = read_learned(learned)
    assert found is not None
    assert {one.name for one in found.backends} == {"a", "b"}
    # What the killed one had learned is lost. Of 2000 completions half are forgotten: of 80, 3 %.
    completions = sum(one.completions for one in found.backends)
    assert 0.97 * (2 * lasting + 20) <= completions <= 2 * lasting + 20


async def still_served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    try:
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(1)
    except (OSError, asyncio.IncompleteReadError):
        return False
    return True


async def served_requests(router: Served) -> int:
    metrics = await asyncio.to_thread(router.asked, "/metrics")
    lines = [line for line in metrics.splitlines() if line.startswith("isocline_requests_total{")]
    return sum(int(float(line.split()[-1])) for line in lines if 'code="200"' in line)


def test_check_shows_what_would_be_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "fleet.yaml"
    monkeypatch.setenv("KEYS", "key-1, key-2")
    write(file, {"a": 9001}, "  api_keys: {env: KEYS}\n  drain: 5")
    result = CliRunner().invoke(main, ["serve", str(file), "--check", "--json", "--workers", "3"])
    assert result.exit_code == 0, result.output
    shown = json.loads(result.stdout)
    assert (shown["workers"], shown["api_keys"], shown["drain"]) == (3, 2, 5.0)
    assert shown["backends"][0]["url"] == "http://127.0.0.1:9001"
    assert "key-1" not in result.stdout
    text = CliRunner().invoke(main, ["serve", str(file), "--check"]).stdout
    assert "http://127.0.0.1:9001" in text
    assert "drain        5" in text


@pytest.mark.parametrize(
    ("serve", "says"),
    [
        ("access_log: none/access.log", "fleet.yaml:7: serve.access_log: "),
        ("access_log: .", "fleet.yaml:7: serve.access_log: "),
        ("learn: {file: none/curves.json}", "fleet.yaml:7: serve.learn.file: "),
        ("learn: {file: damaged.json}", "damaged.json"),
    ],
)
def test_check_looks_at_the_files_that_would_be_written(
    tmp_path: Path, serve: str, says: str
) -> None:
    file = tmp_path / "fleet.yaml"
    (tmp_path / "damaged.json").write_text('{"kind": "learned-curves"')
    write(file, {"a": 9001}, f"  {serve}")
    result = CliRunner().invoke(main, ["serve", str(file), "--check"])
    assert result.exit_code == 2, result.output
    assert says in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["damaged.json", "fleet.yaml"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--listen", "8080"], "'8080': it is not an address to listen on; give HOST:PORT"),
        (["--policy", "gmrs"], "unknown policy 'gmrs': did you mean gmsr?"),
        (["--policy", "static_optimal"], "static_optimal: there is no plan to follow"),
        (["--json"], "--json does not apply without --check; add --check"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_starts(
    tmp_path: Path, options: list[str], says: str
) -> None:
    file = tmp_path / "fleet.yaml"
    write(file, {"a": 9001}, "  drain: 5")
    result = CliRunner().invoke(main, ["serve", str(file), *options])
    assert result.exit_code == 2
    assert says in result.stderr


def test_a_second_router_with_workers_on_one_port_is_refused(tmp_path: Path) -> None:
    """Before the first one's workers listen, when the kernel would let both have the port."""
    file = tmp_path / "fleet.yaml"
    write(file, {"a": 9001}, "  workers: 2")
    (listener,), kept = reserve([Listener(port=0)])
    with kept:
        command = [sys.executable, "-m", "isocline", "serve", str(file)]
        command += ["--listen", f"127.0.0.1:{listener.port}"]
        ended = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=PATIENCE
        )
    assert ended.returncode == 2
    assert (
        f"cannot listen on 127.0.0.1:{listener.port}: another isocline serve listens"
        in ended.stderr
    )
    assert "give another port, or stop what listens there" in ended.stderr


def test_nothing_is_ready_before_all_is_compiled(tmp_path: Path) -> None:
    """A policy of the user's own that takes as long to make as a gate is shut."""
    file, gate, reached = (tmp_path / name for name in ("fleet.yaml", "gate", "reached"))
    (tmp_path / "gated.py").write_text(
        "import time\nfrom pathlib import Path\n"
        f"Path({str(reached)!r}).touch()\n"
        f"while not Path({str(gate)!r}).exists():\n    time.sleep(0.01)\n"
        "def policy(candidates, view, now, rng):\n    return candidates[0]\n"
    )
    held = ExitStack()  # nobody takes the ports meanwhile, and one who listens too early fails
    doors, admin = (held.enter_context(refusing_port()) for _ in range(2))
    write(file, {"a": 9001}, f"  admin: 127.0.0.1:{admin}\n  policy: gated:policy")
    options = ["--listen", f"127.0.0.1:{doors}"]
    with held, starting(file, *options, path=tmp_path) as router:
        end = monotonic() + PATIENCE
        while not reached.exists():
            assert monotonic() < end, router.said
            sleep(0.01)
        for port in (doors, admin):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port)).close()
        assert not any("listening" in line for line in router.said)
        held.close()
        gate.touch()
        assert json.loads(router.asked("/ready"))["ready"]
        socket.create_connection(("127.0.0.1", doors)).close()
