"""What the opt-in build compiles; `make compiled` builds it, and runs tests against it."""

import importlib
import sys
import tomllib
from pathlib import Path
from types import FrameType

import pytest

from isocline.gateway import hot_path
from isocline.gateway.core.request_cost import ClassWork, measure_of
from isocline.gateway.load_reports.orca import jobs_in_header
from isocline.model.fleet import Work
from tests.gateway.proxies import ok, proxying, run, saying

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
HOOK = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]
MODULES = [f"{package}.{name}" for package, names in HOOK["modules"].items() for name in names]

BODY = b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hello"}]}'
POST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (
    len(BODY),
    BODY,
)
AT_A_CONNECTION = {"isocline.gateway.config"}  # once for each, not for a request
USAGE = b'{"usage":{"prompt_tokens":5,"completion_tokens":9}}'


@pytest.mark.parametrize("module", MODULES)
def test_what_the_build_compiles_exists(module: str) -> None:
    assert (ROOT / "src" / f"{module.replace('.', '/')}.py").is_file()
    assert importlib.import_module(module).__spec__ is not None


def test_the_build_says_what_it_is() -> None:
    """All modules of the list are compiled, or none; which, `is_compiled` says."""
    files = [str(importlib.import_module(module).__file__) for module in MODULES]
    assert {not file.endswith(".py") for file in files} == {hot_path.is_compiled()}


def test_a_plain_install_needs_no_compiler() -> None:
    assert HOOK["enable-by-default"] is False
    assert PROJECT["build-system"]["requires"] == ["hatchling>=1.25"]


def test_the_compiler_is_the_checker() -> None:
    """What another mypy takes for right, mypyc may compile to something else."""
    [mypyc] = [it for it in HOOK["dependencies"] if it.startswith("mypy")]
    checker = [it for it in PROJECT["project"]["optional-dependencies"]["check"] if "mypy" in it]
    assert mypyc.replace("[mypyc]", "") in checker


def test_all_that_a_request_runs_is_compiled() -> None:
    """A module that is split off a compiled one would be plain Python, and slow, without a word."""
    entered: set[str] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            entered.add(str(frame.f_globals.get("__name__")))

    async def scenario() -> None:
        measure = measure_of("tokens", [ClassWork(0.0, 0.0)], 1, Work())
        answer = ok(
            USAGE,
            b"Content-Type: application/json",
            b"Endpoint-Load-Metrics: TEXT named_metrics.num_requests_running=3",
        )
        async with proxying(
            saying(*[answer] * 9), policy="gmsr_secant", tokens=True, measure=measure,
            read_load=lambda value: jobs_in_header(value.decode()),
        ) as (seen, _):  # fmt: skip
            client = await seen.connect()
            for number in range(9):
                sys.setprofile(note if number else None)  # the first one finds things to set up
                await client.ask(POST)
            sys.setprofile(None)

    try:
        run(scenario())
    finally:
        sys.setprofile(None)
    ours = {it for it in entered if it.startswith("isocline.gateway.")}
    assert "isocline.gateway.core.core" in ours or hot_path.is_compiled()
    assert ours - set(MODULES) - AT_A_CONNECTION == set()
