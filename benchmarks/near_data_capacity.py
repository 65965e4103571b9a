"""Capacity of clusters against a linear program: `python -m benchmarks.near_data_capacity`.

Ours is `balanced_load` and `boundary`: the capacity, the overloaded set and all loads, with the
certificate; the median of several runs after one that compiles. The rival is HiGHS on the same
question, with one variable for each type and local server and the remote work pooled, which is the
smallest program that Eq. (1) allows; it is stopped after a minute.
"""

import math
import statistics
import time

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_array, hstack, vstack

from isocline.model.cluster import Cluster, ExplicitTasks, HotSpot, Rates, SampledTasks
from isocline.theory.scheduling.capacity_region import balanced_load, boundary

RUNS = 5
PATIENCE = 60.0  # seconds for the rival
SPEED = Rates(1.0, 0.5)


def types(servers: int, count: int, hot: bool) -> ExplicitTasks:
    """Three replicas each, even or with the hot spot of the near-data paper, Section 6."""
    tasks = SampledTasks(3, 0.7 * servers, HotSpot(0.5, 0.8) if hot else None)
    return tasks.types(Cluster.numbered(servers, SPEED, tasks), count)


def ours(tasks: ExplicitTasks, runs: int = RUNS) -> tuple[float, float]:
    """Median seconds, and the capacity scale."""
    seconds, scale = [], 0.0
    for _ in range(runs + 1):
        start = time.perf_counter()
        load = balanced_load(tasks.graph, tasks.rates).load
        scale = boundary(load, SPEED.local, SPEED.remote).scale
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:]), scale


def highs(tasks: ExplicitTasks) -> tuple[float, float]:
    """HiGHS's seconds, its building of matrices left out, and its capacity scale; nan if late."""
    graph, slowdown = tasks.graph, SPEED.local / SPEED.remote
    supply = tasks.rates * (graph.sinks * SPEED.local / tasks.rates.sum())  # s near 1
    ones, edges = np.ones(graph.edges), np.arange(graph.edges)
    sent = csr_array((ones, (graph.source, edges)), shape=(graph.sources, graph.edges))
    into = csr_array((ones, (graph.sink, edges)), shape=(graph.sinks, graph.edges))
    time_left = csr_array(np.full((1, graph.edges), 1.0 - slowdown))
    scaled = (csr_array(-supply[:, None]), csr_array((graph.sinks, 1)))
    limits = vstack(
        (
            hstack((scaled[0], sent)),
            hstack((scaled[1], into)),
            hstack((csr_array([[slowdown * supply.sum()]]), time_left)),
        ),
        format="csr",
    )
    room = np.concatenate(
        (np.zeros(graph.sources), np.full(graph.sinks, SPEED.local), [graph.sinks * SPEED.local])
    )
    cost = np.zeros(1 + graph.edges)
    cost[0] = -1.0
    start = time.perf_counter()
    found = linprog(cost, limits, room, method="highs", options={"time_limit": PATIENCE})
    seconds = time.perf_counter() - start
    if found.status != 0 or found.x is None:
        return seconds, math.nan
    return seconds, float(supply.sum() / tasks.rates.sum() * found.x[0])


def main() -> None:
    print(f"{'':38}{'ours':>10}{'scale':>9}{'HiGHS':>11}{'scale':>9}{'ratio':>8}")
    cases = [
        (1000, 2_000, True),
        (1000, 10_000, True),
        (1000, 200_000, False),
        (10_000, 1_000_000, False),
    ]
    for servers, count, has_rival in cases:
        for hot in (False, True):
            tasks = types(servers, count, hot)
            seconds, scale = ours(tasks)
            name = f"{servers:,} servers, {count:,} types, {'hot spot' if hot else 'even'}"
            line = f"{name:38}{1e3 * seconds:>7.1f} ms{scale:>9.4f}"
            if has_rival:
                rival, rival_scale = highs(tasks)
                line += f"{1e3 * rival:>8.0f} ms{rival_scale:>9.4f}{rival / seconds:>7.0f}x"
            print(line, flush=True)


if __name__ == "__main__":
    main()
