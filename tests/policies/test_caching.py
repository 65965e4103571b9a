"""Kernels compiled for a policy are found again by the next process."""

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import isocline
from isocline.simulate.routing.kernels.uniformised import run_chain
from isocline.simulate.routing.kernels.tracked_chain import track
system = isocline.load("examples/n_model.yaml")
for percentiles in (True, False):
    isocline.simulate(system, policies=["gmsr", "examples.my_policy:least_price"],
                      horizon=2000.0, replications=2, percentiles=percentiles)
for kernel in (run_chain, track):
    print(kernel.stats.cache_hits.total(), kernel.stats.cache_misses.total())
"""


def run() -> tuple[int, ...]:
    """Hits and misses of both kernels, which have one form for each of the policies."""
    said = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        timeout=900,
    ).stdout.split()
    return tuple(map(int, said))


def test_a_second_process_compiles_no_kernel() -> None:
    """In the cache of all tests: who comes first does not matter, so that a compilation is saved.

    Two processes that save forms of one kernel at the same moment may lose one of them, as numba
    does not lock its index: it is compiled once more.
    """
    for _ in range(3):
        found = run()
        # `least`, and one kernel for all policies that are called by address.
        assert found[0] + found[1] == found[2] + found[3] == 2
        if found == (2, 0, 2, 0):
            return
    assert found == (2, 0, 2, 0)
