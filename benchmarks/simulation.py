"""How fast the simulator is, on one core: `python -m benchmarks.simulation`.

Every figure is a median over repetitions, in rounds in which each contestant has its turn, so that
all see the same machine. Speeds are jobs (arrivals) per second of the processor, compiling and
setting up not counted; the last rows are by the clock on the wall. Goals are this project's own.
"""

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, final

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.rivals import (
    ARRIVALS,
    CHOICES,
    RIVALS,
    SERVERS,
    Measured,
    UnavailableError,
    compete,
)
from isocline.model.curves import Curve, ExponentialCurve, HyperbolicCurve, KneeCurve, ServersCurve
from isocline.model.fleet import Backend, Frontend, RoutingSystem
from isocline.model.graph import CompatibilityGraph
from isocline.model.traffic import LognormalSizes, PoissonArrivals
from isocline.policies.parse import parse
from isocline.policies.routing import ALL
from isocline.simulate.common.kernels import counters
from isocline.simulate.common.replication import Run
from isocline.simulate.routing import arrival_list
from isocline.simulate.routing.engines import ChainEngine, Engine, ShareEngine, TrackEngine
from isocline.simulate.routing.prepare import Prepared, prepare
from isocline.simulate.routing.replicate import replicate
from isocline.simulate.routing.run_settings import RunSettings
from isocline.simulate.routing.slotted_clock import slots
from isocline.simulate.routing.slotted_engine import SlottedEngine
from isocline.theory.routing.equilibrium import plan

ROUNDS = 3
JSQ = f"power_of_d:d={CHOICES}"
WRONG = 0.05  # a rival whose mean sojourn is farther off than this simulates another model


@final
@dataclass(frozen=True)
class Row:
    """One line of the table."""

    case: str
    ours: str
    rival: str = ""
    ratio: str = ""
    goal: str = ""
    met: bool | None = None
    note: str = ""


# -- systems -------------------------------------------------------------------------------------


def stations() -> RoutingSystem:
    """100 stations with one server each behind one dispatcher, at load 0.9: the rivals' model."""
    return RoutingSystem(
        (Frontend("f", PoissonArrivals(ARRIVALS)),),
        tuple(Backend(f"b{i}", ServersCurve(1.0, 1)) for i in range(SERVERS)),
        CompatibilityGraph.from_neighbours(SERVERS, [range(SERVERS)]),
    )


def fleet(count: int, degree: int = 10, load: float = 0.7) -> RoutingSystem:
    """As many frontends as backends of four kinds, and a random graph of equal degrees."""
    kinds = [HyperbolicCurve(*k) for k in ((40.0, 12.0), (6.0, 5.0), (20.0, 8.0), (12.0, 2.0))]
    rng = np.random.default_rng(1)
    source = np.repeat(np.arange(count), degree)
    # A circulant graph has no edge twice; with its sinks renamed it has no locality either.
    steps = np.tile(rng.choice(count, degree, replace=False), count)
    sink = rng.permutation(count)[(source + steps) % count]
    arrivals = PoissonArrivals(load * statistics.mean(kind.peak for kind in kinds))
    return RoutingSystem(
        tuple(Frontend(f"f{i}", arrivals) for i in range(count)),
        tuple(Backend(f"b{i}", kinds[i % len(kinds)]) for i in range(count)),
        CompatibilityGraph.from_edges(count, count, np.column_stack((source, sink))),
    )


# -- measuring one run ---------------------------------------------------------------------------


def advance(engine: Engine, until: float) -> Measured:
    """Run an engine on to `until`; mean sojourn by Little's law, or of the jobs if timed."""
    arrivals, ticks, area, timed = (
        int(engine.count[i])
        for i in (counters.ARRIVALS, counters.EVENTS, counters.AREA, counters.TIMED)
    )
    sojourn = float(engine.gauge[counters.SOJOURN])
    started = time.process_time()
    engine.advance(until)
    seconds = time.process_time() - started
    if isinstance(engine, ChainEngine):
        jobs = (engine.count[counters.AREA] - area) / (engine.count[counters.EVENTS] - ticks)
        mean = jobs / float(engine.prepared.system.rates.sum())
    else:
        mean = (engine.gauge[counters.SOJOURN] - sojourn) / (engine.count[counters.TIMED] - timed)
    return Measured(int(engine.count[counters.ARRIVALS]) - arrivals, seconds, float(mean))


def steps(engine: Engine, jobs: int) -> Iterator[Measured]:
    """Stretches of one long run, of about `jobs` each, after a warm-up of a tenth of that."""
    length = jobs / float(engine.prepared.system.rates.sum())
    end = length / 10
    engine.advance(end)
    while True:
        end += length
        yield advance(engine, end)


