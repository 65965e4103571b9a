"""Settings of every run: the same examples, and on request no test that is skipped unnoticed."""

import gc
import importlib
import os
import signal
import sys
from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers

# A red test must not turn green by being run again.
# No deadline, no check of how long an example takes to draw: a busy machine would fail them.
settings.register_profile(
    "same", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("same")

# `derandomize` alone does not make examples the same everywhere: since 6.131, hypothesis takes one
# value in forty from the constants in whatever local modules have been imported by then. An edit of
# any module, or another spread of the tests over workers, changed the examples of unrelated tests.
# No setting turns that off, so no module is local here; the constants of hypothesis itself stay.
# Rejected: a backend of our own, for which hypothesis neither mutates nor leaves out duplicates.
# A version without this function passes tests/test_same_examples.py, or needs another remedy.
if hasattr(providers, "is_local_module_file"):

    def _is_local_module_file(path: str) -> bool:
        return False

    providers.is_local_module_file = _is_local_module_file

# Suites that several files of tests inherit: their assertions say as much as those in such a file.
pytest.register_assert_rewrite(
    "tests.dispatch.engines.engine_contract", "tests.dispatch.engines.fault_contract"
)


def pytest_configure() -> None:
    """Let Ctrl-C reach the processes that tests start.

    A shell without job control has whatever it starts in the background ignore it, and children
    inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


# What is imported and collected stays to the end: going over it, time and again, takes the garbage
# collector a sixth of that time.


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Collect no garbage while tests are imported and collected."""
    gc.disable()
    try:
        _import_all(session)
        return (yield)
    finally:
        gc.enable()


# Every worker imports every file of tests. pytest rewrites the assertions of each, which takes
# three times as long as the imports themselves, and keeps the result beside the file: workers that
# import in the same order at the same time all rewrite all of them.


def _import_all(session: pytest.Session) -> None:
    """Import the files of tests, each worker starting from another one, before their collection.

    A worker finds rewritten what another has begun with. Whatever cannot be imported is left for
    the collection to report: it tries once more.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers == 1:
        return
    place = int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw"))
    files = _files_of_tests(session.config)
    start = len(files) * place // workers
    for file in files[start:] + files[:start]:
        name = ".".join(file.relative_to(session.config.rootpath).with_suffix("").parts)
        with suppress(Exception, pytest.skip.Exception):
            importlib.import_module(name)


def _files_of_tests(config: pytest.Config) -> list[Path]:
    """The files in the folders that are to be collected; none where single files are."""
    here = config.invocation_params.dir
    folders = [(here / folder).resolve() for folder in config.args]
    ignored = {(here / path).resolve() for path in config.getoption("ignore") or ()}
    found = {file for folder in folders for file in folder.rglob("test_*.py")}
    inside = (file for file in found if file.is_relative_to(config.rootpath))
    return sorted(file for file in inside if ignored.isdisjoint((file, *file.parents)))


# Sockets, pipes and the like that nobody closed are found when they are collected as garbage. They
# are charged to the test that left them, or to nobody: an error at another test hides the real one.


@pytest.fixture(autouse=True)
def _own_garbage() -> Iterator[None]:
    """Find what a test left open at its end, and not during a later test.

    Only what was made since the test began is looked at: that takes milliseconds, not tenths of a
    second.
    """
    gc.freeze()
    yield
    gc.collect()
    gc.unfreeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Release what a failed test held: one failure is one failure.

    The traceback refers to all its variables, and pytest keeps it until another test has begun,
    which would then be charged with what is open there.
    """
    report = yield
    if call.excinfo is not None and not item.config.getoption("usepdb"):
        for name in ("last_type", "last_value", "last_traceback", "last_exc"):
            vars(sys).pop(name, None)
        _collected(call.excinfo.value)
    return report


_shared = pytest.StashKey[list[str]]()
"""Fixtures of more than one test that have been set up since the last look."""


def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> None:
    if fixturedef.scope != "function":
        request.config.stash.setdefault(_shared, []).append(fixturedef.argname)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Find what the fixtures of a file left open at the end of that file."""
    yield
    shared = item.config.stash.setdefault(_shared, [])
    if shared and (nextitem is None or nextitem.path != item.path):
        getattr(item, "funcargs", {}).clear()  # which refer to what the fixtures gave
        found = _collected()
        names = ", ".join(shared)
        shared.clear()
        if found:
            words = "; ".join(found)
            pytest.fail(f"left open by a fixture of this file ({names}): {words}", pytrace=False)


def _collected(failure: BaseException | None = None) -> list[str]:
    """Collect garbage, and what only this failure's traceback refers to; what was found open."""
    found: list[str] = []
    before = sys.unraisablehook
    sys.unraisablehook = lambda it: found.append(f"{it.exc_value}")
    try:
        if failure is not None:
            _clear(failure, set())
        gc.collect()
    finally:
        sys.unraisablehook = before
    return found


def _clear(error: BaseException, known: set[int]) -> None:
    """Clear the variables of all functions that this error and its causes came through."""
    if id(error) in known:
        return
    known.add(id(error))
    step = error.__traceback__
    while step is not None:
        with suppress(RuntimeError):  # it still runs
            step.tb_frame.clear()
            _ = step.tb_frame.f_locals  # which brings up to date the copy that a report has made
        step = step.tb_next
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    for other in (error.__cause__, error.__context__, *inner):
        if other is not None:
            _clear(other, known)


# What `--no-skips` lets pass: data that may not be distributed with the sources, and tests of a
# contract that an engine makes no use of. A program or package that is not there is neither.
DECLARED = (
    "the public traces are not part of the repository",
    "the real trace is not beside this checkout",
    "this engine keeps no chunks that it fetched",
    "the nodes of this engine fetch nothing by themselves",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--no-skips",
        action="store_true",
        help="fail if a test is skipped for a reason that tests/conftest.py does not declare",
    )


def pytest_sessionfinish(session: pytest.Session) -> None:
    if undeclared(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(config: pytest.Config) -> None:
    found = undeclared(config)
    if found:
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        assert reporter is not None
        reporter.section("skipped, which --no-skips forbids", red=True)
        for line in found:
            reporter.write_line(line)


def undeclared(config: pytest.Config) -> list[str]:
    """Skipped tests and files, of all workers, each with a reason that is not declared."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or not config.getoption("--no-skips"):
        return []
    skipped = [report for report in reporter.stats.get("skipped", []) if report.skipped]
    reasons = {report.nodeid: report.longrepr[2] for report in skipped if report.longrepr}
    return [
        f"{test}: {reason}"
        for test, reason in sorted(reasons.items())
        if reason.removeprefix("Skipped: ") not in DECLARED
    ]
