"""The smallest worlds that tests need."""

from collections.abc import Iterable, Sequence
from typing import Any

from isocline.model.curves import Curve, HyperbolicCurve, ServersCurve
from isocline.model.fleet import Backend, Frontend, RoutingSystem
from isocline.model.graph import CompatibilityGraph
from isocline.model.traffic import PoissonArrivals


def fleet(
    curves: Sequence[Curve],
    rates: Sequence[float],
    neighbours: Sequence[Iterable[int]] | None = None,
    **others: Any,
) -> RoutingSystem:
    """Frontends f0, f1, ... and backends b0, b1, ...; all connected unless said otherwise."""
    rows = neighbours or [range(len(curves))] * len(rates)
    return RoutingSystem(
        tuple(Frontend(f"f{i}", PoissonArrivals(rate)) for i, rate in enumerate(rates)),
        tuple(Backend(f"b{i}", curve) for i, curve in enumerate(curves)),
        CompatibilityGraph.from_neighbours(len(curves), rows),
        **others,
    )


def station(rate: float = 1.0, count: int = 1) -> ServersCurve:
    """The classical station of `count` servers."""
    return ServersCurve(rate, count)


def mixed() -> RoutingSystem:
    """Two unlike backends, one of them shared by two frontends, at about 0.6 of capacity."""
    return fleet(
        [HyperbolicCurve(40.0, 12.0), HyperbolicCurve(6.0, 5.0)], [12.0, 8.0], [[0, 1], [0]]
    )


def crowded() -> RoutingSystem:
    """35 jobs/s for a capacity of 40: what f0 brings is 5 jobs/s too much for b0 and b1.

    b2 and b3 can serve all of f1 and f2; b3 is quick with few jobs, b2 with many.
    """
    curves = [(4.0, 2.0), (6.0, 3.0), (20.0, 30.0), (10.0, 2.0)]
    return fleet(
        [HyperbolicCurve(*one) for one in curves],
        [15.0, 16.0, 4.0],
        [[0, 1], [1, 2, 3], [3, 0]],
    )