def medians(rounds: list[dict[str, Measured]], name: str) -> tuple[float, float] | None:
    """Median speed and mean sojourn of one contestant, or None if it did not take part."""
    found = [one[name] for one in rounds if name in one]
    if not found:
        return None
    return statistics.median(m.speed for m in found), statistics.mean(m.sojourn for m in found)


def times(ratio: float) -> str:
    return f"{ratio:,.0f} ×" if ratio >= 100 else f"{ratio:.1f} ×"


# -- the cases -----------------------------------------------------------------------------------


def jsq() -> Iterator[Row]:
    """JSQ(3) on 100 servers: ours with means only and with a latency per job, and all rivals."""
    prepared, policy = prepare(stations(), "fcfs"), parse(JSQ)
    means = steps(
        ChainEngine(Run(prepared, policy, RunSettings(1.0, percentiles=False))), 10_000_000
    )
    timed = steps(TrackEngine(Run(prepared, policy, RunSettings(1.0))), 5_000_000)
    rounds: list[dict[str, Measured]] = []
    absent: dict[str, str] = {}
    for number in range(ROUNDS):
        now = {"means": next(means), "percentiles": next(timed)}
        for name, module, function, jobs, _ in RIVALS:
            if name not in absent:
                try:
                    now[name] = compete(module, function, jobs, number + 1)
                except UnavailableError as error:
                    absent[name] = str(error)
        rounds.append(now)
    case = f"JSQ({CHOICES}), {SERVERS} servers, load 0.9"
    speed, sojourn = medians(rounds, "means") or (0.0, 0.0)
    for kind, goal in (("means", 40), ("percentiles", 20)):
        own, mean = medians(rounds, kind) or (0.0, 0.0)
        note = f"mean sojourn {mean:.3f}"
        yield Row(f"{case}: {kind}", f"{own:.1f} M/s", "", "", f"≥ {goal} M/s", own >= goal, note)
    for name, _, _, _, goal in RIVALS:
        found = medians(rounds, name)
        if found is None:
            yield Row("  against", f"{speed:.1f} M/s", name, note=f"cannot run: {absent[name]}")
            continue
        right = abs(found[1] / sojourn - 1) <= WRONG
        note = f"mean sojourn {found[1]:.3f}" + ("" if right else ": void, not this model")
        ratio = speed / found[0]
        theirs = f"{name}: {found[0]:.3g} M/s"
        yield Row(
            "  against", f"{speed:.1f} M/s", theirs, times(ratio), f"≥ {goal:,} ×",
            right and ratio >= goal, note,
        )  # fmt: skip


def general() -> Iterator[Row]:
    """Log-normal sizes on the same system: each job's end through a heap; then with its making."""
    system = replace(stations(), sizes=LognormalSizes(1.0))
    horizon = 2_000_000 / ARRIVALS
    disciplines: tuple[Literal["ps", "fcfs"], ...] = ("ps", "fcfs")
    for discipline in disciplines:
        prepared = prepare(system, discipline)
        runs = [_share(prepared, horizon, number) for number in range(ROUNDS)]
        sojourn = statistics.mean(run.sojourn for run, _ in runs)
        alone = statistics.median(run.speed for run, _ in runs)
        whole = statistics.median(run.jobs / (run.seconds + made) / 1e6 for run, made in runs)
        case = f"JSQ({CHOICES}), log-normal sizes, {discipline.upper()}"
        note = f"mean sojourn {sojourn:.3f}"
        yield Row(case, f"{alone:.1f} M/s", "", "", "≥ 6 M/s", alone >= 6, note)
        yield Row("  drawing the jobs included", f"{whole:.1f} M/s", "", "", "≥ 6 M/s", whole >= 6)


def _share(prepared: Prepared, horizon: float, number: int) -> tuple[Measured, float]:
    """One run, and the seconds that it took to draw its jobs."""
    started = time.process_time()
    jobs = arrival_list.sampled(prepared.system, 0, number, horizon)
    made = time.process_time() - started
    engine = ShareEngine(Run(prepared, parse(JSQ), RunSettings(horizon), number), jobs)
    return advance(engine, horizon), made


def gmsr() -> Iterator[Row]:
    """GMSR, then what an event costs with a thousand times the backends."""
    small, large = prepare(fleet(1_000)), prepare(fleet(1_000_000))
    for policy, goal in (("gmsr", 15), (JSQ, None)):
        engines = [
            ChainEngine(Run(p, parse(policy), RunSettings(1.0, start="fluid", percentiles=False)))
            for p in (small, large)
        ]
        stretches = [steps(engine, 3_000_000) for engine in engines]
        speeds: list[float] = []
        costs: list[tuple[float, float]] = []
        for _ in range(ROUNDS):
            pair = [_cost(e, s) for e, s in zip(engines, stretches, strict=True)]
            speeds.append(pair[0][0])
            costs.append((pair[0][1], pair[1][1]))
        if goal:
            speed = statistics.median(speeds)
            case = "GMSR, 1 000 × 1 000 × 10, load 0.7: means"
            yield Row(case, f"{speed:.1f} M/s", "", "", f"≥ {goal} M/s", speed >= goal)
        near, far = (statistics.median(column) for column in zip(*costs, strict=True))
        ratio = statistics.median(b / a for a, b in costs)
        yield Row(
            f"{policy}: an event at 10⁶ backends, degree 10", f"{far:.0f} ns",
            f"at 10³: {near:.0f} ns", times(ratio), "≤ 4 ×", ratio <= 4,
        )  # fmt: skip


