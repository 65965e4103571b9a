"""Ratios to rivals, each measured in one run: `python -m benchmarks.ratios`.

A ratio is the rival's time over ours: above 1 we are faster, below 1 the rival is. Both have their
turn in each of ROUNDS rounds, and the median of the rounds' ratios counts, so that the machine and
what else it does matter little. With `--history FILE` the ratios are added to a file of JSON lines;
the exit status is then 1 where one is 20 % or more below the median of the last ten of the same
kind of machine (`make ratios`, and a nightly job). A rival that is not installed is left out, and
said.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, final

from rich.console import Console
from rich.table import Table

from benchmarks import gateway_core, gateway_proxy, level_flow, simulation
from benchmarks.gateway_proxy import POST
from benchmarks.proxy_ours import ANSWER, backend, isocline, running
from benchmarks.proxy_rivals import rivals
from benchmarks.rivals import UnavailableError, compete
from isocline import Scheduler
from isocline.gateway.core.build import core_of
from isocline.policies.parse import parse
from isocline.simulate.common.replication import Run
from isocline.simulate.routing.engines import ChainEngine
from isocline.simulate.routing.prepare import prepare
from isocline.simulate.routing.run_settings import RunSettings

ROUNDS: Final = 5
FALL: Final = 0.8  # of the median: below it the nightly job fails
KEPT: Final = 10  # ratios that the median is of
TASKS, TASK = 100, 0.005  # of a pool of processes: how many, and s of each

Pair = tuple[float, float]  # the rival's time and ours, in one unit


@final
@dataclass(frozen=True)
class Case:
    """One thing that both do."""

    name: str
    rival: str
    rounds: Callable[[], Iterator[Pair]]  # raises UnavailableError without the rival


def simulator(module: str, function: str, jobs: int) -> Iterator[Pair]:
    """Processor time of a job of JSQ(3) on 100 stations at load 0.9."""
    run = Run(prepare(simulation.stations(), "fcfs"), parse(simulation.JSQ), _MEANS)
    ours = simulation.steps(ChainEngine(run), 5_000_000)
    for seed in range(ROUNDS):
        yield 1.0 / compete(module, function, jobs, seed).speed, 1.0 / next(ours).speed


_MEANS = RunSettings(1.0, percentiles=False)


def optimum() -> Iterator[Pair]:
    """Time of a solve: 2 000 frontends, as many backends, 10 edges each."""
    try:
        import cvxpy  # noqa: F401
    except ImportError as error:
        raise UnavailableError(str(error)) from None
    problem = level_flow.random_problem(2000, 2000, 10)
    for _ in range(ROUNDS):
        yield level_flow.clarabel(problem)[0], level_flow.timed(problem, 3)[0]


def decision() -> Iterator[Pair]:
    """Processor time of a request at the router's core, and at the least that a picker can do."""
    core = core_of(gateway_core.system(4), parse("gmsr_secant"))
    for _ in range(ROUNDS):
        yield _least_connections(), gateway_core.microseconds(core)


def _least_connections() -> float:
    """CPU of a request, us, where a list of four counts is all there is."""
    counts, sent = [0] * 4, list[int]()
    start = time.process_time()
    for _ in range(gateway_core.REQUESTS):
        best = min(range(4), key=counts.__getitem__)
        counts[best] += 1
        sent.append(best)
        if len(sent) > gateway_core.IN_FLIGHT:
            counts[sent.pop(0)] -= 1
    return 1e6 * (time.process_time() - start) / gateway_core.REQUESTS


def proxy(name: str) -> Iterator[Pair]:
    """Processor time of the proxy for a request, curves learned, access log on."""
    missing: list[str] = []
    with ExitStack() as stack:
        stack.callback(os.sched_setaffinity, 0, os.sched_getaffinity(0))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        _, port = stack.enter_context(running(backend))
        with gateway_proxy.on_the_first_core():
            ours = stack.enter_context(running(isocline, port, str(folder / "log"), True))
            known = rivals(port, folder, missing.append)
            if name not in known:
                raise UnavailableError("; ".join(it for it in missing if name in it) or name)
            theirs = stack.enter_context(known[name])
        for number in range(ROUNDS + 1):
            costs = [gateway_proxy.cost(*at, POST, ANSWER[-13:], 1)[0] for at in (theirs, ours)]
            if number:  # the first warms up
                yield costs[0], costs[1]


def task(chunk: str) -> int:
    """What a process does with a chunk."""
    time.sleep(TASK)
    return len(chunk)


