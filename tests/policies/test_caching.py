"""Kernels compiled for a policy are found again by the next process."""

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import isocline
from isocline.simulate.kernels.jumps import jump
from isocline.simulate.kernels.tracked import track
system = isocline.load("examples/n_model.yaml")
for percentiles in (True, False):
    isocline.simulate(system, policies=["gmsr", "examples.my_policy:two_by_price"],
                      horizon=2000.0, replications=2, percentiles=percentiles)
for kernel in (jump, track):
    print(kernel.stats.cache_hits.total(), kernel.stats.cache_misses.total())
"""


def test_a_second_process_compiles_no_kernel(tmp_path: Path) -> None:
    def run() -> list[str]:
        return subprocess.run(
            [sys.executable, "-c", PROGRAM],
            check=True,
            capture_output=True,
            text=True,
            cwd=Path(__file__).parents[2],
            env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)},
            timeout=900,
        ).stdout.split()

    # `least`, and one kernel for all policies that are called by address.
    assert run() == ["0", "2", "0", "2"]
    assert run() == ["2", "0", "2", "0"]
