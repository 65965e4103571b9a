"""Cores that this process may use, and the threads that each worker is to start on them.

BLAS, OpenMP and their like start one thread for each core of the machine in each process. With one
worker for each core that makes the square of the number of cores, and every call waits for threads
that are not scheduled. Each library has a variable of its own, which is read when it is loaded.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

_VARIABLES = (
    "OMP_NUM_THREADS",  # OpenMP; PyTorch and Arrow go by it, too
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
)
_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of a container, as "150000 100000": 1.5 cores


def usable_cores(quota: Path = _QUOTA) -> int:
    """Cores that this process may run on: of its affinity, and of the container's quota."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:  # macOS
        cores = os.cpu_count() or 1
    with suppress(OSError, ValueError):  # no such file, or "max"
        time, period = map(int, quota.read_text().split())
        cores = min(cores, -(-time // period))
    return max(cores, 1)


def thread_variables(workers: int, cores: int, environment: Mapping[str, str]) -> dict[str, str]:
    """Variables by which each of so many workers uses its share of the cores, at least one.

    What the environment sets holds: it is the user's own choice.
    """
    share = str(max(cores // workers, 1))
    return {name: share for name in _VARIABLES if name not in environment}
