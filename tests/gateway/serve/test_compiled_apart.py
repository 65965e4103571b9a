"""Kernels compiled in a process of their own, and loaded by the router."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

SCRIPT = """
import os
from isocline.compilation import compile_events
from isocline.gateway.serve.compiled_apart import compile_apart

class Counted(compile_events.Listener):
    def __init__(self): self.events = ""
    def started(self): self.events += "+"
    def finished(self): self.events += "-"

compile_events.add(counted := Counted())
from module import doubled
done = []
compile_apart(lambda: (done.append(doubled(2)), {then}))
print("apart", counted.events, done)
counted.events = ""
print("here", doubled(2), counted.events)
compile_apart(lambda: done.append(doubled(2)))
print("again", done, counted.events)
"""
MODULE = """
from isocline.compilation.compiled import kernel

@kernel
def doubled(x):
    return 2 * x
"""


@pytest.mark.skipif(sys.platform != "linux", reason="children are forked on Linux")
@pytest.mark.parametrize("then", ["0", "1 / 0", "os._exit(3)"])
def test_a_kernel_is_compiled_apart_reported_here_and_loaded_here(
    tmp_path: Path, then: str
) -> None:
    (tmp_path / "module.py").write_text(MODULE)
    made = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT.format(then=then))],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert made.stdout.splitlines() == ["apart +- []", "here 4 ", "again [4] "], made.stderr
    assert not made.stderr
