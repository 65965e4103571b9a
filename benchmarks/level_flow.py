"""Level flow against cvxpy with Clarabel, in one run: `python -m benchmarks.level_flow`.

Ours is all of `solve`: sweeps, exact finish and certificate; the median of several runs after one
that compiles. The rival gets the same optimum as a vectorised cone problem with sparse incidence
matrices, is run once, and is charged with Clarabel's own solve time only, not with cvxpy's set-up.
Its slope gap is that of its flow with the prices at the inflows this implies.
"""

import gc
import resource
import statistics
import time
from collections.abc import Callable

import numpy as np

from isocline.flow import LevelFlow, LevelFlowProblem, Prices, certify, solve
from isocline.flow.certificate import price_at
from isocline.model.curves import HyperbolicCurve
from isocline.model.graph import CompatibilityGraph

RUNS = 7


def random_problem(sources: int, sinks: int, degree: int, load: float = 0.7) -> LevelFlowProblem:
    """`degree` random sinks for each source, random hyperbolic curves, and a given total load."""
    rng = np.random.default_rng(0)
    source = np.repeat(np.arange(sources), degree)
    ends = np.unique(np.column_stack((source, rng.integers(0, sinks, source.size))), axis=0)
    peak, half = rng.uniform(0.5, 2.0, sinks), rng.uniform(1.0, 10.0, sinks)
    supply = rng.uniform(0.5, 1.5, sources)
    return LevelFlowProblem(
        CompatibilityGraph.from_edges(sources, sinks, ends),
        supply * (load * peak.sum() / supply.sum()),
        _prices(peak, half),
    )


def ring_problem(n: int) -> LevelFlowProblem:
    """A ring with equal capacities and supplies of 0.95 to 0.999 of them."""
    rng = np.random.default_rng(0)
    i = np.repeat(np.arange(n), 2)
    ends = np.column_stack((i, (i + np.tile([0, 1], n)) % n))
    return LevelFlowProblem(
        CompatibilityGraph.from_edges(n, n, ends),
        rng.uniform(0.95, 0.999, n),
        _prices(np.ones(n), rng.uniform(1.0, 10.0, n)),
    )


def _prices(peak: np.ndarray, half: np.ndarray) -> Prices:
    pairs = zip(peak.tolist(), half.tolist(), strict=True)
    return Prices.of_curves([HyperbolicCurve(p, h) for p, h in pairs])


def timed(problem: LevelFlowProblem, runs: int = RUNS) -> tuple[float, LevelFlow]:
    """Median seconds of `solve`, and its result."""
    result, seconds = solve(problem), []
    for _ in range(runs):
        gc.collect()
        start = time.perf_counter()
        result = solve(problem)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), result


def clarabel(problem: LevelFlowProblem) -> tuple[float, float]:
    """Clarabel's seconds and slope gap on the same problem."""
    import cvxpy as cp
    from scipy.sparse import csr_array

    graph, prices = problem.graph, problem.prices
    ones, edges = np.ones(graph.edges), np.arange(graph.edges)
    out = csr_array((ones, (graph.source, edges)), shape=(graph.sources, graph.edges))
    into = csr_array((ones, (graph.sink, edges)), shape=(graph.sinks, graph.edges))
    peak, empty = prices.row[:, 0], prices.row[:, 1]
    half = peak / empty**2
    flow = cp.Variable(graph.edges, nonneg=True)
    jobs = (half * peak) @ cp.inv_pos(peak - into @ flow)
    rival = cp.Problem(cp.Minimize(jobs), [out @ flow == problem.supply])
    rival.solve(solver=cp.CLARABEL)
    # what an interior point leaves on unused edges is no flow: 1e-6 of the supply
    used = np.where(flow.value > 1e-6 * problem.supply[graph.source], flow.value, 0.0)
    price = price_at(prices, np.minimum(into @ used, peak * (1 - 1e-12)))
    return rival.solver_stats.solve_time, certify(problem, used, price).slope_gap


def compile_seconds() -> float:
    """Seconds of the first solve in this process: compiling, or loading what is cached."""
    start = time.perf_counter()
    solve(random_problem(20, 20, 3))
    return time.perf_counter() - start


def main() -> None:
    print(f"first call: {compile_seconds():.2f} s (compiling, or loading from the cache)\n")
    head = f"{'':34}{'ours':>10}{'gap':>9}{'Clarabel':>11}{'gap':>9}{'ratio':>8}"
    print(head)
    cases: list[tuple[str, Callable[[], LevelFlowProblem], int, bool]] = [
        ("10^6 edges, degree 10", lambda: random_problem(100_000, 100_000, 10), 3, False),
        ("ring of 20 000, load 0.95-0.999", lambda: ring_problem(20_000), RUNS, True),
        ("5000 x 5000, degree 10", lambda: random_problem(5000, 5000, 10), RUNS, True),
    ]
    for name, make, runs, has_rival in cases:
        problem = make()
        seconds, result = timed(problem, runs)
        gap = result.certificate.slope_gap if result.certificate else np.nan
        line = f"{name:34}{1e3 * seconds:>7.1f} ms{gap:>9.0e}"
        if has_rival:
            rival, rival_gap = clarabel(problem)
            line += f"{1e3 * rival:>8.0f} ms{rival_gap:>9.0e}{rival / seconds:>7.0f}x"
        else:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            line += f"    peak memory of the process {peak:.0f} MB"
        print(line, flush=True)


if __name__ == "__main__":
    main()
