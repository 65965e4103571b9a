"""One set of decisions by everything that decides: `python -m benchmarks.planes_replay`.

The arrivals and departures of a simulation, 100 000 decisions of each policy, ties included, are
decided by the simulator's compiled function, by the router's core and by the module inside Envoy.
`--decisions` and `--policy` choose others. Exit status 1 if any two differ.
"""

import argparse
import sys
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from isocline.gateway import replay as gateway
from isocline.model.curves import HyperbolicCurve, KneeCurve, TableCurve
from isocline.model.fleet import Backend, Frontend, RoutingSystem
from isocline.model.graph import CompatibilityGraph
from isocline.model.traffic import PoissonArrivals
from isocline.planes.envoy import replay as envoy
from isocline.policies.parse import parse
from isocline.policies.routing.contract import RoutingPolicy
from isocline.simulate.routing.prepare import Prepared, prepare

POLICIES = ("gmsr", "jsq", "least_expected_latency", "weighted_least_connections")
SEED = 5

Decide = Callable[[Prepared, RoutingPolicy, int, int], npt.NDArray[np.int64]]
# Whoever decides; another plane is a line here.
DECIDERS: dict[str, Decide] = {
    "simulator": gateway.recorded,
    "core": gateway.driven,
    "module in Envoy": envoy.driven,
}


def crowded() -> RoutingSystem:
    """Three frontends and four backends at 0.95 of capacity; two are alike, so that they tie."""
    curves = (
        HyperbolicCurve(40.0, 30.0),
        HyperbolicCurve(40.0, 30.0),
        KneeCurve(20.0, 8.0, 4.0),
        TableCurve(((1, 4.0), (8, 20.0), (30, 30.0))),
    )
    backends = tuple(Backend(f"b{number}", curve) for number, curve in enumerate(curves))
    rates = (50.0, 40.0, 33.5)
    frontends = tuple(Frontend(f"f{i}", PoissonArrivals(rate)) for i, rate in enumerate(rates))
    graph = CompatibilityGraph.from_neighbours(4, [[0, 1, 2], [1, 3], [0, 2, 3]])
    return RoutingSystem(frontends, backends, graph)


def main() -> None:
    parser = argparse.ArgumentParser(prog=f"python -m {__spec__.name}")
    parser.add_argument("--decisions", type=int, default=100_000, metavar="N")
    parser.add_argument("--policy", action="append", metavar="P", help="may be repeated")
    arguments = parser.parse_args()
    prepared, count = prepare(crowded()), arguments.decisions
    table = Table("policy", *(f"{name}, s" for name in DECIDERS), "differences")
    differ = 0
    for name in arguments.policy or POLICIES:
        policy = parse(name)
        found, seconds = [], []
        for decide in DECIDERS.values():
            began = time.perf_counter()
            found.append(decide(prepared, policy, count, SEED))
            seconds.append(time.perf_counter() - began)
        different = sum(int((one != found[0]).sum()) for one in found[1:])
        differ += different
        table.add_row(name, *(f"{one:.2f}" for one in seconds), f"{different} of {count}")
    table.caption = "seconds of the whole replay, compiling included; counts differ from the first"
    Console().print(table)
    sys.exit(differ > 0)


if __name__ == "__main__":
    main()
