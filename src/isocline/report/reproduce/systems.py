"""The systems of the figures, in code: an installed package has no examples beside it.

Each equals the example file of its name; `tests/report/test_reproduce.py` holds them to it.
"""

from isocline.model.curves import HyperbolicCurve, KneeCurve
from isocline.model.fleet import Backend, Frontend, RoutingSystem, Work
from isocline.model.graph import CompatibilityGraph
from isocline.model.traffic import PoissonArrivals


def n_model() -> RoutingSystem:
    """The N-model of the GMSR paper, Appendix F, Figure 6 (examples/n_model.yaml)."""
    return RoutingSystem(
        frontends=(Frontend("f1", PoissonArrivals(0.4)), Frontend("f2", PoissonArrivals(0.6))),
        backends=(
            Backend("b1", HyperbolicCurve(1.0, 1.0)),
            Backend("b2", HyperbolicCurve(1.0, 2.0)),
        ),
        graph=CompatibilityGraph.from_neighbours(2, [[0], [0, 1]]),
        name="N-model",
    )


def mixed_fleet() -> RoutingSystem:
    """Ten machines of three kinds serve one language model (examples/mixed_fleet.yaml)."""
    kinds = {
        "h100": (KneeCurve(17852.0, 65.0, 2.6), 2),
        "rtx4090": (KneeCurve(2070.0, 36.0, 1.0), 4),
        "a10g": (KneeCurve(370.0, 8.7, 4.0), 4),
    }
    numbers = {"h100": range(2), "rtx4090": range(2, 6), "a10g": range(6, 10)}
    uses = {
        "chat": (60.0, ("h100", "rtx4090", "a10g")),
        "code": (57.0, ("h100", "rtx4090")),
        "office": (20.0, ("rtx4090", "a10g")),
    }
    return RoutingSystem(
        frontends=tuple(Frontend(name, PoissonArrivals(rate)) for name, (rate, _) in uses.items()),
        backends=tuple(
            Backend(f"{kind}-{i + 1}", curve)
            for kind, (curve, count) in kinds.items()
            for i in range(count)
        ),
        graph=CompatibilityGraph.from_neighbours(
            10, [[b for kind in may for b in numbers[kind]] for _, may in uses.values()]
        ),
        work=Work("tokens", mean=232.7, prefill=0.1, decode=1.0),
        name="mixed fleet",
    )
