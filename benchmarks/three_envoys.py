"""Three Envoys before one fleet: `python -m benchmarks.three_envoys`.

Three processes of `isocline serve --plane envoy` share the cells of steady load of docs/design.md,
Section 6, and know of each other's requests by the load reports in responses alone. Each gets a
third of Poisson arrivals, drawn at random. Beside them three that ignore reports, and one that gets
everything. Mean latency over the fluid optimum; the goal of three with reports is 1.15.

Curves are given, backends emulated, in real time. All of it takes 25 minutes on a quiet machine.
`--cell a0.8` and `--only reports` run a part of it, `--rounds` and `--window` say for how long, and
with `--keep FILE` the rounds of earlier runs count as well, so that it can be done in pieces.
`--speed 0.4` makes all rates lower and latencies longer, for a machine that is busy otherwise; the
lag of backends and senders is shown beside the ratios, which mean nothing where it is a tenth of
the optimum's latency or more.

Of ten rounds or more the interval takes the number of requests as a control, whose mean is known.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
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
from isocline.simulate.common.statistics.intervals import interval
from isocline.subprocesses.supervise import Child, answers
from isocline.theory.routing.equilibrium import fluid_optimum

GOAL, COUNT = 1.15, 3
LEAST = 2  # rounds of an interval
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


def planes(
    fleet_: Fleet, contestants: Sequence[Contestant], folder: Path, stack: ExitStack
) -> dict[Contestant, list[str]]:
    """Start all planes at once; returns their urls."""
    found: dict[Contestant, list[str]] = {}
    starts: list[Callable[[], int]] = []
    for number, one in enumerate(contestants):
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


class Round(NamedTuple):
    """A contestant in one round of a cell."""

    cell: str
    contestant: str
    turn: int
    ratio: float  # mean latency over the optimum's
    lag: float  # of the optimum's latency
    failed: int
    requests: int
    surplus: float  # requests sent, over those expected, less 1


def measured(
    cell: Cell, speed: float, lengths: Lengths, turns: Iterable[int], folder: Path, only: str
) -> Iterator[Round]:
    system = fleet(cell.fleet, cell.load, speed)
    rate = float(system.rates.sum())
    least = fluid_optimum(system).total_jobs / rate
    contestants = [one for one in CONTESTANTS if only in one.name]
    with ExitStack() as stack:
        ready = stack.enter_context(running(system))
        urls = planes(ready, contestants, folder, stack)
        for turn in turns:
            schedule = poisson(system, lengths.warmup + lengths.window, turn)
            sent = int((schedule.times >= lengths.warmup).sum())
            for one in contestants:
                tally, lag = run(ready, urls[one], schedule, lengths.warmup, turn)
                yield Round(
                    str(cell),
                    one.name,
                    turn,
                    tally.latency.mean / least,
                    lag / least,
                    sum(tally.errors.values()),
                    tally.completed,
                    sent / (rate * lengths.window) - 1.0,
                )


def shown(found: Sequence[Round], lengths: Lengths, speed: float) -> Table:
    cells = list(dict.fromkeys(one.cell for one in found))
    table = Table("", *cells)
    for name in dict.fromkeys(one.contestant for one in found):
        rounds = [[it for it in found if (it.contestant, it.cell) == (name, c)] for c in cells]
        table.add_row(name, *(_entry(its) for its in rounds))
    table.caption = (
        f"mean latency over the fluid optimum, 95 % interval of rounds of {lengths.window:g} s "
        f"after {lengths.warmup:g} s, requests in all; speed {speed:g}; load average "
        f"{os.getloadavg()[0]:.1f}; the goal of three with load reports is {GOAL}"
    )
    return table


def _entry(rounds: Sequence[Round]) -> str:
    if len(rounds) < LEAST:
        return f"{len(rounds)} round(s)"
    surplus = np.array([[it.surplus] for it in rounds])
    ratio = interval(np.array([it.ratio for it in rounds]), surplus)
    lag, failed = np.mean([it.lag for it in rounds]), sum(it.failed for it in rounds)
    return (
        f"{ratio.value:.3f} ± {ratio.half_width:.3f} (lag {lag:.3f}; {len(rounds)} rounds, "
        f"{sum(it.requests for it in rounds):,})"
    ) + f", {failed} failed" * (failed > 0)


def kept(file: Path | None) -> list[Round]:
    """Rounds of earlier runs."""
    lines = file.read_text().splitlines() if file and file.exists() else []
    return [Round(*json.loads(line)) for line in lines]


def main() -> None:
    parser = argparse.ArgumentParser(prog=f"python -m {__spec__.name}")
    steady = {f"{one.fleet}{one.load}": one for one in CELLS if not one.bursts}
    parser.add_argument("--cell", choices=steady, help="one of the cells alone")
    parser.add_argument("--only", default="", metavar="PART", help="contestants of these names")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="of rounds, earlier ones' too")
    parser.add_argument("--speed", type=float, default=1.0, metavar="X", help="of all rates")
    parser.add_argument("--rounds", type=int, default=4, metavar="N")
    parser.add_argument("--window", type=float, default=24.0, metavar="S", help="s at speed 1")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # not without ending what was started
    speed = arguments.speed
    lengths = Lengths(arguments.rounds, arguments.window / speed, 4.0 / speed)
    chosen = [steady[arguments.cell]] if arguments.cell else list(steady.values())
    found = kept(arguments.keep)
    for cell in chosen:
        first = 1 + max((one.turn for one in found if one.cell == str(cell)), default=-1)
        turns = range(first, first + lengths.rounds)
        with tempfile.TemporaryDirectory() as folder:
            for one in measured(cell, speed, lengths, turns, Path(folder), arguments.only):
                found.append(one)
                if arguments.keep:
                    with arguments.keep.open("a") as file:
                        print(json.dumps(one), file=file)
    Console(width=140).print(shown(found, lengths, speed))


if __name__ == "__main__":
    main()
