"""Cores that this process may use, which may be fewer than the machine has."""

import os
from contextlib import suppress
from pathlib import Path

from isocline.errors import UsageError
from isocline.plural import counted

# A worker process takes some 60 MB, and half a second of a core to start: more for each core than
# tasks that wait for others have a use for, and any machine bears the least of them.
_PER_CORE, _LEAST = 64, 1024

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


def require_processes(name: str, count: int) -> None:
    """Raise UsageError for more worker processes than this machine has a use for."""
    cores = usable_cores()
    most = max(_PER_CORE * cores, _LEAST)
    if count > most:
        raise UsageError(
            f"{name}: {counted(count, 'worker process', 'worker processes')} on "
            f"{counted(cores, 'core')}; give at most {most:,}"
        )
