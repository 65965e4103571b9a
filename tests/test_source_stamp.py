"""The stamp of compiled code changes with all that is compiled into it, and with nothing else."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from isocline.compilation.source_stamp import stamp_of

KERNEL = """from isocline.compilation.compiled import kernel
import helper_of_test
from rule_of_test import Record, rule

@kernel
def decide(x):
    return rule(x) + helper_of_test.more(x) + Record(x).field
"""
RULE = """from typing import NamedTuple
from isocline.compilation.compiled import inlinable
from constant_of_test import WEIGHT

class Record(NamedTuple):
    field: float

@inlinable
def rule(x):
    return WEIGHT * x
"""
HELPER = """from isocline.compilation.compiled import inlinable

@inlinable
def more(x):
    return 0.0
"""
FILES = {"kernel": KERNEL, "rule": RULE, "helper": HELPER, "constant": "WEIGHT = 2.0\n"}


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / f"{name}_of_test.py").write_text(text)


def fresh_stamp(folder: Path) -> str:
    """Stamp of the kernel, as a process of its own finds it."""
    say = (
        "from isocline.compilation.source_stamp import stamp_of; import kernel_of_test;"
        "print(stamp_of(kernel_of_test.decide.py_func))"
    )
    return run(folder, say)


def run(folder: Path, code: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        ("rule", "WEIGHT * x", "WEIGHT * x * x"),
        ("rule", "field: float", "field: float\n    other: float = 0.0"),
        ("helper", "0.0", "1.0"),
        ("constant", "2.0", "3.0"),
    ],
)
def test_what_is_compiled_in_counts(tmp_path: Path, file: str, before: str, after: str) -> None:
    write(tmp_path, **FILES)
    stamp = fresh_stamp(tmp_path)
    assert fresh_stamp(tmp_path) == stamp
    write(tmp_path, unrelated="x = 1\n")
    assert fresh_stamp(tmp_path) == stamp
    write(tmp_path, **{file: FILES[file].replace(before, after)})
    assert fresh_stamp(tmp_path) != stamp


def test_a_kernel_follows_a_change_of_what_it_inlines(tmp_path: Path) -> None:
    """As after an upgrade in place: its own file is the same, and its code is kept on disk."""
    write(tmp_path, **FILES)
    say = "import kernel_of_test; print(kernel_of_test.decide(5.0))"
    assert run(tmp_path, say) == run(tmp_path, say) == "15.0"
    write(tmp_path, rule=RULE.replace("WEIGHT * x", "WEIGHT * x + 100.0"))
    assert run(tmp_path, say) == "115.0"


def test_the_place_of_the_files_does_not_count(tmp_path: Path) -> None:
    """Kernels of an image, or of a checkout that was moved, are found again."""
    for folder in (tmp_path / "one", tmp_path / "other"):
        folder.mkdir()
        write(folder, **FILES)
    assert fresh_stamp(tmp_path / "one") == fresh_stamp(tmp_path / "other")


def test_the_kernels_of_the_simulator_depend_on_the_rules_of_policies() -> None:
    kernels = importlib.import_module("isocline.simulate.routing.kernels.model_memory")
    rules = importlib.import_module("isocline.policies.routing.model_loads")
    before = stamp_of(kernels.show_loads.py_func)
    patch = pytest.MonkeyPatch()
    patch.setattr(rules, "MAKES_WAY", 2.0)
    assert stamp_of(kernels.show_loads.py_func) != before
    patch.undo()
    assert stamp_of(kernels.show_loads.py_func) == before
