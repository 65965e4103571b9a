"""Examples that hypothesis draws depend on the test alone, not on what else has been imported."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

CONSTANTS = "NUMBERS = {numbers}\nWORDS = {words}\n".format(
    numbers=list(range(1000, 1100)), words=[f"word {number}" for number in range(100)]
)
DRAWS = """
import os
from pathlib import Path

from hypothesis import given, strategies as st

if "WITH_CONSTANTS" in os.environ:
    import constants

LOG = Path(os.environ["LOG"]).open("a")

@given(st.tuples(st.lists(st.integers(0, 10**6)), st.text(), st.floats()))
def test_draws(drawn):
    print(ascii(drawn), file=LOG)
"""


def test_constants_of_local_modules_are_not_drawn(tmp_path: Path) -> None:
    shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path)
    (tmp_path / "constants.py").write_text(CONSTANTS)
    (tmp_path / "test_one.py").write_text(DRAWS)
    command = [sys.executable, "-m", "pytest", f"--rootdir={tmp_path}", "-c", "/dev/null"]
    drawn = []
    for name, more in (("without", {}), ("with", {"WITH_CONSTANTS": "1"})):
        log = tmp_path / name
        env = os.environ | more | {"LOG": str(log), "PYTHONPATH": str(tmp_path)}
        done = subprocess.run(
            [*command, str(tmp_path)], capture_output=True, text=True, check=False, env=env
        )
        assert "1 passed" in done.stdout, done.stdout + done.stderr
        drawn.append(log.read_text().splitlines())
    without, with_constants = drawn
    assert len(without) > 50
    assert with_constants == without
