"""Policies live over the fluid optimum: `python -m benchmarks.live_policies`.

Through real sockets, fleets A and C of docs/design.md, Section 6, each at two loads of steady
arrivals, and fleet C under bursts, from an empty start. The default policy and GMSR with the true
curves, the default with curves learned from nothing, the usual policies on the same router, and
nginx, HAProxy and vllm-router where they are installed. In each round every contestant has one run
with the same arrivals. The optimum of steady arrivals is the fluid's; that of bursts is what a
policy that knows the future could do (`isocline.theory.routing.hindsight`). Rates and curves are
`SPEED` times those of the design, so that latencies are 36 to 119 ms at best: hundreds of times
what a proxy takes, and ratios stay as they are. It takes an hour; `--quick` twenty minutes, with
wide intervals; `--short` two minutes, two cells, to see that all of it runs. `--json FILE` keeps
all numbers. `--piece DIR --cell c-0.45 --rounds 2 --seed 2` measures two rounds of one cell, in
four minutes, keeps them in DIR, and shows all pieces that lie there: those of other seeds are
further rounds. With caches: `benchmarks.live_caches`.
"""

import argparse
import json
import math
import pickle
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks import proxies
from isocline.demo.fleets import fleet
from isocline.demo.results import LiveComparison, LivePolicy
from isocline.demo.router import Routing
from isocline.demo.run import Timing, compared, measure, poisson
from isocline.demo.stage import Contestant, Run, Stage
from isocline.json_text import finite
from isocline.loadgen import Schedule
from isocline.model.fleet import RoutingSystem
from isocline.model.traffic import bursty_trace
from isocline.theory.routing.hindsight.bound import hindsight_bound

SPEED = 2.0
# Six windows of 6 s are at least 20 000 requests in each cell. Deviations of fleet A at load 0.8
# die out within 1.2 s at speed 1 (1 / l' at the optimum), so 2 s of warm-up are three such times.
FULL, QUICK, SHORT = Timing(6, 6.0, 2.0), Timing(2, 4.0, 1.5), Timing(2, 1.0, 0.5)
# A burst and the pause before the next take half a second each: a window has a dozen of them.
FULL_BURSTS, QUICK_BURSTS, SHORT_BURSTS = (
    Timing(6, 8.0, 0.0),
    Timing(2, 8.0, 0.0),
    Timing(2, 2.0, 0.0),
)


class Cell(NamedTuple):
    """Fleet, load, and whether requests come in bursts."""

    fleet: str
    load: float
    bursts: bool = False

    def __str__(self) -> str:
        return f"{self.fleet.upper()}, load {self.load:g}{', bursts' * self.bursts}"

    @property
    def key(self) -> str:
        """A word for the command line."""
        return f"{self.fleet}-{self.load:g}{'-bursts' * self.bursts}"


class Piece(NamedTuple):
    """Some rounds of a cell."""

    cell: Cell
    timing: Timing
    contestants: tuple[str, ...]
    runs: list[list[Run]]  # of each contestant, one a round
    bounds: list[float] | None  # least mean latency of each round, s; None: the fluid's

    def compared(self) -> LiveComparison:
        cell, names = self.cell, [Contestant(name, "") for name in self.contestants]
        system = fleet(cell.fleet, cell.load, SPEED)
        return compared(system, cell.load, SPEED, names, self.runs, self.timing, self.bounds)

    def and_rounds(self, more: "Piece") -> "Piece":
        """These rounds and those."""
        if (more.cell, more.contestants) != (self.cell, self.contestants):
            raise SystemExit(f"pieces of {self.cell} have other contestants than one another")
        return self._replace(
            timing=replace(self.timing, rounds=self.timing.rounds + more.timing.rounds),
            runs=[mine + others for mine, others in zip(self.runs, more.runs, strict=True)],
            bounds=None if self.bounds is None else self.bounds + (more.bounds or []),
        )


CELLS = (
    Cell("a", 0.5),
    Cell("a", 0.8),
    Cell("c", 0.45),
    Cell("c", 0.8),
    Cell("c", 0.5, bursts=True),
    Cell("c", 0.7, bursts=True),
)
SHORT_CELLS = CELLS[2], CELLS[4]
LEARNING = 20.0  # s of load from which curves are learned before anything is measured
OURS = {
    "gmsr_secant": "gmsr_secant",
    "gmsr_secant, learned": "gmsr_secant",
    "gmsr": "gmsr",
    "least connections": "jsq",
    "weighted least connections": "weighted_least_connections",
    "power of two": "power_of_d",
    "expected latency": "least_expected_latency",
}
LEARNED = "gmsr_secant, learned"
GOALS = {"gmsr_secant": 1.10, LEARNED: 1.20}  # of steady arrivals; of bursts: as the best
THEIRS = (
    ("nginx least_conn", "nginx", "least_conn"),
    ("nginx random two", "nginx", "random two least_conn"),
    ("HAProxy leastconn", "haproxy", "leastconn"),
    # Not its cache_aware: prompts that begin alike, as all do here, go to one backend.
    ("vllm-router power_of_two", "vllm-router", "power_of_two"),
)


