"""Fleets to compare policies on: servers of several kinds behind one frontend.

`a` and `c` are those on which routers of all kinds were measured (docs/design.md, Section 6): four
servers of very different speed, and two pairs of which one is fast when idle and the other when
busy. `mixed` has machines that serve one 8B language model, with the curves of
examples/mixed_fleet.yaml in requests/s, ten times as fast so that a minute sees enough of them.
"""

import math
from collections.abc import Mapping

from isocline.errors import UsageError
from isocline.model.curves import HyperbolicCurve, KneeCurve
from isocline.model.fleet import Backend, Frontend, RoutingSystem
from isocline.model.graph import CompatibilityGraph
from isocline.model.traffic import PoissonArrivals

# tokens/s over the mean work of a request in the Azure code trace, 232.7 tokens, times ten
_REQUESTS = 10.0 / 232.7
_RTX4090 = KneeCurve(2070 * _REQUESTS, 36.0, 1.0)
_A10G = KneeCurve(370 * _REQUESTS, 8.7, 4.0)

FLEETS: Mapping[str, tuple[Backend, ...]] = {
    "a": (
        Backend("s400", HyperbolicCurve(400.0, 16.0)),
        Backend("s200", HyperbolicCurve(200.0, 8.0)),
        Backend("s60", HyperbolicCurve(60.0, 9.0)),
        Backend("s20", HyperbolicCurve(20.0, 2.0)),
    ),
    "c": (
        Backend("brisk-1", KneeCurve(120.0, 4.0, 4.0)),
        Backend("brisk-2", KneeCurve(120.0, 4.0, 4.0)),
        Backend("broad-1", KneeCurve(200.0, 32.0, 4.0)),
        Backend("broad-2", KneeCurve(200.0, 32.0, 4.0)),
    ),
    "mixed": (
        Backend("h100", KneeCurve(17852 * _REQUESTS, 65.0, 2.6)),
        Backend("rtx4090-1", _RTX4090),
        Backend("rtx4090-2", _RTX4090),
        Backend("a10g-1", _A10G),
        Backend("a10g-2", _A10G),
    ),
}


def fleet(name: str, load: float, speed: float = 1.0) -> RoutingSystem:
    """A fleet under Poisson arrivals at a share `load` of its capacity.

    With `speed` c all rates are c times as high and all latencies 1/c as long; workloads, and so
    ratios of latencies, stay as they are.

    Raises:
        UsageError: The fleet is unknown, the load is not between 0 and 1, or the speed not above 0.
    """
    if name not in FLEETS:
        raise UsageError(f"fleet {name!r} is unknown; known: {', '.join(FLEETS)}")
    if not 0 < load < 1:
        raise UsageError(f"load is {load:g}; give a share of the capacity, between 0 and 1")
    if not 0 < speed < math.inf:
        raise UsageError(f"speed is {speed:g}; give a finite number above 0")
    backends = tuple(Backend(one.name, one.curve.scaled(speed)) for one in FLEETS[name])
    rate = load * sum(one.curve.supremum for one in backends)
    graph = CompatibilityGraph.from_neighbours(len(backends), [range(len(backends))])
    return RoutingSystem((Frontend("all", PoissonArrivals(rate)),), backends, graph, name=name)
