"""The guardian: children of a parent that is gone, and of one that is not."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from isocline.subprocesses.guardian import Guardian
from tests.dispatch.rigs import exists, until
from tests.running import running

PARENT = """
import subprocess, sys, time
from isocline.subprocesses.guardian import Guardian
guardian = Guardian()
child = subprocess.Popen(["sleep", "3600"], start_new_session=True)
other = subprocess.Popen(["sleep", "3600"], start_new_session=True)
guardian.watch(child.pid, [sys.argv[1]])
guardian.watch(other.pid)
guardian.forget(other.pid)
print(child.pid, other.pid, flush=True)
time.sleep(3600)
"""


def test_a_child_that_outlives_its_parent_is_killed_and_its_files_removed(tmp_path: Path) -> None:
    files = tmp_path / "run" / "child"
    files.mkdir(parents=True)
    (files / "file").touch()
    with running([sys.executable, "-c", PARENT, str(files)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child, other = map(int, parent.stdout.readline().split())
        try:
            assert exists(child)
            parent.kill()
            until(lambda: not exists(child))
            until(lambda: not files.parent.exists())
            assert exists(other)
        finally:
            os.kill(other, signal.SIGKILL)


def test_one_that_is_closed_ends_and_kills_nothing_that_it_was_to_forget() -> None:
    guardian = Guardian()
    with subprocess.Popen(["sleep", "3600"], start_new_session=True) as child:
        guardian.watch(child.pid)
        guardian.forget(child.pid)
        began = time.monotonic()
        guardian.close()
        assert time.monotonic() - began < 60.0
        assert child.poll() is None
        guardian.watch(child.pid)  # too late, and of no effect
        child.kill()


def test_one_that_was_killed_itself_is_missed_by_nobody() -> None:
    guardian = Guardian()
    with subprocess.Popen(["sleep", "3600"], start_new_session=True) as child:
        guardian.watch(child.pid)
        for name in os.listdir("/proc") if Path("/proc/self").exists() else ():  # noqa: PTH208
            command = Path("/proc") / name / "cmdline"
            if name.isdigit() and command.exists() and _is_guardian_of_this(name):
                os.kill(int(name), signal.SIGKILL)
        for _ in range(3):
            guardian.watch(child.pid)
            time.sleep(0.05)
        guardian.close()
        child.kill()


def _is_guardian_of_this(process: str) -> bool:
    try:
        parent = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1]
        command = Path(f"/proc/{process}/cmdline").read_text()
    except OSError:
        return False
    return int(parent) == os.getpid() and "guardian" in command
