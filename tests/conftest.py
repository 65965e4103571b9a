"""Settings of every run: the same examples, and on request no test that is skipped unnoticed."""

import gc
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# A red test must not turn green by being run again.
# No deadline, no check of how long an example takes to draw: a busy machine would fail them.
settings.register_profile(
    "same", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("same")


@pytest.fixture(autouse=True)
def _own_garbage() -> Iterator[None]:
    """A socket or pipe that a test leaves open is found at its end, not during a later test.

    Only what was made since the test began is looked at: that takes milliseconds, not tenths of a
    second.
    """
    gc.freeze()
    yield
    gc.collect()
    gc.unfreeze()


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
