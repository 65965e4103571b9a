"""Discovery from the outside: the verb, `serve --check`, and a router as a process."""

import asyncio
import json
from collections.abc import Coroutine
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
import yaml
from click.testing import CliRunner

from isocline.cli import main
from tests.cli.served import PATIENCE, Served, served
from tests.gateway.proxies import ok, saying, serving

FILE = """\
kind: routing
discover:
  - name: list
    files: {paths: targets.json, every: 0.05}
    hold_empty: 0
    templates: [{report: none, frontends: [all], curve: {type: hyperbolic, peak: 10, half: 2}}]
frontends: [{name: all, rate: 3}]
"""


def write(folder: Path, text: str = FILE, targets: list[str] | None = None) -> Path:
    file = folder / "fleet.yaml"
    file.write_text(text)
    if targets is not None:
        (folder / "targets.json").write_text(json.dumps([{"targets": targets}]))
    return file


def called(*arguments: str, text: str = "") -> tuple[int, str, str]:
    result = CliRunner().invoke(main, arguments, input=text)
    return result.exit_code, result.stdout, result.stderr


def test_the_file_is_printed_with_what_there_is_and_plan_takes_it(tmp_path: Path) -> None:
    file = write(tmp_path, targets=["10.0.0.1:80", "10.0.0.2:80"])
    status, printed, said = called("discover", str(file))
    assert (status, said) == (0, "")
    assert yaml.safe_load(printed) == {
        "kind": "routing",
        "frontends": [{"name": "all", "rate": 3, "backends": ["10.0.0.1:80", "10.0.0.2:80"]}],
        "backends": [
            {
                "name": f"10.0.0.{i}:80",
                "url": f"http://10.0.0.{i}:80",
                "report": "none",
                "curve": {"type": "hyperbolic", "peak": 10, "half": 2},
            }
            for i in (1, 2)
        ],
    }
    status, plan, _ = called("plan", "-", "--json", text=printed)
    assert status == 0
    assert json.loads(plan)["capacity_scale"] == pytest.approx(20 / 3)
    status, as_json, _ = called("discover", str(file), "--json")
    assert json.loads(as_json) == yaml.safe_load(printed)


def test_so_many_may_be_assumed_without_asking(tmp_path: Path) -> None:
    status, printed, _ = called("discover", str(write(tmp_path)), "--assume", "5")
    assert status == 0
    status, plan, _ = called("plan", "-", "--json", text=printed)
    assert json.loads(plan)["capacity_scale"] == pytest.approx(50 / 3)


def test_a_plan_of_the_file_itself_names_the_verb(tmp_path: Path) -> None:
    file = write(tmp_path, targets=[])
    for verb in ("plan", "curves", "fluid"):
        status, _, said = called(verb, str(file))
        assert status == 2
        assert f"isocline discover {file} prints the system" in said


def test_learned_curves_are_filled_in(tmp_path: Path) -> None:
    text = FILE.replace(", curve: {type: hyperbolic, peak: 10, half: 2}", "")
    file = write(tmp_path, f"{text}serve: {{learn: {{file: curves.json}}}}\n", ["a:1", "b:1"])
    backend: dict[str, Any] = {
        "completions": 5.0,
        "cut": None,
        "levels": [],
        "done": [],
        "seconds": [],
    }
    backend |= {"name": "a:1", "points": [[1.0, 2.0], [2.0, 3.0]]}
    learned = {"kind": "learned-curves", "version": 1, "system": "s", "backends": [backend]}
    (tmp_path / "curves.json").write_text(json.dumps(learned))
    _, printed, _ = called("discover", str(file))
    first, second = yaml.safe_load(printed)["backends"]
    assert first["curve"] == {"type": "table", "points": [[1.0, 2.0], [2.0, 3.0]]}
    assert "curve" not in second


def test_a_source_that_does_not_answer_ends_it(tmp_path: Path) -> None:
    status, printed, said = called("discover", str(write(tmp_path)))
    assert (status, printed) == (2, "")
    assert "isocline: discover 'list': " in said
    assert "targets.json: cannot be read; is it there?" in said
    plain = tmp_path / "plain.yaml"
    plain.write_text(
        "kind: routing\nbackends: [{name: a, curve: {type: servers, rate: 1}}]\n"
        "frontends: [{name: f, rate: 0.5, backends: [a]}]\n"
    )
    status, _, said = called("discover", str(plain))
    assert status == 2
    assert "discovers nothing" in said


def test_a_check_says_what_each_source_has_found(tmp_path: Path) -> None:
    file = write(tmp_path, targets=["10.0.0.1:80"])
    status, shown, said = called("serve", str(file), "--check", "--json")
    assert status == 0
    assert "discover list: 10.0.0.1:80" in said
    document = json.loads(shown)
    assert [it["name"] for it in document["backends"]] == ["10.0.0.1:80"]
    assert document["discover"] == {"list": {"endpoints": ["10.0.0.1:80"], "problem": None}}
    (tmp_path / "targets.json").unlink()
    status, shown, said = called("serve", str(file), "--check", "--json")
    assert status == 0
    assert "is it there?" in json.loads(shown)["discover"]["list"]["problem"]
    assert "discover list: " in said