def pool() -> Iterator[Pair]:
    """Time of 100 tasks of 5 ms each on two processes that have started."""
    chunks = [f"chunk-{number}" for number in range(TASKS)]
    with ProcessPoolExecutor(2) as rival, Scheduler(nodes=2, everywhere=True) as ours:
        for number in range(ROUNDS + 1):
            start = time.perf_counter()
            list(rival.map(task, chunks))
            middle = time.perf_counter()
            list(ours.map(task, chunks))
            if number:
                yield middle - start, time.perf_counter() - middle


CASES: Final = (
    Case(
        "simulated jobs, JSQ(3) on 100 servers",
        "SimPy, callbacks",
        lambda: simulator("in_simpy", "measure", 100_000),
    ),
    Case(
        "simulated jobs, JSQ(3) on 100 servers",
        "cimba, event handlers",
        lambda: simulator("in_cimba", "measure", 1_000_000),
    ),
    Case("optimum of 2 000 x 2 000, 10 edges each", "Clarabel", optimum),
    Case("router's CPU for a request, learning", "nginx", lambda: proxy("nginx")),
    Case("router's CPU for a request, learning", "HAProxy", lambda: proxy("haproxy")),
    Case("a decision of the router's core", "four counters, least first", decision),
    Case("100 tasks of 5 ms on 2 processes", "ProcessPoolExecutor", pool),
)


@final
@dataclass(frozen=True)
class Ratio:
    """The rival's time over ours."""

    case: str
    rival: str
    value: float  # median of the rounds
    low: float
    high: float

    @property
    def key(self) -> str:
        """Name in the history."""
        return f"{self.case} / {self.rival}"


def measured(cases: Sequence[Case], say: Callable[[str], object]) -> list[Ratio]:
    """The ratios of all cases whose rivals are installed."""
    found: list[Ratio] = []
    for case in cases:
        say(f"{case.name}: {case.rival}")
        try:
            ratios = [theirs / ours for theirs, ours in case.rounds()]
        except UnavailableError as error:
            say(f"  left out: {error}")
            continue
        middle = statistics.median(ratios)
        found.append(Ratio(case.name, case.rival, middle, min(ratios), max(ratios)))
    return found


def machine() -> str:
    """Kind of machine: processor, cores, system, Python."""
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    models = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    processor = models[0] if models else platform.processor() or platform.machine()
    python = ".".join(platform.python_version_tuple()[:2])
    return f"{processor}, {os.cpu_count()} cores, {platform.system()}, Python {python}"


def fallen(ratios: Sequence[Ratio], history: Sequence[dict[str, Any]]) -> list[str]:
    """Sentences on ratios that are far below those of the same kind of machine before."""
    same = [entry["ratios"] for entry in history if entry["machine"] == machine()]
    said: list[str] = []
    for ratio in ratios:
        known = [entry[ratio.key] for entry in same if ratio.key in entry][-KEPT:]
        if known and ratio.value < FALL * (middle := statistics.median(known)):
            said.append(
                f"{ratio.key}: {ratio.value:.3g}, {1 - ratio.value / middle:.0%} below the "
                f"median of the last {len(known)}, {middle:.3g}"
            )
    return said


def shown(ratios: Sequence[Ratio]) -> Table:
    """Table of the ratios."""
    made = Table("what", "rival", "rival's time / ours", "rounds", caption=machine())
    for ratio in ratios:
        rounds = f"{ratio.low:.3g} to {ratio.high:.3g}"
        made.add_row(ratio.case, ratio.rival, f"{ratio.value:.3g}", rounds)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ratios")
    parser.add_argument("--history", type=Path, help="file of JSON lines to add to, and compare")
    parser.add_argument("--only", default="", help="cases and rivals with this in their names")
    given = parser.parse_args()
    cases = [it for it in CASES if given.only in f"{it.name} / {it.rival}"]
    ratios = measured(cases, Console(stderr=True).print)
    Console(width=120).print(shown(ratios))
    if given.history is None:
        return
    lines = given.history.read_text().splitlines() if given.history.exists() else []
    said = fallen(ratios, [json.loads(line) for line in lines])
    entry = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "ratios": {ratio.key: ratio.value for ratio in ratios},
    }
    given.history.parent.mkdir(parents=True, exist_ok=True)
    given.history.write_text("".join(f"{line}\n" for line in (*lines, json.dumps(entry))))
    sys.exit("\n".join(said) if said else 0)


if __name__ == "__main__":
    main()
