"""Support: what a picker cannot do is refused by name and line, and nothing else is."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from isocline.cli import main
from isocline.errors import SystemFileError, UsageError
from isocline.gateway.discovery.discovery import Discovery
from isocline.gateway.serve.config import Overrides, Serving
from isocline.gateway.serve.from_file import opened, read
from isocline.gateway.serve.operations import Operations
from isocline.gateway.serve.single_worker import SingleWorker
from isocline.planes.picker import Picker, fit
from tests.planes.envoy.systems import backend, content, written

PICKER = Overrides(plane="picker", fit=fit)
KEYS = {"file": "keys"}


@pytest.fixture(autouse=True)
def keys(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("secret-key-of-some-length\n")


def usable(folder: Path, system: dict[str, Any], overrides: Overrides = PICKER) -> Serving:
    return read(written(folder, system), overrides)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("workers", 2),
        ("api_keys", KEYS),
        ("cors", {"origins": ["https://a.example"]}),
        ("models", {"fresh": 1.0}),
        ("retries", {"attempts": 1}),
        ("times", {"total": 60.0}),
        ("trusted", ["10.0.0.0/8"]),
    ],
)
def test_a_key_of_the_gateways_affairs_is_refused(tmp_path: Path, key: str, value: Any) -> None:
    with pytest.raises(SystemFileError, match=rf"system.yaml:\d+: serve\.{key}: .*; \w+"):
        usable(tmp_path, content(**{key: value}))


@pytest.mark.parametrize(
    ("group", "part", "value"),
    [("sizes", "replay", 1), ("sizes", "pool", 1), ("learn", "ask_usage", True)],
)
def test_a_part_of_a_group_is_refused(tmp_path: Path, group: str, part: str, value: Any) -> None:
    more: dict[str, Any] = {group: {part: value}}
    if group == "learn":
        more["learn"]["work"] = "tokens"
    system = content([backend("fast", 9001, curve=None)], **more)
    with pytest.raises(SystemFileError, match=rf"system.yaml:\d+: serve\.{group}\.{part}: .*; "):
        usable(tmp_path, system)


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"authorization": KEYS}, "authorization"),
        ({"http2": True}, "http2"),
        ({"keep_host": False}, "keep_host"),
        ({"url": "http://pool.example:8000"}, "url"),
        ({"url": "http://10.0.0.1:8000/v1"}, "url"),
    ],
)
def test_a_key_of_a_backend_is_refused(tmp_path: Path, more: dict[str, Any], named: str) -> None:
    system = content([backend("fast", 9001) | more, backend("slow", 9002)])
    with pytest.raises(SystemFileError, match=rf"yaml:\d+: backends\[0\] 'fast', {named}: .*; "):
        usable(tmp_path, system)


@pytest.mark.parametrize("template", [{"keep_host": False}, {"url": "http://{address}/v1"}])
def test_a_template_is_refused_before_an_endpoint_is_discovered(
    tmp_path: Path, template: dict[str, Any]
) -> None:
    system = content() | {"discover": [{"name": "pool", "files": {"paths": "pool.json"}}]}
    (key,) = template
    assert usable(tmp_path, system).workers == 1
    system["discover"][0]["templates"] = [template]
    with pytest.raises(SystemFileError, match=rf"system.yaml:\d+: .*pool-1-1.*{key}: "):
        usable(tmp_path, system)


def test_a_frontend_that_resends_is_refused(tmp_path: Path) -> None:
    frontend = {"name": "all", "rate": 1.0, "backends": ["*"], "resend_unanswered": True}
    system = content(frontends=[frontend])
    with pytest.raises(SystemFileError, match=r"yaml:\d+: frontends.*resend_unanswered: "):
        usable(tmp_path, system)


def test_workers_of_the_command_line_are_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^--workers: is 2.*several pickers"):
        usable(tmp_path, content(), Overrides(workers=2, plane="picker", fit=fit))


def test_settings_that_a_picker_has_pass(tmp_path: Path) -> None:
    system = content(
        policy="gmsr",
        health={"path": "/up"},
        poll={"every": 2.0},
        holding={"seconds": 3.0},
        ejection={"rate": 0.3},
        refusals={"first": 2.0},
        sharing={"tenant": "x-tenant", "priority": "x-priority"},
        sizes={"head": 8192, "connections": 50},
        picker={"endpoints": 3},
        learn={"work": "frontend"},
        cors="off",
        models="off",
        tracing="off",
        drain=3.0,
    )
    serving = usable(tmp_path, system)
    assert serving.proxy.picker.endpoints == 3
    assert serving.models is None


def test_answers_of_a_picker_are_checked_and_of_this_plane(tmp_path: Path) -> None:
    with pytest.raises(SystemFileError, match="endpoints"):
        usable(tmp_path, content(picker={"endpoints": 0}))
    for overrides in (Overrides(), Overrides(plane="built-in")):
        with pytest.raises(SystemFileError, match=r"yaml:\d+: serve\.picker: .*--plane picker"):
            usable(tmp_path, content(picker={"endpoints": 3}), overrides)


def test_a_reload_refuses_with_the_line_and_changes_nothing(tmp_path: Path) -> None:
    file = written(tmp_path, content(listen="127.0.0.1:0"))

    async def scenario() -> None:
        given = opened(file)
        serving = read(file, PICKER)
        worker = SingleWorker(serving, None, plane=Picker)
        operations = Operations(given, PICKER, serving, worker, Discovery(lambda: None, {}))
        await worker.start()
        written(tmp_path, content(listen="127.0.0.1:0", times={"total": 60.0}))
        with pytest.raises(SystemFileError, match=r"system.yaml:\d+: serve\.times: "):
            await operations.reload()
        assert operations.serving is serving
        await worker.stop(0.0)

    asyncio.run(scenario())


def test_a_check_of_a_file_is_for_its_plane(tmp_path: Path) -> None:
    file = tmp_path / "system.yaml"
    file.write_text(yaml.safe_dump(content([backend("a", 9001, url="http://pool.example:8000")])))
    line = ["serve", str(file), "--check"]
    assert CliRunner().invoke(main, line).exit_code == 0
    refused = CliRunner().invoke(main, [*line, "--plane", "picker"])
    assert refused.exit_code == 2
    assert "ADDRESS:PORT" in refused.stderr


def test_a_check_shows_what_a_picker_does(tmp_path: Path) -> None:
    line = ["serve", str(written(tmp_path, content())), "--check"]
    shown = {
        plane: {row[:13].rstrip(): row[13:] for row in run.stdout.splitlines()}
        for plane in ("built-in", "picker")
        if (run := CliRunner().invoke(main, [*line, "--plane", plane])).exit_code == 0
    }
    assert shown["picker"]["listen"] == "default grpc://127.0.0.1:0"
    assert set(shown["picker"]) - set(shown["built-in"]) == {"picker"}
    assert {"retries", "times"} <= set(shown["built-in"]) - set(shown["picker"])