def test_a_check_finds_mistakes_in_templates_before_there_is_a_backend(tmp_path: Path) -> None:
    wrong = "report: none, ca_file: missing.pem, url: 'https://{address}'"
    file = write(tmp_path, FILE.replace("report: none", wrong), targets=[])
    status, _, said = called("serve", str(file), "--check")
    assert status == 2
    assert f"{file}:6: backends[0] 'list-1-1', ca_file: " in said


CALLS = """\
kind: routing
discover:
  - name: pods
    admin: {}
    templates: [{report: none, curve: {type: servers, rate: 100, count: 4}}]
frontends: [{name: all, backends: ["*"]}]
serve:
  listen: 127.0.0.1:0
  admin: 127.0.0.1:0
  workers: 2
  admin_control: {keys: {file: keys}, allow: [backends]}
"""


def run(scenario: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(3 * PATIENCE):
            await scenario

    asyncio.run(bounded())


def asked(url: str) -> tuple[int, str]:
    try:
        with urlopen(url, timeout=PATIENCE) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


def call(router: Served, method: str, path: str, body: object = None, key: str = "s3cret") -> Any:
    port = router.wait_for(r"admin on http://127\.0\.0\.1:(\d+)")[1]
    url = f"http://127.0.0.1:{port}/api/discover/{path}"
    data = json.dumps({} if body is None else body).encode()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    try:
        request = Request(url, data, headers, method=method)
        with urlopen(request, timeout=PATIENCE) as answer:
            return answer.status, json.loads(answer.read())
    except HTTPError as error:
        return error.code, json.loads(error.read())["error"]["message"]


def test_a_router_starts_empty_and_gets_its_backends_by_calls(tmp_path: Path) -> None:
    """Two workers, asked over new connections each time: both have what the log says."""

    def answers(router: Served, path: str = "/") -> set[tuple[int, str]]:
        return {asked(f"http://127.0.0.1:{router.port}{path}") for _ in range(10)}

    async def scenario() -> None:
        async with serving(saying(ok(b"a"))) as a, serving(saying(ok(b"b"))) as b:
            await asyncio.to_thread(watched, a.port, b.port)

    def watched(a: int, b: int) -> None:
        (tmp_path / "keys").write_text("ann s3cret\n")
        file = write(tmp_path, CALLS)
        with served(file) as router:
            router.wait_for("all -> none yet")
            (refused,) = answers(router)
            assert refused[0] == 503
            assert "none has been discovered for this frontend" in refused[1]
            admin = router.wait_for(r"admin on (http://127\.0\.0\.1:\d+)")[1]
            status, why = asked(f"{admin}/ready")
            assert status == 503
            assert "frontend all: no backend has been discovered for it" in why

            assert call(router, "PUT", "pods/x", {"address": f"127.0.0.1:{a}"}, "wrong")[0] == 401
            for body, says in (
                ({}, "address: is missing"),
                ({"address": "x"}, "address: 'x': it is not an address; give HOST:PORT"),
                ({"address": "x:1", "labels": [1]}, "labels: give a mapping"),
                ({"address": "x:1", "ttl": "5"}, "ttl: give a time"),
                ({"address": "x:1", "port": 5}, "port: is unknown; known: address, labels, ttl"),
            ):
                status, message = call(router, "PUT", "pods/x", body)
                assert status == 422
                assert says in message
            assert "takes no calls; known: pods" in call(router, "DELETE", "other/x")[1]

            put = call(router, "PUT", "pods/pod-a", {"address": f"127.0.0.1:{a}"})
            assert put == (200, {"name": "pod-a", "new": True, "notes": []})
            router.wait_for(r"1 came \(pod-a\)")
            assert answers(router) == {(200, "a")}
            assert asked(f"{admin}/ready")[0] == 200

            file.write_text(CALLS.replace("kind:", "knd:"))  # someone edits it
            router.wait_for("reload failed, the settings stay in force: .*kind: is missing")
            call(router, "PUT", "pods/pod-b", {"address": f"127.0.0.1:{b}"})
            router.wait_for(r"1 came \(pod-b\)")
            assert call(router, "DELETE", "pods/pod-a") == (
                200,
                {"name": "pod-a", "was_there": True},
            )
            router.wait_for(r"1 left \(pod-a\)")
            assert answers(router) == {(200, "b")}
            call(router, "DELETE", "pods/pod-b")
            router.wait_for(r"1 left \(pod-b\)")
            assert {status for status, _ in answers(router)} == {503}
            changes = 'isocline_control_changes_total{by="ann",control="backends"} 4.0'
            assert changes in asked(f"{admin}/metrics")[1]

    run(scenario())
