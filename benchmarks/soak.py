"""Whether a router stays as it is: `python -m benchmarks.soak --minutes 10`.

`isocline serve` before four backends, and 2000 connections that ask in turn: most for a small
answer, some for a stream of events, and of these some leave in its middle; a connection is now and
then closed and opened again. Each request has a number, which its answer has to hold. Told each
half minute, and at the end judged:

- no error, and no request without its answer, or with another's;
- memory flat: the slope of the router's resident memory after the first third, by Theil and Sen
  over means of 5 s, with its 95 % interval; a step, as of a burst of requests, moves it little, a
  leak does. It is flat if the interval holds 0, or ends below 2 bytes for each request: the
  smallest object (16 bytes) lost with every eighth request would be more.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import uvloop
import yaml
from scipy import stats

from benchmarks.listening import free_port
from benchmarks.soak_traffic import CONNECTIONS, PATIENCE, Tally, ask, backend

BACKENDS = 4
SAMPLE, BATCH, TELL = 1.0, 5.0, 30.0  # s
LEAK = 2.0  # bytes for each request


# -- the router ----------------------------------------------------------------------------------


@dataclass
class Router:
    """`isocline serve` as a process."""

    process: subprocess.Popen[bytes]
    port: int
    admin: int

    def memory(self) -> int:
        """Bytes that it and its workers hold."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        pages = 0
        for one in (str(pid), *children):
            with suppress(OSError):  # it has just ended
                pages += int(Path(f"/proc/{one}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def cpu(self) -> float:
        """CPU time of its process alone, s."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def left(self) -> tuple[int, int]:
        """(requests in flight, connections of clients) by its own count."""
        url = f"http://127.0.0.1:{self.admin}/statistics"
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            said = json.load(answer)
        return sum(it["in_flight"] for it in said["backends"]), said["client_connections"]


@contextmanager
def routing(port: int, workers: int) -> Iterator[Router]:
    """A router before the backend at `port`, as four."""
    own, admin = free_port(), free_port()
    curve = {"type": "hyperbolic", "peak": 4000.0, "half": 16.0}
    url = f"http://127.0.0.1:{port}"
    content = {
        "kind": "routing",
        "backends": [{"name": f"b{i}", "url": url, "curve": curve} for i in range(BACKENDS)],
        "frontends": [{"name": "all", "rate": 1.0, "backends": ["*"]}],
        "serve": {
            "listen": f"127.0.0.1:{own}",
            "admin": f"127.0.0.1:{admin}",
            "workers": workers,
            "health": "off",
            "access_log": "access.log",
            "sizes": {"connections": 2 * CONNECTIONS},
        },
    }
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "access.log").symlink_to(os.devnull)
        file = Path(folder) / "system.yaml"
        file.write_text(yaml.safe_dump(content))
        process = subprocess.Popen([sys.executable, "-m", "isocline", "serve", str(file)])
        try:
            router = Router(process, own, admin)
            wait_for(router)
            yield router
        finally:
            process.terminate()
            process.wait()


def wait_for(router: Router) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and router.process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", router.port)):
            return
        time.sleep(0.05)
    sys.exit("the router did not start")


# -- watching and judging ------------------------------------------------------------------------


@dataclass
class Watched:
    """Memory over time."""

    times: list[float] = field(default_factory=list)  # s
    sizes: list[int] = field(default_factory=list)  # bytes

    def slope(self) -> tuple[float, float, float]:
        """(bytes/s, and its 95 % interval), after the first third, by means over BATCH seconds."""
        times, sizes = np.array(self.times), np.array(self.sizes, float)
        late = times >= times[0] + (times[-1] - times[0]) / 3
        batch = ((times[late] - times[0]) // BATCH).astype(int)
        groups = np.unique(batch)
        x = np.array([times[late][batch == g].mean() for g in groups])
        y = np.array([sizes[late][batch == g].mean() for g in groups])
        fit = stats.theilslopes(y, x)
        return float(fit.slope), float(fit.low_slope), float(fit.high_slope)


async def watch(router: Router, tally: Tally, watched: Watched) -> None:
    start, told = time.monotonic(), 0.0
    while True:
        now = time.monotonic() - start
        watched.times.append(now)
        watched.sizes.append(router.memory())
        if now >= told:
            told += TELL
            print(
                f"{now:5.0f} s  {tally.answered:9,} answered  {tally.left:6,} left  "
                f"{tally.late:6,} late  {tally.wrong.total()} wrong  "
                f"{watched.sizes[-1] / 1e6:.1f} MB",
                flush=True,
            )
        await asyncio.sleep(SAMPLE)


async def soak(router: Router, rate: float, seconds: float) -> tuple[Tally, Watched]:
    tally, watched = Tally(), Watched()
    watching = asyncio.create_task(watch(router, tally, watched))
    await ask(router.port, rate, seconds, tally)
    watching.cancel()
    return tally, watched


def judge(router: Router, tally: Tally, watched: Watched, seconds: float) -> bool:
    """Whether all is as it should be; tells what is."""
    end = time.monotonic() + PATIENCE
    while (left := router.left()) != (0, 0) and time.monotonic() < end:
        time.sleep(0.2)
    rate = (tally.answered + tally.left) / seconds
    slope, low, high = (each / rate for each in watched.slope())
    wrong = +tally.wrong
    cost = 1e6 * router.cpu() / seconds / rate  # of one process: nothing with several workers
    print(
        f"{tally.answered:,} answered at {rate:,.0f}/s, {cost:.0f} us of CPU each; "
        f"wrong: {dict(wrong) or 'none'}; left over: {left[0]} requests, {left[1]} connections"
    )
    print(
        f"memory {watched.sizes[-1] / 1e6:.1f} MB, slope {slope:.3f} bytes/request "
        f"(95 %: {low:.3f} to {high:.3f})"
    )
    return not wrong and left == (0, 0) and (low <= 0 or high < LEAK)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=2000.0, help="requests/s")
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    seconds = 60.0 * options.minutes
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=backend, args=(theirs,))
    process.start()
    try:
        with routing(ours.recv(), options.workers) as router:
            tally, watched = uvloop.run(soak(router, options.rate, seconds))
            good = judge(router, tally, watched, seconds)
    finally:
        process.terminate()
        process.join()
    print("all is as it was" if good else "NOT as it should be")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
