"""Workers begin to import the files of tests at different ones, and import each of them once."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

NOTED = """
import os
from pathlib import Path

with Path(__file__).with_name(os.environ["PYTEST_XDIST_WORKER"]).open("a") as log:
    log.write(Path(__file__).stem + "\\n")

def test_passes(): pass
"""
BROKEN = NOTED + "import no_such_module\n"


def test_each_worker_begins_elsewhere_and_what_cannot_be_imported_is_reported(
    tmp_path: Path,
) -> None:
    shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path)
    names = ["test_a", "test_b", "test_c", "test_d"]
    for name in names:
        (tmp_path / f"{name}.py").write_text(BROKEN if name == "test_b" else NOTED)
    command = [sys.executable, "-m", "pytest", "-n", "2", f"--rootdir={tmp_path}"]
    command += ["-c", "/dev/null", "--continue-on-collection-errors", str(tmp_path)]
    # Not a worker of the run that this test is in.
    around = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_XDIST_")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=around)
    assert "3 passed, 1 error" in done.stdout, done.stdout + done.stderr
    assert "No module named 'no_such_module'" in done.stdout
    imported = [(tmp_path / worker).read_text().split() for worker in ("gw0", "gw1")]
    assert [order[0] for order in imported] == ["test_a", "test_c"]
    good = [[name for name in order if name != "test_b"] for order in imported]
    assert [sorted(order) for order in good] == [["test_a", "test_c", "test_d"]] * 2
