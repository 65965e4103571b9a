"""The fluid model from a random start to rest: `python -m benchmarks.fluid`.

Seconds are those of `fluid` alone, after one short run that compiles. "off" is the largest distance
of a workload from the plan's at the end.
"""

import time

import numpy as np

from isocline.flow import capacity_scale
from isocline.model.curves import HyperbolicCurve
from isocline.model.fleet import Backend, Frontend, RoutingSystem
from isocline.model.graph import CompatibilityGraph
from isocline.model.traffic import PoissonArrivals
from isocline.theory.routing.inclusion import fluid

LOAD = 0.8


def random_system(size: int, degree: int) -> RoutingSystem:
    """`size` frontends with `degree` random backends each among as many."""
    rng = np.random.default_rng(1)
    curves = [HyperbolicCurve(*rng.uniform(1.0, 10.0, 2).tolist()) for _ in range(size)]
    rows = [rng.choice(size, degree, replace=False) for _ in range(size)]
    graph = CompatibilityGraph.from_neighbours(size, rows)
    rates = rng.uniform(0.5, 1.0, size)
    rates *= LOAD * capacity_scale(graph, rates, np.array([c.supremum for c in curves])).scale
    return RoutingSystem(
        tuple(Frontend(f"f{i}", PoissonArrivals(float(rate))) for i, rate in enumerate(rates)),
        tuple(Backend(f"b{i}", curve) for i, curve in enumerate(curves)),
        graph,
    )


def main() -> None:
    fluid(random_system(20, 3))
    print(f"{'frontends x backends, degree':30}{'seconds':>9}{'steps':>7}{'flows':>7}{'off':>9}")
    for size, degree in ((20, 3), (200, 5), (1000, 10)):
        system = random_system(size, degree)
        start = np.random.default_rng(2).uniform(0.0, 10.0, size)
        begun = time.perf_counter()
        path = fluid(system, start=start)
        seconds = time.perf_counter() - begun
        assert path.equilibrium is not None
        off = float(np.abs(path.workloads[-1] - path.equilibrium).max())
        name = f"{size} x {size}, {degree}"
        print(f"{name:30}{seconds:>9.2f}{path.steps:>7}{path.solves:>7}{off:>9.0e}", flush=True)


if __name__ == "__main__":
    main()
