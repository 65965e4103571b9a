"""Compiling of the module inside Envoy."""

import shutil
import stat
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from isocline.cli import _warming, main
from isocline.compilation import cache_directory
from isocline.errors import UsageError
from isocline.planes.envoy import module_build
from isocline.planes.envoy.module_build import ABI, built_module, library, version_of
from isocline.planes.envoy.policy_config import load_balancing_policy
from tests.planes.envoy.live_planes import needs_envoy

needs_cc = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Directory in which libraries are kept, empty."""
    place = tmp_path / "cache"
    monkeypatch.setenv(cache_directory.CHOSEN, str(place))
    monkeypatch.delenv("CC", raising=False)
    return place


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "answer.c"
    path.write_text("int answer(void) { return ANSWER; }\n")
    return path


def compiler(tmp_path: Path, text: str) -> str:
    path = tmp_path / "compiler"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@needs_cc
def test_a_library_is_compiled_once(cache: Path, source: Path) -> None:
    first = library((source,), "answer", ("-DANSWER=1",))
    made = first.stat().st_mtime_ns
    assert library((source,), "answer", ("-DANSWER=1",)) == first
    assert first.stat().st_mtime_ns == made
    assert cache in first.parents
    assert [path for path in cache.rglob("*") if path.is_file()] == [first]


@needs_cc
def test_another_source_or_definition_makes_another(cache: Path, source: Path) -> None:
    one = library((source,), "answer", ("-DANSWER=1",))
    two = library((source,), "answer", ("-DANSWER=2",))
    source.write_text("int answer(void) { return ANSWER + 1; }\n")
    assert len({one, two, library((source,), "answer", ("-DANSWER=1",))}) == 3


@needs_cc
def test_a_library_that_is_there_needs_no_compiler(
    cache: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = library((source,), "answer", ("-DANSWER=1",))
    monkeypatch.setenv("PATH", str(cache))
    assert library((source,), "answer", ("-DANSWER=1",)) == made


def test_without_a_compiler_it_is_said(
    cache: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(cache))
    with pytest.raises(UsageError, match=r"there is no C compiler: install one \(Debian: gcc"):
        library((source,), "answer", ())
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(UsageError, match="no C compiler"):
        library((source,), "answer", ())


def test_a_compiler_that_fails_is_quoted(
    cache: Path, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one line, as it goes to the log: by the first error, else by what it said last."""
    for said, quoted in (
        ("answer.c: In function\nanswer.c:1: fatal error: stdio.h\nwarning: 1", "error: stdio.h;"),
        ("one\nstdio.h: not found", "answer.c: stdio.h: not found;"),
        ("", "it does not say why;"),
    ):
        monkeypatch.setenv("CC", compiler(tmp_path, f"cat >&2 <<.\n{said}\n.\nexit 1"))
        with pytest.raises(UsageError, match=rf"{quoted} install .* set CC to one") as raised:
            library((source,), "answer", ())
        assert "\n" not in str(raised.value)
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_where_nothing_can_be_kept_it_is_said(
    source: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cache_directory, "writable", lambda _: None)
    monkeypatch.setattr(cache_directory, "readable", lambda _: ())
    monkeypatch.setenv("CC", compiler(tmp_path, "echo 1"))
    with pytest.raises(UsageError, match="set XDG_CACHE_HOME"):
        library((source,), "answer", ())


def test_versions_of_envoy(tmp_path: Path) -> None:
    printing = compiler(
        tmp_path, "echo; echo 'envoy  version: 9e55/1.41.2/Clean/RELEASE/BoringSSL'"
    )
    assert version_of(printing) == (1, 41)
    with pytest.raises(UsageError, match=r"Envoy 1\.41: the module supports 1\.39, 1\.40"):
        built_module((1, 41))
    other = compiler(tmp_path, "echo 'curl 7.88.1 libcurl/7.88.1 OpenSSL/3.0.19'")
    for no_envoy in (compiler(tmp_path, "exit 1"), other, str(tmp_path / "missing"), "/etc/passwd"):
        with pytest.raises(UsageError, match="no Envoy that runs here"):
            version_of(no_envoy)


@needs_cc
def test_each_supported_version_has_a_module_of_its_own(cache: Path) -> None:
    assert len({built_module(version) for version in ABI}) == len(ABI)


@needs_envoy
@needs_cc
def test_warm_compiles_the_module(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the Envoy that is installed; where there is none it does not matter."""
    monkeypatch.setattr(_warming, "VERBS", {"serve": lambda: None})
    warmed = CliRunner().invoke(main, ["warm", "serve"])
    assert warmed.exit_code == 0, warmed.output
    assert f"module for Envoy: {cache}" in warmed.stdout
    assert list(cache.rglob("envoy_module-*.so"))
    monkeypatch.setenv("CC", "no-such-compiler")
    monkeypatch.setenv(cache_directory.CHOSEN, str(cache / "other"))
    missing = CliRunner().invoke(main, ["warm", "serve"])
    assert missing.exit_code == 0, missing.output
    assert "note: no module for Envoy: module.c cannot be compiled" in missing.stderr


def test_warm_says_nothing_of_an_envoy_that_is_not_there(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_warming, "VERBS", {"serve": lambda: None})
    monkeypatch.setitem(sys.modules, "envoy", None)
    monkeypatch.setenv("PATH", str(cache))
    warmed = CliRunner().invoke(main, ["warm", "serve"])
    assert warmed.exit_code == 0, warmed.output
    assert "Envoy" not in warmed.output


@needs_cc
@pytest.mark.parametrize("name", ["module.c", "stand_in.c"])
def test_sources_compile_without_a_warning(
    cache: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", "cc -Wall -Wextra -Wpedantic -Wshadow -Werror")
    library((module_build.SOURCE.with_name(name),), "strict", ('-DISOCLINE_ENVOY_ABI=""',))


def test_a_name_with_a_line_end_is_refused() -> None:
    with pytest.raises(UsageError, match="give one without line ends"):
        load_balancing_policy("module.so", "prices", "eu\ntable=/etc/passwd")
