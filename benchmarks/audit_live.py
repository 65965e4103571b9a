"""Savings that an audit promises, and those that come: `python -m benchmarks.audit_live`.

nginx, HAProxy and Envoy, with their usual rules, before emulated backends of four fleets; then
`isocline audit` of their access logs, and `isocline serve` with the system file that it wrote, on
the same arrivals. The log has 2,000 completions of the backend with the fewest. Latencies of both
are those of the clients. About ten minutes; `--all` has every fleet before every router (half an
hour), `--quick` a fifth of the requests. `--json FILE` keeps all numbers.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.listening import free_port, listening
from benchmarks.logging_proxies import ROUTERS, binary_of, logging_router
from isocline.audit import Audit, audit_log
from isocline.audit.system_file import system_file
from isocline.demo.run import poisson
from isocline.demo.stage import Contestant, Stage
from isocline.model.curves import Curve, HyperbolicCurve, KneeCurve
from isocline.model.fleet import Backend, Frontend, RoutingSystem
from isocline.model.graph import CompatibilityGraph
from isocline.model.traffic import LognormalSizes, PoissonArrivals

FLEETS: dict[str, tuple[Curve, ...]] = {
    "old and new": (
        HyperbolicCurve(100.0, 12.0),
        HyperbolicCurve(100.0, 12.0),
        HyperbolicCurve(40.0, 8.0),
        HyperbolicCurve(40.0, 8.0),
    ),
    "brisk and broad": (
        KneeCurve(60.0, 4.0, 4.0),
        KneeCurve(60.0, 4.0, 4.0),
        KneeCurve(100.0, 32.0, 4.0),
        KneeCurve(100.0, 32.0, 4.0),
    ),
    "three kinds": (
        KneeCurve(140.0, 24.0, 2.0),
        HyperbolicCurve(80.0, 8.0),
        KneeCurve(40.0, 5.0, 3.0),
    ),
    "all alike": (KneeCurve(70.0, 10.0, 2.0),) * 4,
}
LOAD = 0.65
METHODS = {"nginx": "least_conn;", "haproxy": "leastconn", "envoy": "LEAST_REQUEST"}
# One router before each fleet, and nginx as it comes before the last.
CELLS = (
    ("old and new", "nginx", METHODS["nginx"]),
    ("brisk and broad", "haproxy", METHODS["haproxy"]),
    ("three kinds", "envoy", METHODS["envoy"]),
    ("all alike", "nginx", ""),
)
# For each backend on average, so that the one with the fewest has 2,000.
COMPLETIONS = 3400
# Within one standard deviation of mean 1: the noise of both runs is a third of that of exponential
# sizes.
SIZES = LognormalSizes(cv=0.5)
GOAL = 3.0  # points
_START = 180.0  # s, in which the router may have to compile


class Found(NamedTuple):
    """One fleet before one router, and before Isocline."""

    fleet: str
    router: str
    completions: int  # of the backend with the fewest
    before: float  # s, mean latency of clients
    after: float  # s, likewise, behind Isocline
    audit: Audit

    @property
    def measured(self) -> float:
        """Points of saving that came."""
        return 100.0 * (1.0 - self.after / self.before)

    @property
    def promised(self) -> float:
        """Points that the audit said."""
        return 100.0 * self.audit.policies[0].saving.value


def system_of(curves: tuple[Curve, ...]) -> RoutingSystem:
    backends = tuple(Backend(f"b{i}", curve) for i, curve in enumerate(curves))
    rate = LOAD * sum(curve.supremum for curve in curves)
    graph = CompatibilityGraph.from_neighbours(len(curves), [list(range(len(curves)))])
    frontend = Frontend("all", PoissonArrivals(rate))
    return RoutingSystem((frontend,), backends, graph, sizes=SIZES, name="audited")


def measured(fleet: str, router: str, method: str, completions: int, seed: int) -> Found:
    system = system_of(FLEETS[fleet])
    duration = completions * len(system.backends) / float(system.rates.sum())
    schedule = poisson(system, duration, seed)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stage = stack.enter_context(Stage(system, seed))
        addresses = [(one.url or "").removeprefix("http://") for one in stage.system.backends]
        with logging_router(router, method, addresses, folder) as other:
            before = stage.run(Contestant(router, other.url), schedule, 0.0)
        found = audit_log(other.log, policies=("gmsr_secant",), seed=seed)
        file, port = folder / "system.yaml", free_port()
        file.write_text(system_file(replace(found, system=replace(found.system, name="audited"))))
        command = [sys.executable, "-m", "isocline", "serve", str(file)]
        with listening([*command, "--listen", f"127.0.0.1:{port}"], port, within=_START):
            after = stage.run(Contestant("isocline", f"http://127.0.0.1:{port}"), schedule, 0.0)
    return Found(
        fleet,
        router,
        min(it.completions for it in found.backends),
        before.tally.latency.mean,
        after.tally.latency.mean,
        found,
    )


def cells(every: bool) -> Iterator[tuple[str, str, str]]:
    """Fleets, each before one router or before every one of those that are installed."""
    wanted = [(name, it, METHODS[it]) for name in FLEETS for it in ROUTERS] if every else CELLS
    for cell in wanted:
        if binary_of(cell[1]) is None:
            print(f"{cell[1]} is not installed: {cell[0]} is left out", file=sys.stderr)
        else:
            yield cell


def line(it: Found) -> str:
    saving = it.audit.policies[0].saving
    above = it.audit.above
    return (
        f"| {it.fleet} | {it.router} | {it.completions:,} | {1e3 * it.before:.1f} ms "
        f"| {'–' if above is None else f'{above.value:.0f} %'} "
        f"| {it.promised:.1f} ({100 * saving.low:.0f} to {100 * saving.high:.0f}) "
        f"| {it.measured:.1f} | {it.promised - it.measured:+.1f} |"
    )


HEAD = (
    "| fleet | router | completions | mean latency | above the optimum | saving promised, % "
    "| saving measured, % | off by |\n|---|---|---|---|---|---|---|---|"
)


def document(it: Found) -> dict[str, Any]:
    return {
        "fleet": it.fleet,
        "router": it.router,
        "completions": it.completions,
        "before": it.before,
        "after": it.after,
        "audit": it.audit.to_dict(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    completions = COMPLETIONS // 5 if given.quick else COMPLETIONS
    results = []
    print(HEAD, flush=True)
    for cell in cells(given.all):
        results.append(measured(*cell, completions, given.seed))
        print(line(results[-1]), flush=True)
    if given.json:
        given.json.write_text(json.dumps([document(it) for it in results], indent=1))
    within = sum(abs(it.promised - it.measured) <= GOAL for it in results)
    print(f"\n{within} of {len(results)} within {GOAL:g} points")


if __name__ == "__main__":
    main()
