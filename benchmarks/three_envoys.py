"""Three Envoys before one fleet: `python -m benchmarks.three_envoys`.

Three processes of `isocline serve --plane envoy` share the cells of steady load of docs/design.md,
Section 6, and know of each other's requests by the load reports in responses alone. Each gets a
third of Poisson arrivals, drawn at random. Beside them three that ignore reports, and one that gets
everything. Mean latency over the fluid optimum; the goal of three with reports is 1.15.

Curves are given, backends emulated, in real time. All of it takes 25 minutes on a quiet machine;
`--cell a0.8` runs one cell, `--rounds` and `--window` say for how long. `--speed 0.4` makes all
rates lower and latencies longer, for a machine that is busy otherwise; the lag of backends and
senders is shown beside the ratios, which mean nothing where it is a tenth of the optimum's latency
or more.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from rich.console import Console
from rich.table import Table

from benchmarks.listening import free_port, listening
from benchmarks.live_policies import CELLS, Cell
from isocline.demo.child import ResourceSample
from isocline.demo.fleets import fleet
from isocline.demo.run import poisson
from isocline.emulator import Settings
from isocline.loadgen import LoadSettings, Schedule
from isocline.loadgen.tally import Tally
from isocline.loadgen.workers import WORKER, Sent
from isocline.model.fleet import RoutingSystem
from isocline.simulate.common.estimate import Estimate
from isocline.simulate.common.statistics.intervals import interval
from isocline.subprocesses.supervise import Child, answers
from isocline.theory.routing.equilibrium import fluid_optimum

GOAL, COUNT = 1.15, 3
START = 120.0  # s that a plane may take on a busy machine
SOON = 0.1  # s until a run begins, so that all senders are ready


class Contestant(NamedTuple):
    """Planes that share the arrivals, and whether they read load reports."""

    name: str
    planes: int
    report: str


CONTESTANTS = (
    Contestant("three Envoys, load reports", COUNT, "orca"),
    Contestant("three Envoys, own counts", COUNT, "none"),
    Contestant("one Envoy", 1, "none"),
)


class Lengths(NamedTuple):
    """How long to measure."""

    rounds: int
    window: float  # s
    warmup: float  # s


class Fleet(NamedTuple):
    """Emulated backends and senders, each a process."""

    system: RoutingSystem
    ports: list[int]
    backends: list[Child]
    senders: list[Child]

    def lateness(self) -> list[ResourceSample]:
        """What backends have used so far."""
        return [child.ask() for child in self.backends]


@contextmanager
def running(system: RoutingSystem) -> Iterator[Fleet]:
    with ExitStack() as stack:
        remedy = "run the benchmark again"
        backends = [
            stack.enter_context(Child("isocline.demo.backend", f"backend {it.name}", remedy))
            for it in system.backends
        ]
        for seed, (child, curve) in enumerate(zip(backends, system.curves, strict=True)):
            sizes = system.sizes
            child.tell(Settings(curve, unit="jobs", sizes=sizes, orca_counts="all", seed=seed))
        ports = [child.hear() for child in backends]
        senders = [
            stack.enter_context(Child(WORKER, f"sender {number}", remedy))
            for number in range(COUNT)
        ]
        yield Fleet(system, ports, backends, senders)


def document(fleet_: Fleet, port: int, report: str) -> dict[str, Any]:
    """System file of one plane."""
    system = fleet_.system
    return {
        "kind": "routing",
        "backends": [
            {
                "name": backend.name,
                "url": f"http://127.0.0.1:{number}",
                "curve": {"type": backend.curve.type, **backend.curve.parameters()},
                "report": report,
            }
            for backend, number in zip(system.backends, fleet_.ports, strict=True)
        ],
        "frontends": [{"name": "all", "backends": ["*"]}],
        "serve": {"listen": f"127.0.0.1:{port}", "admin": "off", "health": "off"},
    }


def planes(fleet_: Fleet, folder: Path, stack: ExitStack) -> dict[Contestant, list[str]]:
    """Start all planes at once; returns their urls."""
    found: dict[Contestant, list[str]] = {}
    starts: list[Callable[[], int]] = []
    for number, one in enumerate(CONTESTANTS):
        ports = [free_port() for _ in range(one.planes)]
        found[one] = [f"http://127.0.0.1:{port}" for port in ports]
        for port in ports:
            file = folder / f"{number}-{port}.yaml"
            file.write_text(yaml.safe_dump(document(fleet_, port, one.report)))
            command = [sys.executable, "-m", "isocline", "serve", str(file), "--plane", "envoy"]
            made = listening(command, port, within=START)
            starts.append(lambda made=made: stack.enter_context(made))  # type: ignore[misc]
    with ThreadPoolExecutor(len(starts)) as pool:
        for started in [pool.submit(start) for start in starts]:
            started.result()
    return found


def shared_out(schedule: Schedule, among: int, seed: int) -> list[Schedule]:
    """Parts of a schedule, each request drawn into one of them."""
    drawn = np.random.default_rng(seed).integers(0, among, schedule.times.size)
    parts = (drawn == number for number in range(among))
    return [
        replace(
            schedule,
            times=schedule.times[mine],
            prompt_tokens=schedule.prompt_tokens[mine],
            output_tokens=schedule.output_tokens[mine],
        )
        for mine in parts
    ]


class Outcome(NamedTuple):
    """One run: what came of it, and by how much the machine was late, s."""

    tally: Tally
    lag: float


def run(
    fleet_: Fleet, urls: Sequence[str], schedule: Schedule, warmup: float, seed: int
) -> Outcome:
    parts = shared_out(schedule, len(urls), seed)
    senders = fleet_.senders[: len(urls)]
    for sender, url, part in zip(senders, urls, parts, strict=True):
        sender.tell((LoadSettings(url, warmup=warmup, timeout=60.0), part))
    answers(senders)
    before = fleet_.lateness()
    start = time.monotonic() + SOON
    for sender in senders:
        sender.tell(start)
    total = Tally()
    sent: Sent
    for sent in answers(senders):
        total += sent.tally
    pairs = zip(before, fleet_.lateness(), strict=True)
    late = max((b.late - a.late) / max(b.alarms - a.alarms, 1) for a, b in pairs)
    return Outcome(total, late + total.lag.mean)


class Found(NamedTuple):
    """A contestant in a cell."""

    ratio: Estimate
    lag: float  # of the optimum's latency
    failed: int
    requests: int


def measured(cell: Cell, speed: float, lengths: Lengths, folder: Path) -> dict[Contestant, Found]:
    system = fleet(cell.fleet, cell.load, speed)
    least = fluid_optimum(system).total_jobs / float(system.rates.sum())
    outcomes: dict[Contestant, list[Outcome]] = {one: [] for one in CONTESTANTS}
    with ExitStack() as stack:
        ready = stack.enter_context(running(system))
        urls = planes(ready, folder, stack)
        for turn in range(lengths.rounds):
            schedule = poisson(system, lengths.warmup + lengths.window, turn)
            for one in CONTESTANTS:
                outcome = run(ready, urls[one], schedule, lengths.warmup, turn)
                outcomes[one].append(outcome)
    return {
        one: Found(
            interval(np.array([it.tally.latency.mean for it in its]) / least),
            float(np.mean([it.lag for it in its])) / least,
            sum(sum(it.tally.errors.values()) for it in its),
            sum(it.tally.completed for it in its),
        )
        for one, its in outcomes.items()
    }


def shown(found: dict[Cell, dict[Contestant, Found]], lengths: Lengths, speed: float) -> Table:
    table = Table("", *(str(cell) for cell in found))
    for one in CONTESTANTS:
        entries = (
            f"{it[one].ratio.value:.3f} ± {it[one].ratio.half_width:.3f} (lag {it[one].lag:.3f})"
            + f", {it[one].failed} failed" * (it[one].failed > 0)
            for it in found.values()
        )
        table.add_row(one.name, *entries)
    requests = min(its[one].requests for its in found.values() for one in CONTESTANTS)
    table.caption = (
        f"mean latency over the fluid optimum, 95 % interval of {lengths.rounds} rounds of "
        f"{lengths.window:g} s after {lengths.warmup:g} s, {requests:,} requests or more each; "
        f"speed {speed:g}; load average {os.getloadavg()[0]:.1f}; the goal of three with load "
        f"reports is {GOAL}"
    )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(prog=f"python -m {__spec__.name}")
    steady = {f"{one.fleet}{one.load}": one for one in CELLS if not one.bursts}
    parser.add_argument("--cell", choices=steady, help="one of the cells alone")
    parser.add_argument("--speed", type=float, default=1.0, metavar="X", help="of all rates")
    parser.add_argument("--rounds", type=int, default=4, metavar="N")
    parser.add_argument("--window", type=float, default=24.0, metavar="S", help="s at speed 1")
    arguments = parser.parse_args()
    speed = arguments.speed
    lengths = Lengths(arguments.rounds, arguments.window / speed, 4.0 / speed)
    chosen = [steady[arguments.cell]] if arguments.cell else list(steady.values())
    with tempfile.TemporaryDirectory() as folder:
        found = {cell: measured(cell, speed, lengths, Path(folder)) for cell in chosen}
    Console(width=140).print(shown(found, lengths, speed))


if __name__ == "__main__":
    main()
