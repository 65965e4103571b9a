"""What the opt-in build compiles; `make compiled` builds it, and runs tests against it."""

import sys
import tomllib
from collections import deque
from pathlib import Path
from types import FrameType

import pytest

import isocline
from isocline.dispatch.actions import Action, Start
from isocline.dispatch.core.core import Core
from isocline.gateway import hot_path
from isocline.gateway.core.request_cost import ClassWork, measure_of
from isocline.gateway.load_reports.orca import jobs_in_header
from isocline.model.cluster import Rates
from isocline.model.fleet import Work
from isocline.policies.parse import scheduling_policy
from isocline.randomness.draws import stream
from tests.gateway.proxies import ok, proxying, run, saying

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
HOOK = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]
MODULES = [f"{package}.{name}" for package, names in HOOK["modules"].items() for name in names]

BODY = b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hello"}]}'
POST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (
    len(BODY),
    BODY,
)
# For each connection, or at intervals, as they may pass while a test runs; not for a request.
NOT_FOR_A_REQUEST = {f"isocline.gateway.{it}" for it in ("config", "proxy.bridges", "proxy.server")}
USAGE = b'{"usage":{"prompt_tokens":5,"completion_tokens":9}}'


def path_of(module: str) -> Path:
    return Path(*module.split("."))


@pytest.mark.parametrize("module", MODULES)
def test_what_the_build_compiles_exists(module: str) -> None:
    assert (ROOT / "src" / path_of(module)).with_suffix(".py").is_file()


def test_the_build_says_what_it_is() -> None:
    """All modules of the list are compiled, or none; which, `is_compiled` says.

    Looked for as files, as some of them cannot be imported where Dask is missing.
    """
    installed = Path(isocline.__path__[0]).parent
    built = {any(installed.glob(f"{path_of(module)}.*.so")) for module in MODULES}
    assert built == {hot_path.is_compiled()}


def test_a_plain_install_needs_no_compiler() -> None:
    assert HOOK["enable-by-default"] is False
    assert PROJECT["build-system"]["requires"] == ["hatchling>=1.25"]


def test_the_compiler_is_the_checker() -> None:
    """What another mypy takes for right, mypyc may compile to something else."""
    [mypyc] = [it for it in HOOK["dependencies"] if it.startswith("mypy")]
    checker = [it for it in PROJECT["project"]["optional-dependencies"]["check"] if "mypy" in it]
    assert mypyc.replace("[mypyc]", "") in checker


class Entered:
    """Modules of ours whose functions are called as Python: not those that are compiled."""

    def __init__(self, package: str) -> None:
        self.package = package
        self.modules: set[str] = set()

    def note(self, frame: FrameType, event: str, _: object) -> None:
        module = str(frame.f_globals.get("__name__"))
        if event == "call" and module.startswith(self.package):
            self.modules.add(module)


def test_all_that_a_request_runs_is_compiled() -> None:
    """A module that is split off a compiled one would be plain Python, and slow, without a word."""
    entered = Entered("isocline.gateway.")

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
                sys.setprofile(
                    entered.note if number else None
                )  # the first one finds things to set up
                await client.ask(POST)
            sys.setprofile(None)

    try:
        run(scenario())
    finally:
        sys.setprofile(None)
    assert "isocline.gateway.core.core" in entered.modules or hot_path.is_compiled()
    assert entered.modules - set(MODULES) - NOT_FOR_A_REQUEST == set()


def test_all_that_a_task_runs_in_the_core_is_compiled() -> None:
    core = Core((0, 0, 1), Rates(1.0, 0.5, 0.7), scheduling_policy("late_binding"), stream(0))
    entered, running = Entered("isocline.dispatch."), deque[Action]()
    now = 0.0
    try:
        for task in range(200):
            sys.setprofile(entered.note if task else None)
            now += 1.0
            running += core.submitted(task, [task % 3], now)
            if task > 8 and isinstance(start := running.popleft(), Start):
                running += core.finished(start.task, start.server, now, 1.0)
            if core.next_deadline(now) <= now:
                running += core.tick(now)
    finally:
        sys.setprofile(None)
    assert "isocline.dispatch.core.core" in entered.modules or hot_path.is_compiled()
    assert entered.modules - set(MODULES) == set()
