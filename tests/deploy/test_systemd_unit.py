"""The unit of systemd: valid, hardened, and of a command that the router takes."""

import re
import shutil
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from isocline.cli import main
from tests.deploy.promql import DEPLOY
from tests.deploy.tools import run

UNIT = (DEPLOY / "isocline.service").read_text()
ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(
    ANALYZE is None, reason="needs systemd-analyze (Debian: systemd)"
)


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, with a program that is there."""
    program = Path(sys.executable).parent / "isocline"
    file = tmp_path / "isocline.service"
    file.write_text(UNIT.replace("/opt/isocline/bin/isocline", str(program)))
    return file


@needs_systemd
def test_systemd_finds_nothing_in_it(unit: Path) -> None:
    assert ANALYZE is not None
    done = run(ANALYZE, "verify", unit)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_systemd
def test_it_is_hardened(unit: Path) -> None:
    """At most 2 of 10 points of exposure, where a unit without settings has 9.6."""
    assert ANALYZE is not None
    done = run(ANALYZE, "security", "--offline=true", "--threshold=20", unit)
    assert done.returncode == 0, done.stdout


def test_a_stop_leaves_time_to_drain() -> None:
    seconds = int(re.findall(r"^TimeoutStopSec=(\d+)$", UNIT, re.MULTILINE)[0])
    assert seconds >= 30 + 10  # the default of `drain`, and writing what was learned
    assert "\nExecReload=/bin/kill -HUP $MAINPID\n" in UNIT


def test_a_router_whose_file_is_bad_is_not_started_for_ever(tmp_path: Path) -> None:
    prevented = re.findall(r"^RestartPreventExitStatus=(.*)$", UNIT, re.MULTILINE)[0].split()
    file = tmp_path / "system.yaml"

    def status(path: Path) -> str:
        """Of the unit's program, as systemd has it."""
        return str(CliRunner().invoke(main, ["serve", str(path)]).exit_code)

    for text in ("kind: routing\nbackends: [\n", "kind: routing\nfrontends: []\n", "kind: jobs\n"):
        file.write_text(text)
        assert status(file) in prevented
    assert status(tmp_path / "missing.yaml") in prevented
    # Whatever else ends it, it is started again: a defect (1), or a signal.
    assert "\nRestart=on-failure\n" in UNIT
    assert not {"1", "SIGKILL", "SIGSEGV", "SIGABRT"} & set(prevented)


def test_kernels_may_be_written_to_memory_and_run() -> None:
    assert not re.search("^MemoryDenyWriteExecute", UNIT, re.MULTILINE)