def measured(cell: Cell, timing: Timing) -> Piece:
    traffic = bursts if cell.bursts else poisson
    system = fleet(cell.fleet, cell.load, SPEED)
    with ExitStack() as stack:
        stage = stack.enter_context(Stage(system, timing.seed))
        routings = [
            Routing(stage.system, policy, learned=label == LEARNED)
            for label, policy in OURS.items()
        ]
        contestants = stage.routers(list(OURS), routings)
        contestants += others(stage, stack)
        learner = next(one for one in contestants if one.name == LEARNED)
        # Another seed than those of the rounds: it shall not know their arrivals.
        stage.run(learner, traffic(stage.system, LEARNING, timing.seed + 1000), 0.0)
        runs = measure(stage, contestants, timing, told, traffic)
    bounds = least(system, timing) if cell.bursts else None
    return Piece(cell, timing, tuple(one.name for one in contestants), runs, bounds)


def bursts(system: RoutingSystem, duration: float, seed: int) -> Schedule:
    """The bursts of a generated trace, at the system's rate: the same shape, faster."""
    count = round(float(system.rates.sum()) * duration)
    trace = bursty_trace(count + 1, seed)
    times = trace.times[:count] * (duration / trace.times[-1])
    ones = np.ones(count, np.int64)
    return Schedule("bursts", duration, times, ones, ones)


def least(system: RoutingSystem, timing: Timing) -> list[float]:
    """The least mean latency of each round's bursts, s."""
    rounds = (bursts(system, timing.window, timing.seed + turn) for turn in range(timing.rounds))
    return [hindsight_bound(system, schedule.times).latency for schedule in rounds]


def others(stage: Stage, stack: ExitStack) -> Iterator[Contestant]:
    """Those that are installed."""
    addresses = [(one.url or "").removeprefix("http://") for one in stage.system.backends]
    start = {
        "nginx": proxies.nginx,
        "haproxy": proxies.haproxy,
        "vllm-router": proxies.vllm_router,
    }
    for label, program, method in THEIRS:
        if binary := proxies.found(program):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            url = stack.enter_context(start[program](binary, method, addresses, folder))
            yield Contestant(label, url)


def told(done: int, total: int, name: str) -> None:
    if not sys.stderr.isatty():
        return
    print(f"\r{done}/{total} {name:30}", end="\n" * (done == total), file=sys.stderr, flush=True)


def table(found: Mapping[Cell, LiveComparison]) -> str:
    """Markdown: mean latency over the optimum with its 95 % interval, and the p99 over it."""
    cells = list(found.values())
    lines = [f"| | {' | '.join(map(str, found))} |", "|---" * (len(cells) + 1) + "|"]
    for row in zip(*(one.policies for one in cells), strict=True):
        entries = [entry(*pair) for pair in zip(row, cells, strict=True)]
        lines.append(f"| {row[0].policy} | {' | '.join(entries)} |")
    best = [f"{1e3 * one.lower_bound_latency:.1f} ms" for one in cells]
    return "\n".join([*lines, f"| the optimum's mean | {' | '.join(best)} |"])


def entry(policy: LivePolicy, of: LiveComparison) -> str:
    if of.too_slow(policy):
        return "machine too slow"
    ratio, mark = policy.ratio_to_bound, " ↑" if policy.growing else ""
    tail = policy.p99 / of.lower_bound_latency
    return f"{ratio.value:.2f} ± {ratio.half_width:.2f}{mark} (p99 {tail:.1f})"


