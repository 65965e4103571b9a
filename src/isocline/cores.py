"""Cores that this process may use, which may be fewer than the machine has."""

import os
from contextlib import suppress
from pathlib import Path

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
