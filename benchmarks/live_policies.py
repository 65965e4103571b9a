"""Policies live over the fluid optimum: `python -m benchmarks.live_policies`.

Through real sockets, fleets A and C of docs/design.md, Section 6, each at two loads. GMSR with the
true curves and with curves learned from nothing, the usual policies on the same router, and nginx
and HAProxy where they are installed. In each round every contestant has one run with the same
arrivals. Rates and curves are `SPEED` times those of the design, so that latencies are 36 to 119 ms
at best: hundreds of times what a proxy takes, and ratios stay as they are. It takes half an hour;
`--quick` ten minutes, with wide intervals. `--json FILE` keeps all numbers.
"""

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks import proxies
from isocline.demo.fleets import fleet
from isocline.demo.results import LiveComparison, LivePolicy
from isocline.demo.router import Routing
from isocline.demo.run import Timing, arrivals, compared, measure
from isocline.demo.stage import Contestant, Stage
from isocline.record import finite

SPEED = 2.0
CELLS = (("a", 0.5), ("a", 0.8), ("c", 0.45), ("c", 0.8))
# Six windows of 6 s are at least 20 000 requests in each cell. Deviations of fleet A at load 0.8
# die out within 1.2 s at speed 1 (1 / l' at the optimum), so 2 s of warm-up are three such times.
FULL, QUICK = Timing(6, 6.0, 2.0), Timing(2, 4.0, 1.5)
LEARNING = 20.0  # s of load from which curves are learned before anything is measured
OURS = {
    "gmsr": "gmsr",
    "gmsr, learned": "gmsr",
    "least connections": "jsq",
    "weighted least connections": "weighted_least_connections",
    "power of two": "power_of_d",
    "expected latency": "least_expected_latency",
}
LEARNED = "gmsr, learned"
GOALS = {"gmsr": 1.10, LEARNED: 1.20}
THEIRS = (
    ("nginx least_conn", "nginx", "least_conn"),
    ("nginx random two", "nginx", "random two least_conn"),
    ("HAProxy leastconn", "haproxy", "leastconn"),
)


def cell(name: str, load: float, timing: Timing) -> LiveComparison:
    system = fleet(name, load, SPEED)
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
        stage.run(learner, arrivals(stage.system, LEARNING, timing.seed + 1000), 0.0)
        runs = measure(stage, contestants, timing, told)
    return compared(system, load, SPEED, contestants, runs, timing)


def others(stage: Stage, stack: ExitStack) -> Iterator[Contestant]:
    """Those that are installed."""
    addresses = [(one.url or "").removeprefix("http://") for one in stage.system.backends]
    start = {"nginx": proxies.nginx, "haproxy": proxies.haproxy}
    for label, program, method in THEIRS:
        if binary := proxies.found(program):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            url = stack.enter_context(start[program](binary, method, addresses, folder))
            yield Contestant(label, url)


def told(done: int, total: int, name: str) -> None:
    if not sys.stderr.isatty():
        return
    print(f"\r{done}/{total} {name:30}", end="\n" * (done == total), file=sys.stderr, flush=True)


def table(cells: Sequence[LiveComparison]) -> str:
    """Markdown: mean latency over the optimum with its 95 % interval, and the p99 over it."""
    names = [f"{one.fleet.upper()}, load {one.load:g}" for one in cells]
    lines = [f"| | {' | '.join(names)} |", "|---" * (len(cells) + 1) + "|"]
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


def verdicts(cells: Sequence[LiveComparison]) -> Iterator[str]:
    for label, goal in GOALS.items():
        mine = [(one, p) for one in cells for p in one.policies if p.policy == label]
        found = [p.ratio_to_bound.value for one, p in mine if not one.too_slow(p)]
        word = "met" if len(found) == len(mine) and max(found) <= goal else "not met"
        most = f"at most {max(found):.2f}" if found else "nothing"
        yield f"{label}: {most} in {len(found)} of {len(mine)} cells; goal {goal:.2f}: {word}"


def conditions(cells: Sequence[LiveComparison]) -> Iterator[str]:
    first = cells[0]
    versions = [
        proxies.version(path) for name in ("nginx", "haproxy") if (path := proxies.found(name))
    ]
    missing = [name for name in ("nginx", "haproxy") if not proxies.found(name)]
    yield f"{first.rounds} rounds of {first.window:g} s after {first.warmup:g} s of warm-up; "
    yield f"{min(p.sent for one in cells for p in one.policies):,} requests or more in each cell; "
    yield f"speed {SPEED:g}; curves learned in {LEARNING:g} s of load before. ↑: jobs still grew, "
    yield "so that the figure depends on how long was measured. "
    yield f"Failed: {sum(p.errors.total() for one in cells for p in one.policies):,}. "
    added = max(
        p.machine.added / one.lower_bound_latency
        for one in cells
        for p in one.policies
        if not one.too_slow(p)
    )
    yield f"The machine's own part of a latency: at most {100 * added:.1f} % of the optimum. "
    yield f"Beside it: {'; '.join(versions) or 'nothing'}."
    if missing:
        yield f" Not installed: {', '.join(missing)} (apt-get install nginx-light haproxy)."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path, metavar="FILE")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # not without ending what was started
    cells = []
    for name, load in CELLS:
        cells.append(cell(name, load, QUICK if chosen.quick else FULL))
        print(f"fleet {name}, load {load:g}: done", file=sys.stderr)
        if chosen.json:
            document = finite({"speed": SPEED, "cells": [one.to_dict() for one in cells]})
            chosen.json.write_text(json.dumps(document, indent=1) + "\n")
    print(table(cells))
    print()
    print("".join(conditions(cells)))
    print("\n".join(verdicts(cells)))


if __name__ == "__main__":
    main()
