"""One set of decisions by everything that decides: `python -m benchmarks.planes_replay`.

The arrivals and departures of a simulation, 100 000 decisions of each policy, ties included, are
decided by the simulator's compiled function, by the router's core, by the module inside Envoy, by
the endpoint picker from a gateway's messages, and by the router of Ray Serve: of a system of one
frontend, and, but for a router of Ray Serve, which has one, of a system of three. `--decisions`
and `--policy` choose others. Exit status 1 if any two differ.
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
from isocline.model.fleet import RoutingSystem
from isocline.planes.envoy import replay as envoy
from isocline.policies.parse import parse
from isocline.policies.routing.contract import RoutingPolicy
from isocline.simulate.routing.prepare import Prepared, prepare
from tests.builders import fleet
from tests.integrations import replaying as replicas
from tests.planes.picker import replaying as picker

POLICIES = ("gmsr", "jsq", "least_expected_latency", "weighted_least_connections")
SEED = 5

Edges = npt.NDArray[np.int64]
Decide = Callable[[Prepared, str, int, int], Edges]


def parsed(decide: Callable[[Prepared, RoutingPolicy, int, int], Edges]) -> Decide:
    """The same for a policy's name."""
    return lambda prepared, policy, *rest: decide(prepared, parse(policy), *rest)


# Whoever decides; another plane is a line here.
DECIDERS: dict[str, Decide] = {
    "simulator": parsed(gateway.recorded),
    "core": parsed(gateway.driven),
    "module in Envoy": parsed(envoy.driven),
    "picker": parsed(picker.driven),
}
OF_ONE_FRONTEND: dict[str, Decide] = {"Ray Serve": replicas.driven}


def crowded(frontends: int) -> RoutingSystem:
    """Four backends at 0.95 of capacity before one frontend or three; two tie, being alike."""
    curves = (
        HyperbolicCurve(40.0, 30.0),
        HyperbolicCurve(40.0, 30.0),
        KneeCurve(20.0, 8.0, 4.0),
        TableCurve(((1, 4.0), (8, 20.0), (30, 30.0))),
    )
    if frontends == 1:
        return fleet(curves, [123.5])
    return fleet(curves, [50.0, 40.0, 33.5], [[0, 1, 2], [1, 3], [0, 2, 3]])


def main() -> None:
    parser = argparse.ArgumentParser(prog=f"python -m {__spec__.name}")
    parser.add_argument("--decisions", type=int, default=100_000, metavar="N")
    parser.add_argument("--policy", action="append", metavar="P", help="may be repeated")
    arguments = parser.parse_args()
    names = (*DECIDERS, *OF_ONE_FRONTEND)
    table = Table("policy", "frontends", *(f"{name}, s" for name in names), "differences")
    differ, count = 0, arguments.decisions
    for frontends in (1, 3):
        prepared = prepare(crowded(frontends))
        deciders = DECIDERS | (OF_ONE_FRONTEND if frontends == 1 else {})
        for policy in arguments.policy or POLICIES:
            found, seconds = [], dict.fromkeys(names, "")
            for name, decide in deciders.items():
                began = time.perf_counter()
                found.append(decide(prepared, policy, count, SEED))
                seconds[name] = f"{time.perf_counter() - began:.2f}"
            different = sum(int((one != found[0]).sum()) for one in found[1:])
            differ += different
            table.add_row(policy, str(frontends), *seconds.values(), f"{different} of {count}")
    table.caption = "seconds of the whole replay, compiling included; counts differ from the first"
    Console(width=120).print(table)
    sys.exit(differ > 0)


if __name__ == "__main__":
    main()
