"""`isocline serve --plane envoy --check`: what is said of a file and of the program."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from isocline.cli import main
from isocline.compilation import cache_directory
from tests.planes.envoy.live_planes import needs_envoy
from tests.planes.envoy.systems import content, written


def checked(folder: Path, *options: str, **serve: Any) -> Result:
    file = written(folder, content(**serve))
    return CliRunner().invoke(main, ["serve", str(file), "--plane", "envoy", "--check", *options])


def program(folder: Path, text: str) -> str:
    path = folder / "program"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@needs_envoy
@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_the_module_is_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache_directory.CHOSEN, str(tmp_path / "cache"))
    result = checked(tmp_path)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    assert list(tmp_path.rglob("envoy_module-*.so"))


@needs_envoy
def test_without_a_compiler_a_note_says_what_picks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(cache_directory.CHOSEN, str(tmp_path / "cache"))
    monkeypatch.setenv("CC", "no-such-compiler")
    result = checked(tmp_path)
    assert result.exit_code == 0, result.output
    assert "note: module.c cannot be compiled" in result.stderr
    assert "Envoy's own least request picks" in result.stderr


def test_a_program_that_is_no_envoy_is_refused(tmp_path: Path) -> None:
    result = checked(tmp_path, "--envoy", program(tmp_path, "echo something 1.40.0"))
    assert result.exit_code == 2
    assert "no Envoy that runs here; give its path" in result.stderr


def test_an_envoy_that_the_module_does_not_know_is_said(tmp_path: Path) -> None:
    new = program(tmp_path, "echo 'envoy  version: 9e55/1.99.0/Clean/RELEASE/BoringSSL'")
    result = checked(tmp_path, "--envoy", new)
    assert result.exit_code == 0, result.output
    assert "note: Envoy 1.99: the module supports 1.39, 1.40" in result.stderr


def test_settings_that_the_plane_does_not_have_are_not_shown(tmp_path: Path) -> None:
    one = program(tmp_path, "echo 'envoy  version: 9e55/1.99.0/Clean/RELEASE/BoringSSL'")
    text = checked(tmp_path, "--envoy", one).stdout
    shown = {line.split("  ")[0] for line in text.splitlines()}
    assert {"listen", "policy", "health", "ejection", "retries", "times", "drain"} <= shown
    unknown = ["holding", "refusals", "sharing", "trusted", "CORS", "models", "picker", "tracing"]
    assert not shown.intersection(unknown)
    assert "tunnel" not in text
    assert "polled" not in text
    document = json.loads(checked(tmp_path, "--envoy", one, "--json").stdout)
    assert not document.keys() & {"models", "cors", "trusted", "api_keys", "picker", "compiled"}
    assert document["times"].keys() & {"connect", "tunnel"} == {"connect"}
    assert "poll" not in document["backends"][0]
