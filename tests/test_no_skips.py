"""`--no-skips` fails a run in which a test was skipped for a reason that is not declared."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

MODULE = "import pytest\npytest.importorskip('{module}')\ndef test_nothing(): pass\n"
TEST = "import pytest\ndef test_nothing(): pytest.skip('{reason}')\n"
DECLARED = "the public traces are not part of the repository"


@pytest.mark.parametrize(
    ("text", "processes", "code"),
    [
        (TEST.format(reason=DECLARED), "1", 0),
        (TEST.format(reason="no network"), "1", 1),
        (MODULE.format(module="no_such_module"), "1", 1),
        (MODULE.format(module="no_such_module"), "0", 1),
    ],
)
def test_undeclared_skips_fail(tmp_path: Path, text: str, processes: str, code: int) -> None:
    shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path)
    (tmp_path / "test_one.py").write_text(text + "def test_passes(): pass\n")
    (tmp_path / "test_two.py").write_text("def test_passes(): pass\n")
    command = [sys.executable, "-m", "pytest", "-q", "-n", processes, f"--rootdir={tmp_path}"]
    command += ["-c", "/dev/null", "--no-skips", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert ("skipped, which --no-skips forbids" in done.stdout) == (code == 1)
    assert "passed" in done.stdout.splitlines()[-1]
