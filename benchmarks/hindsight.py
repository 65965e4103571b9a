"""Hindsight bound against HiGHS and Clarabel, in one run: `python -m benchmarks.hindsight`.

Bursty arrivals at fleets of unlike backends, so that nothing is pooled. Ours is all of
`hindsight_bound`, to 1 %, and to a tolerance that takes all cells that it may have. The rivals
solve one program on even cells of implicit steps, HiGHS with tangents of the curves and Clarabel
with the curves themselves, and are charged with the solver alone; their optimum bounds nothing in
continuous time, and is given as a check. Seconds are of this process alone, but for Clarabel's,
which are by its own clock.
"""

import sys
import time
from typing import Any

import numpy as np
import numpy.typing as npt

from isocline.model.curves import HyperbolicCurve
from isocline.model.fleet import Backend, Frontend, RoutingSystem
from isocline.model.graph import CompatibilityGraph
from isocline.model.traffic import PoissonArrivals
from isocline.theory.routing.hindsight.bound import hindsight_bound

FloatArray = npt.NDArray[np.float64]
TANGENTS = 29
LOAD = 0.7


def fleet(backends: int) -> RoutingSystem:
    """Unlike backends, all for one frontend and every other for another."""
    rng = np.random.default_rng(0)
    curves = [HyperbolicCurve(p, h) for p, h in rng.uniform((5, 5), (50, 40), (backends, 2))]
    rows = [range(backends), range(0, backends, 2)]
    return RoutingSystem(
        (Frontend("all", PoissonArrivals(2.0)), Frontend("half", PoissonArrivals(1.0))),
        tuple(Backend(f"b{i}", curve) for i, curve in enumerate(curves)),
        CompatibilityGraph.from_neighbours(backends, rows),
    )


def arrivals(system: RoutingSystem, jobs: int) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Times at a load of 0.7 in the mean, four times as many in bursts of 100 as between them."""
    rng = np.random.default_rng(1)
    rate = LOAD * float(system.capacities.sum())
    pace = np.where(np.arange(jobs) // 100 % 2, 0.4, 1.6)
    return np.cumsum(rng.exponential(1.0, jobs) * pace / rate), rng.choice(
        2, jobs, p=[2 / 3, 1 / 3]
    )


def ours(system: RoutingSystem, jobs: int, tolerance: float) -> None:
    times, frontends = arrivals(system, jobs)
    began = time.process_time()
    found = hindsight_bound(system, times, frontends, tolerance=tolerance)
    seconds = time.process_time() - began
    print(
        f"{len(system.backends):3} backends, {jobs:6} jobs: {found.cells:6} cells, "
        f"{seconds:6.2f} s, {found.latency:.5f} s to within {100.0 * found.gap:.2f} %",
        flush=True,
    )


def cells_of(system: RoutingSystem, jobs: int, cells: int) -> tuple[float, FloatArray]:
    """Length of each of `cells`, s, and (cells, 2) jobs that come in each; the last third drain."""
    times, frontends = arrivals(system, jobs)
    length = 1.5 * float(times[-1]) / cells
    came = np.zeros((cells, 2))
    np.add.at(came, ((times / length).astype(int), frontends), 1.0)
    return length, came


def highs(system: RoutingSystem, jobs: int, cells: int) -> tuple[float, float]:
    """Seconds, and the optimum over the jobs, s."""
    from scipy.optimize import linprog
    from scipy.sparse import eye_array, hstack, kron, vstack

    length, came = cells_of(system, jobs, cells)
    graph, size = system.graph, len(system.backends)
    edges = np.arange(graph.edges)
    into = np.zeros((size, graph.edges))
    into[graph.sink, edges] = 1.0
    out = np.zeros((2, graph.edges))
    out[graph.source, edges] = 1.0
    each: Any = eye_array(cells)
    moved = kron(each - eye_array(cells, k=-1), eye_array(size))
    balance = hstack([moved, kron(each, eye_array(size)), -kron(each, into)])
    routed = hstack([kron(each, np.zeros((2, 2 * size))), kron(each, out)])
    points = np.geomspace(0.05, 400.0, TANGENTS)
    rows, most = [], []
    for curve, b in zip(system.curves, range(size), strict=True):
        unit = np.zeros((1, size))
        unit[0, b] = 1.0
        for x in points:
            slope, rate = float(curve.marginal(x)), float(curve.rate(x))
            rows.append(hstack([
                kron(each, -length * slope * unit), kron(each, unit),
                kron(each, np.zeros((1, graph.edges))),
            ]))  # fmt: skip
            most.append(np.full(cells, length * (rate - slope * x)))
    cost = np.concatenate((np.full(cells * size, length), np.zeros(cells * (size + graph.edges))))
    began = time.process_time()
    solved = linprog(
        cost,
        A_ub=vstack(rows).tocsr(),
        b_ub=np.concatenate(most),
        A_eq=vstack([balance, routed]).tocsr(),
        b_eq=np.concatenate((np.zeros(cells * size), came.ravel())),
        method="highs-ipm",
    )
    return time.process_time() - began, float(solved.fun or np.nan) / jobs


def clarabel(system: RoutingSystem, jobs: int, cells: int) -> tuple[float, float]:
    """Seconds, and the optimum over the jobs, s."""
    import cvxpy as cp

    length, came = cells_of(system, jobs, cells)
    graph, size = system.graph, len(system.backends)
    into = np.zeros((graph.edges, size))
    into[np.arange(graph.edges), graph.sink] = 1.0
    out = np.zeros((graph.edges, 2))
    out[np.arange(graph.edges), graph.source] = 1.0
    peak, half = (
        np.array([getattr(b.curve, name) for b in system.backends]) for name in ("peak", "half")
    )
    n, flow = (
        cp.Variable((cells, size), nonneg=True),
        cp.Variable((cells, graph.edges), nonneg=True),
    )
    before = cp.vstack([np.zeros((1, size)), n[:-1]])
    rate = np.tile(peak, (cells, 1)) - cp.multiply(
        np.tile(peak * half, (cells, 1)), cp.inv_pos(n + np.tile(half, (cells, 1)))
    )
    program = cp.Problem(
        cp.Minimize(length * cp.sum(n)),
        [n + length * rate >= before + flow @ into, flow @ out == came],
    )
    program.solve(solver=cp.CLARABEL)
    stats: Any = program.solver_stats
    return float(stats.solve_time), float(program.value) / jobs


def main() -> None:
    """A line for each solver and size."""
    ours(fleet(3), 200, 0.01)  # compiles
    print("Ours")
    for backends, jobs, tolerance in ((3, 2_000, 0.01), (10, 50_000, 0.01), (10, 50_000, 1e-5)):
        ours(fleet(backends), jobs, tolerance)
    for name, rival in (("HiGHS", highs), ("Clarabel", clarabel)):
        print(name)
        for cells in map(int, sys.argv[1:] or (250, 500, 1000)):
            seconds, latency = rival(fleet(3), 2_000, cells)
            print(f"  3 backends,   2000 jobs: {cells:6} cells, {seconds:6.2f} s, {latency:.5f} s")


if __name__ == "__main__":
    main()
