"""`isocline control` on routers as processes, of one and several workers."""

import asyncio
import json
import os
import signal
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from isocline.cli import main
from tests.cli.served import PATIENCE, Served, served
from tests.gateway.proxies import Backend, Handler, ok, read_request, refusing_port, saying, serving

KEY = "ann-s3cret"
CURVE = "curve: {type: hyperbolic, peak: 1000, half: 10}"


def write(file: Path, backends: dict[str, int], serve: str = "") -> None:
    (file.parent / "keys").write_text(f"ann {KEY}\n")
    lines = [
        f'  - {{name: {name}, url: "http://127.0.0.1:{port}", report: none, {CURVE}}}\n'
        for name, port in backends.items()
    ]
    draft = file.with_suffix(".draft")
    draft.write_text(
        f'kind: routing\nbackends:\n{"".join(lines)}frontends: [{{name: all, backends: ["*"]}}]\n'
        "serve:\n  listen: 127.0.0.1:0\n  admin: 127.0.0.1:0\n  drain: 1\n"
        f"  admin_control: {{keys: {{file: keys}}}}\n{serve}"
    )
    draft.replace(file)


def address(router: Served) -> str:
    return router.wait_for(r"admin on http://(127\.0\.0\.1:\d+)")[1]


async def control(url: str, *words: str, key: str | None = KEY) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of the verb, in a thread; one at a time."""
    environment = {"ISOCLINE_ADMIN_KEY": key}
    done = await asyncio.to_thread(invoke, url, *words, env=environment)
    return done.exit_code, done.stdout, done.stderr


def invoke(*words: str, env: Mapping[str, str | None] | None = None) -> Result:
    return CliRunner().invoke(main, ["control", *words], prog_name="isocline", env=env)


async def bodies(port: int, times: int) -> list[str]:
    """Answers to so many requests, each on a connection of its own."""
    found = []
    for _ in range(times):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        found.append(body.decode())
        writer.close()
    return found


def run(scenario: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(2 * PATIENCE):
            await scenario

    asyncio.run(bounded())


def test_a_backend_is_drained_and_waited_for(tmp_path: Path) -> None:
    gate = asyncio.Event()

    def slow(backend: Backend) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await read_request(reader, backend):
                await gate.wait()
                writer.write(ok(b"a"))

        return handle

    async def scenario(router: Served, a: Backend) -> None:
        url, port = address(router), router.port
        assert (await control(url, "drain", "b"))[:2] == (0, "b: draining false -> true\n")
        asked = asyncio.create_task(bodies(port, 1))
        while not a.heads:
            await asyncio.sleep(0.01)
        status, _, err = await control(url, "drain", "a")
        assert status == 2
        assert "frontend all has no other backend in service" in err
        assert (await control(url, "undrain", "b"))[:2] == (0, "b: draining true -> false\n")
        status, out, err = await control(url, "drain", "a", "--wait", "--timeout", "0.3")
        assert (status, out) == (1, "a: draining false -> true\n")
        assert err == ("a: 1 in flight\nisocline: a: requests are in flight after 0.3 s\n")
        waiting = asyncio.create_task(control(url, "drain", "a", "--wait"))
        gate.set()
        assert await asked == ["a"]
        status, out, _ = await waiting
        assert (status, out) == (0, "a: draining true, as before\na: no request in flight\n")
        assert set(await bodies(port, 5)) == {"b"}
        status, out, _ = await control(url, key=None)
        assert status == 0
        assert ["a", "draining", "0"] in [line.split()[:3] for line in out.splitlines()]
        router.wait_for("backend a: draining False -> True, by ann")

    async def whole() -> None:
        async with serving(slow) as a, serving(saying(ok(b"b"))) as b:
            write(tmp_path / "fleet.yaml", {"a": a.port, "b": b.port})
            with served(tmp_path / "fleet.yaml") as router:
                await scenario(router, a)

    run(whole())


def test_controls_reach_all_workers_and_those_that_are_started_again(tmp_path: Path) -> None:
    async def scenario(router: Served) -> None:
        url, port = address(router), router.port
        _, out, _ = await control(url, "drain", "a", "--json")
        assert json.loads(out)["workers"] == 2
        await control(url, "share", "c", "0.1")
        found = await bodies(port, 60)
        assert "a" not in found
        assert found.count("c") <= 6 + 2  # each worker counts its own
        os.kill(int(router.wait_for(r"worker 0 serves, process (\d+)")[1]), signal.SIGKILL)
        await asyncio.to_thread(router.wait_for, "worker 0 serves", 2)
        found = await bodies(port, 60)
        assert "a" not in found
        assert found.count("c") <= 6 + 2 + 1  # the turns of one worker began anew
        status, out, _ = await control(url, "reload")
        assert (status, out) == (0, "reloaded: 1 frontend, 3 backends, policy gmsr_secant\n")
        assert "a" not in await bodies(port, 30)
        _, out, _ = await control(url, "--json", "list")
        a, b, c = json.loads(out)["backends"]
        assert [it["draining"] for it in (a, b, c)] == [True, False, False]
        assert (a["state"]["draining"], b["state"]["draining"]) == (1.0, 0.0)
        assert (c["max_share"], c["changed_by"]) == (0.1, {"max_share": "ann"})
        await control(url, "undrain", "a")
        await control(url, "drain", "b")
        found = await bodies(port, 60)
        assert "b" not in found
        assert found.count("a") > 40

    async def whole() -> None:
        async with (
            serving(saying(ok(b"a"))) as a,
            serving(saying(ok(b"b"))) as b,
            serving(saying(ok(b"c"))) as c,
        ):
            backends = {"a": a.port, "b": b.port, "c": c.port}
            write(tmp_path / "fleet.yaml", backends, "  workers: 2\n")
            with served(tmp_path / "fleet.yaml") as router:
                await scenario(router)

    run(whole())


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["h:1", "drain"], "drain: 0 arguments; give drain NAME"),
        (["h:1", "weight", "a"], "weight: 1 argument; give weight NAME VALUE"),
        (["h:1", "reload", "a"], "reload: 1 argument; give reload"),
        (["h:1", "curves", "a", "b"], "curves: 2 arguments; give curves [NAME]"),
        (["h:1", "weight", "a", "two"], "weight: 'two' is no number; give one, or file"),
        (["h:1", "weight", "a", "nan"], "weight: 'nan' is no number; give one, or file"),
        (["h:1", "drain", ""], "drain: 0 arguments; give drain NAME"),
        (["ftp://h:1"], "'ftp://h:1': it is not an admin listener; give HOST:PORT"),
        (["h:port"], "'http://h:port': it is not an admin listener"),
        (["h:70000"], "'http://h:70000': port 70000 is beyond 65535"),
        (["h:1", "reload", "--key-file", "none"], "--key-file none: cannot be read"),
    ],
)
def test_wrong_usage_is_refused(words: list[str], problem: str) -> None:
    result = invoke(*words)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"isocline: {problem}")


def test_a_router_that_is_not_there_is_named() -> None:
    with refusing_port() as port:
        result = invoke(f"127.0.0.1:{port}")
    assert result.exit_code == 2
    assert "Connection refused; give the address that" in result.stderr


def test_tls_to_a_plain_listener_is_said(tmp_path: Path) -> None:
    def plain_http(_: Backend) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)  # of a hello that is no line of HTTP
            writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()

        return handle

    async def scenario() -> None:
        async with serving(plain_http) as plain:
            url = f"https://127.0.0.1:{plain.port}"
            status, _, said = await control(url)
        assert status == 2
        assert f"{url}: it does not speak TLS as expected" in said
        assert "give http://HOST:PORT" in said

    asyncio.run(scenario())


def test_errors_of_the_router_are_told(tmp_path: Path) -> None:
    async def whole() -> None:
        async with serving(saying(ok(b"a"))) as a:
            write(tmp_path / "fleet.yaml", {"a": a.port})
            with served(tmp_path / "fleet.yaml") as router:
                url = address(router)
                for words, key, problem in (
                    (("drain", "x"), KEY, "no backend is named 'x'"),
                    (("weight", "a", "0"), KEY, "to send it nothing, drain it"),
                    (("reload",), None, "ISOCLINE_ADMIN_KEY or --key-file"),
                    (("reload",), "wrong", "the router does not know this key; give a key of"),
                    (("curves",), "wr\nong", "characters that are not printable; give a key of"),
                    (("reload",), "falsch\u00fc", "the router does not know this key"),
                ):
                    status, out, err = await control(url, *words, key=key)
                    assert (status, out) == (2, "")
                    assert problem in err
                status, _, err = await control(f"127.0.0.1:{router.port}", key=None)
                assert (status, "not the admin listener of isocline serve" in err) == (2, True)

    run(whole())
