"""What a test leaves open is charged to that test or its fixture, and a failure is one failure."""

import re
import subprocess
import sys
from pathlib import Path

SOCKET = """
import socket
import pytest

def leave_open():
    cycle = [socket.socket()]
    cycle.append(cycle)  # so that it is found by the collector of garbage alone
    return cycle

"""
# What a failed test has open is reached from its traceback, which outlives the test.
FAILED = """
def test_failed():
    cycle = leave_open()
    assert cycle is None

def test_failed_in_a_group():
    try:
        cycle = leave_open()
        raise ValueError
    except ValueError as error:
        raise ExceptionGroup("all of it", [error])
"""
LEFT = """
def test_left(): leave_open()
"""
SHARED = """
@pytest.fixture(scope="module")
def kept():
    cycle = leave_open()
    yield cycle

def test_first(kept): pass
def test_last(kept): pass
"""
AFTER = """
def test_after(): assert bytearray(8)
"""


def test_what_is_left_open_is_charged_to_who_left_it(tmp_path: Path) -> None:
    conftest = Path(__file__).with_name("conftest.py")
    (tmp_path / "conftest.py").write_text(conftest.read_text())
    for name, text in (("a", FAILED + AFTER), ("b", LEFT + AFTER), ("c", SHARED), ("d", AFTER)):
        (tmp_path / f"test_{name}.py").write_text(SOCKET + text)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--rootdir={tmp_path}"]
    command += ["-c", "/dev/null", "-W", "error", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = done.stdout
    assert re.findall(r"ERROR at (\w+) of (\w+)", said) == [
        ("teardown", "test_left"),
        ("teardown", "test_last"),
    ], said
    assert "2 failed, 6 passed, 2 errors" in said.splitlines()[-1], said
    assert re.search(r"left open by a fixture of this file \(.*kept.*\): unclosed <socket", said), (
        said
    )
