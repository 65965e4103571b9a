"""Systems of the figures, in code, as an installed package has no example files.

A system with an example file of its name equals it, which `tests/report/test_reproduce.py` checks.
"""

from collections.abc import Sequence
from dataclasses import replace

from isocline.model.curves import Curve, ExponentialCurve, HyperbolicCurve, KneeCurve, TableCurve
from isocline.model.fleet import Backend, Frontend, RoutingSystem, Work
from isocline.model.graph import CompatibilityGraph
from isocline.model.traffic import PoissonArrivals


def n_model() -> RoutingSystem:
    """N-model of the GMSR paper, Appendix F, Figure 6 (examples/n_model.yaml)."""
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
    """Ten machines of three kinds that serve one language model (examples/mixed_fleet.yaml)."""
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


def regions() -> RoutingSystem:
    """Three regions with data residency (examples/regions.yaml)."""
    asia = ((1, 2.9), (4, 9.8), (8, 14.1), (12, 19.6), (16, 22.3), (24, 24.0), (32, 22.8))
    curves: dict[str, Curve] = {
        "eu-large": HyperbolicCurve(40.0, 12.0),
        "eu-small": HyperbolicCurve(6.0, 5.0),
        "us-large": KneeCurve(55.0, 16.0, 2.0),
        "us-spot": ExponentialCurve(18.0, 7.0),
        "asia-large": TableCurve(tuple((float(n), rate) for n, rate in asia)),
        "asia-small": HyperbolicCurve(5.0, 4.0),
    }
    uses = {"eu": (26.0, [0, 1]), "us": (38.0, [2, 3, 4, 5]), "asia": (22.0, [2, 4, 5])}
    return RoutingSystem(
        frontends=tuple(Frontend(name, PoissonArrivals(rate)) for name, (rate, _) in uses.items()),
        backends=tuple(Backend(name, curve) for name, curve in curves.items()),
        graph=CompatibilityGraph.from_neighbours(6, [may for _, may in uses.values()]),
        name="regions",
    )


def fleet_a() -> RoutingSystem:
    """Four hyperbolic backends whose speeds differ 20-fold."""
    curves = [HyperbolicCurve(*given) for given in ((400, 16), (200, 8), (60, 9), (20, 2))]
    return one_frontend("fleet A", curves)


def fleet_c() -> RoutingSystem:
    """Two pairs with sharp knees: one is full at 4 jobs, the other, slightly faster, at 32."""
    few, many = KneeCurve(120.0, 4.0, 4.0), KneeCurve(200.0, 32.0, 4.0)
    return one_frontend("fleet C", [few, few, many, many])


def like_fleet() -> RoutingSystem:
    """Twenty equal backends."""
    return one_frontend("20 alike", [HyperbolicCurve(10.0, 8.0)] * 20)


def cached_mixed_fleet(block_size: int) -> RoutingSystem:
    """Machines of the mixed fleet with prefix caches, for one frontend; curves in tokens/s.

    Caches hold 4000 blocks of 512 tokens at each H100, and 400 at the others.
    """
    curves = [backend.curve for backend in mixed_fleet().backends]
    return _with_caches("mixed fleet, caches", curves, [4000] * 2 + [400] * 8, block_size)


def cached_like_fleet(block_size: int) -> RoutingSystem:
    """Six equal backends, with prefix caches of 1500 blocks of 512 tokens."""
    return _with_caches(
        "6 alike, caches", [KneeCurve(8000.0, 40.0, 2.0)] * 6, [1500] * 6, block_size
    )


def _with_caches(
    name: str, curves: Sequence[Curve], blocks: Sequence[int], block_size: int
) -> RoutingSystem:
    plain = one_frontend(name, curves)
    backends = (
        replace(backend, cache_tokens=512 * held)
        for backend, held in zip(plain.backends, blocks, strict=True)
    )
    work = Work("tokens", mean=1000.0, prefill=0.1, decode=1.0)  # a trace brings its own mean
    return replace(plain, backends=tuple(backends), work=work, block_size=block_size)


def one_frontend(name: str, curves: Sequence[Curve]) -> RoutingSystem:
    """System of backends b1, b2, ... with these curves, and one frontend, at load 0.5."""
    rate = sum(curve.supremum for curve in curves) / 2.0
    return RoutingSystem(
        frontends=(Frontend("all", PoissonArrivals(rate)),),
        backends=tuple(Backend(f"b{i}", curve) for i, curve in enumerate(curves, start=1)),
        graph=CompatibilityGraph.from_neighbours(len(curves), [range(len(curves))]),
        name=name,
    )