def _cost(engine: Engine, stretches: Iterator[Measured]) -> tuple[float, float]:
    """Speed of the next stretch, M jobs/s, and ns per event, thinned ones included."""
    before = int(engine.count[counters.EVENTS])
    run = next(stretches)
    events = int(engine.count[counters.EVENTS]) - before
    return run.speed, run.seconds / events * 1e9


def slotted() -> Iterator[Row]:
    """GMSR on the slotted clock, every job timed."""
    system = fleet(1_000)
    cut = slots(system)
    engine = SlottedEngine(Run(prepare(system), parse("gmsr"), RunSettings(1.0, slots=cut)))
    stretches = steps(engine, 3_000_000)
    runs = [next(stretches) for _ in range(ROUNDS)]
    speed = statistics.median(run.speed for run in runs)
    case = f"GMSR, 1 000 × 1 000 × 10, load 0.7: slots of {cut.length:g} s"
    note = f"mean sojourn {statistics.mean(run.sojourn for run in runs):.3f}"
    yield Row(case, f"{speed:.1f} M/s", "", "", "≥ 5 M/s", speed >= 5, note)


def starting() -> Iterator[Row]:
    """From nothing compiled to all policies run in all kernels; the same again; and the help."""
    call = [sys.executable, "-c", "from benchmarks.simulation import everything; everything()"]
    with tempfile.TemporaryDirectory() as cache:
        first, second = (_wall(call, NUMBA_CACHE_DIR=cache) for _ in range(2))
    yield Row("First use of everything: compiles", f"{first:.1f} s", "", "", "≤ 30 s", first <= 30)
    yield Row("  second use, from the cache", f"{second:.1f} s")
    call = [str(Path(sys.executable).parent / "isocline"), "--help"]
    shown = statistics.median(_wall(call) for _ in range(5))
    yield Row("isocline --help", f"{shown:.2f} s", "", "", "≤ 0.3 s", shown <= 0.3)


def _wall(command: list[str], **environment: str) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ | environment)
    return time.perf_counter() - started


def everything() -> None:
    """A plan, and each policy in each kernel, on a small system with a curve of each family."""
    curves: list[Curve] = [
        HyperbolicCurve(40.0, 12.0),
        ExponentialCurve(6.0, 5.0),
        KneeCurve(9.0, 5.0, 2.0),
    ]
    system = RoutingSystem(
        (Frontend("f", PoissonArrivals(12.0)), Frontend("g", PoissonArrivals(8.0))),
        tuple(Backend(f"b{i}", curve) for i, curve in enumerate(curves)),
        CompatibilityGraph.from_neighbours(len(curves), [range(len(curves)), [0]]),
    )
    plan(system)
    for sizes, percentiles in ((None, False), (None, True), (LognormalSizes(1.0), True)):
        prepared = prepare(replace(system, sizes=sizes) if sizes else system)
        for name in ALL:
            replicate(Run(prepared, parse(name), RunSettings(5.0, percentiles=percentiles)))


# -- the table -----------------------------------------------------------------------------------

CASES: tuple[Callable[[], Iterator[Row]], ...] = (jsq, general, gmsr, slotted, starting)


def main() -> None:
    """Measure and print; a goal that is missed is printed as missed."""
    busy = os.getloadavg()[0]
    table = Table(
        "Case", "Isocline", "Rival", "Ratio", "Goal", "Met", "Note",
        title="Simulation, one core",
        caption=f"M/s: million jobs per second; medians of {ROUNDS}; {platform.machine()}, "
        f"Python {platform.python_version()}; {os.cpu_count()} cores, {busy:.1f} busy at the start",
    )  # fmt: skip
    progress = Console(stderr=True)
    try:
        for case in CASES:
            with progress.status(case.__name__):
                for row in case():
                    met = {True: "yes", False: "[bold]no[/bold]", None: ""}[row.met]
                    table.add_row(row.case, row.ours, row.rival, row.ratio, row.goal, met, row.note)
            table.add_section()
    finally:  # what was measured, whatever went wrong after it
        Console(width=None if sys.stdout.isatty() else 150).print(table)


if __name__ == "__main__":
    main()