def verdicts(found: Mapping[Cell, LiveComparison]) -> Iterator[str]:
    steady = [one for cell, one in found.items() if not cell.bursts]
    for label, goal in GOALS.items():
        mine = [(one, p) for one in steady for p in one.policies if p.policy == label]
        ratios = [p.ratio_to_bound.value for one, p in mine if not one.too_slow(p)]
        word = "met" if len(ratios) == len(mine) and max(ratios) <= goal else "not met"
        most = f"at most {max(ratios):.2f}" if ratios else "nothing"
        seen = f"{most} in {len(ratios)} of {len(mine)} cells"
        yield f"{label}, steady: {seen}; goal {goal:.2f}: {word}"
    for cell, one in found.items():
        if cell.bursts and one.too_slow(one.policies[0]):
            yield f"{cell}: the machine was too slow to tell"
        elif cell.bursts and (behind := faster(one)):
            yield f"{cell}: {one.policies[0].policy} is beaten by {', '.join(behind)}"
        elif cell.bursts:
            yield f"{cell}: nobody is faster than {one.policies[0].policy}, beyond intervals"


def faster(one: LiveComparison) -> list[str]:
    """Contestants whose paired difference from the first is below 0."""
    rivals = (p for p in one.policies[1:] if not one.too_slow(p))
    return [p.policy for p in rivals if p.difference and p.difference.high < 0]


def conditions(cells: Sequence[LiveComparison]) -> Iterator[str]:
    first = cells[0]
    programs = dict.fromkeys(program for _, program, _ in THEIRS)
    versions = [proxies.version(path) for name in programs if (path := proxies.found(name))]
    missing = [name for name in programs if not proxies.found(name)]
    yield f"{first.rounds} rounds of {first.window:g} s after {first.warmup:g} s of warm-up "
    yield "(bursts: from an empty start); "
    yield f"{min(p.sent for one in cells for p in one.policies):,} requests or more in each cell; "
    yield f"speed {SPEED:g}; curves learned in {LEARNING:g} s of load before. ↑: jobs still grew, "
    yield "so that the figure depends on how long was measured. "
    yield f"Failed: {sum(p.errors.total() for one in cells for p in one.policies):,}. "
    added = max(
        (
            p.machine.added / one.lower_bound_latency
            for one in cells
            for p in one.policies
            if not one.too_slow(p)
        ),
        default=math.nan,
    )
    yield f"The machine's own part of a latency: at most {100 * added:.1f} % of the optimum. "
    yield f"Beside it: {'; '.join(versions) or 'nothing'}."
    if missing:
        yield f" Not installed: {', '.join(missing)} (apt-get install nginx-light haproxy, "
        yield "pip install vllm-router)."


def show(found: Mapping[Cell, LiveComparison], file: Path | None) -> None:
    if file:
        document = finite({"speed": SPEED, "cells": [it.to_dict() for it in found.values()]})
        file.write_text(json.dumps(document, indent=1) + "\n")
    print(table(found))
    print()
    print("".join(conditions(list(found.values()))))
    print("\n".join(verdicts(found)))


def kept(folder: Path) -> dict[Cell, LiveComparison]:
    """All cells that have pieces in this folder."""
    whole: dict[Cell, Piece] = {}
    for file in sorted(folder.glob("*.pickle")):
        piece = Piece(*pickle.loads(file.read_bytes()))
        whole[piece.cell] = whole[piece.cell].and_rounds(piece) if piece.cell in whole else piece
    return {cell: whole[cell].compared() for cell in CELLS if cell in whole}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--quick", action="store_true")
    length.add_argument("--short", action="store_true")
    keys = [cell.key for cell in CELLS]
    parser.add_argument("--cell", action="append", choices=keys, metavar=f"{{{','.join(keys)}}}")
    parser.add_argument("--rounds", type=int, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the first round")
    parser.add_argument("--piece", type=Path, metavar="DIR")
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args()


def main() -> None:
    chosen = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # not without ending what was started
    steady, bursty = FULL, FULL_BURSTS
    if chosen.short:
        steady, bursty = SHORT, SHORT_BURSTS
    elif chosen.quick:
        steady, bursty = QUICK, QUICK_BURSTS
    cells: tuple[Cell, ...] = SHORT_CELLS if chosen.short else CELLS
    if chosen.cell:
        cells = tuple(cell for cell in CELLS if cell.key in chosen.cell)
    found: dict[Cell, LiveComparison] = {}
    for cell in cells:
        timing = replace(bursty if cell.bursts else steady, seed=chosen.seed)
        if chosen.rounds is not None:
            timing = replace(timing, rounds=chosen.rounds)
        piece = measured(cell, timing)
        found[cell] = piece.compared()
        print(f"{cell}: done", file=sys.stderr)
        if chosen.piece:
            chosen.piece.mkdir(parents=True, exist_ok=True)
            file = chosen.piece / f"{cell.key}-{timing.seed}.pickle"
            file.write_bytes(pickle.dumps(tuple(piece)))
    show(kept(chosen.piece) if chosen.piece else found, chosen.json)


if __name__ == "__main__":
    main()
