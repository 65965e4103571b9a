"""llama-servers of unlike speed on one machine, each with a CPU quota of a cgroup (Linux, root).

A quota makes a server's speed its own: with a high weight in the scheduler and less than its share
of the cores, it gets the same time whatever else the machine does.
"""

import contextlib
import os
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.listening import free_port, listening

_V1, _V2 = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")
_PERIOD = 20_000  # us: short, as a token waits for it; a quota is 1000 at least
_LOADING = 60.0  # s
_WEIGHT = 8192  # in cgroup v1, where 1024 is usual; 1 to 10 000 in v2, where 100 is


@contextmanager
def llama_servers(program: Path, model: Path, quotas: Sequence[float]) -> Iterator[list[str]]:
    """HOST:PORT of a llama-server for each quota, in cores, as soon as all have loaded `model`."""
    with ExitStack() as stack:
        yield [stack.enter_context(_server(program, model, quota)) for quota in quotas]


@contextmanager
def _server(program: Path, model: Path, quota: float) -> Iterator[str]:
    port = free_port()
    libraries = f"{program.parent}:{os.environ.get('LD_LIBRARY_PATH', '')}"
    command = ["env", f"LD_LIBRARY_PATH={libraries}", str(program), "-m", str(model)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--metrics", "--no-webui"]
    command += ["-t", "1", "-tb", "1", "--parallel", "8", "-c", "8192", "--alias", "mid"]
    with listening(command, port) as pid:
        _wait_for(f"http://127.0.0.1:{port}/health")
        with limited(pid, quota):
            yield f"127.0.0.1:{port}"


def _wait_for(url: str) -> None:
    """Until a URL answers with 200: it listens before it has loaded its model."""
    end = time.monotonic() + _LOADING
    while time.monotonic() < end:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5.0):
            return
        time.sleep(0.1)
    raise SystemExit(f"{url} does not answer with 200 in {_LOADING:g} s")


@contextmanager
def limited(pid: int, cores: float) -> Iterator[None]:
    """A process and its children get so many cores at most; SystemExit if that cannot be set."""
    v1 = (_V1 / "cpu.shares").exists()
    group = (_V1 if v1 else _V2) / f"isocline-benchmark-{pid}"
    quota = round(cores * _PERIOD)
    limits = (
        {"cpu.cfs_period_us": _PERIOD, "cpu.cfs_quota_us": quota, "cpu.shares": _WEIGHT}
        if v1
        else {"cpu.max": f"{quota} {_PERIOD}", "cpu.weight": _WEIGHT}
    )
    try:
        try:
            group.mkdir()
            for name, value in limits.items():
                (group / name).write_text(str(value))
            for one in _family(pid):
                (group / "cgroup.procs").write_text(str(one))
        except OSError as error:
            raise SystemExit(
                f"no CPU quota: {error}; run as root, with cgroups that can be written"
            ) from None
        yield
    finally:
        # It can be removed once it is empty.
        with contextlib.suppress(OSError):
            for member in (group / "cgroup.procs").read_text().split():
                (group.parent / "cgroup.procs").write_text(member)
            group.rmdir()


def _family(pid: int) -> Iterator[int]:
    """A process, its children, and theirs."""
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from _family(int(child))
