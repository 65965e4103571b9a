"""What the emulated server and the load cost: `python -m benchmarks.emulator_and_load`.

Microseconds of CPU on either side for a request that is answered whole, and for a token of a
stream, at a fixed rate; and how late the load is sent. Goals: several thousand requests/s and tens
of thousands of tokens/s from one core each.
"""

import re
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from isocline.loadgen import LoadResult, LoadSettings, Schedule, run_load

SECONDS = 5.0


@dataclass(frozen=True)
class Case:
    """Requests at a rate to a server where each token takes 1 / `speed` s."""

    name: str
    rate: float
    speed: float  # tokens/s for each request
    tokens: int
    streams: bool


CASES = [
    Case("whole answers", 3000.0, 1e5, 16, streams=False),
    Case("streams, 10k tokens/s", 80.0, 100.0, 128, streams=True),
    Case("streams, 40k tokens/s", 320.0, 100.0, 128, streams=True),
]


def server_cpu(process: int) -> float:
    """CPU of another process so far, s (proc(5): fields 14 and 15, in ticks of 10 ms)."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100.0


def own_cpu() -> float:
    """CPU of this process so far, s."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def measure(case: Case) -> tuple[LoadResult, float, float]:
    """The run, and CPU of server and load, s."""
    curve = f"{{type: servers, rate: {case.speed}, count: 100000}}"
    command = ["-m", "isocline", "backend", "--curve", curve, "--listen", "127.0.0.1:0"]
    server = subprocess.Popen([sys.executable, *command], stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        address = re.search(r"http://[0-9.:]+", server.stderr.readline())
        assert address is not None
        settings = LoadSettings(address[0], streams=case.streams)
        schedule = Schedule.poisson(case.rate, SECONDS, 16, case.tokens)
        before = server_cpu(server.pid), own_cpu()
        result = run_load(settings, schedule)
        return result, server_cpu(server.pid) - before[0], own_cpu() - before[1]
    finally:
        server.terminate()
        server.wait()


def main() -> None:
    """Print a table."""
    print(f"{'case':24}{'server, us':>12}{'load, us':>12}{'p50 sent late, us':>20}{'failed':>8}")
    for case in CASES:
        result, server, load = measure(case)
        units = result.tokens if case.streams else result.completed
        late, failed = 1e6 * result.lag.p50, sum(result.errors.values())
        each = f"{1e6 * server / units:12.1f}{1e6 * load / units:12.1f}"
        print(f"{case.name:24}{each}{late:20.0f}{failed:8d}")


if __name__ == "__main__":
    main()
