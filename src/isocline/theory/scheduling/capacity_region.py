"""Capacity region of near-data scheduling, and how far a load is from its boundary.

M servers serve local tasks at rate alpha each and remote ones at gamma < alpha. Eq. (1) of the
near-data paper allots every type's rate to servers so that no server is given more work than time.
Let y be the part of the total rate R that is served locally; server m then has 1 - y_m/alpha of its
time left, and as any server may serve any task remotely, only the sums matter:

    R - sum y_m < gamma sum_m (1 - y_m/alpha).

Both sides gain from more local work, so the y to take is the largest that the graph carries with at
most alpha at each server. The *balanced load* nu (each type spread so that its queues are level: a
level flow with the load itself as price) has that sum at every alpha at once, sum_m min(nu_m,
alpha): where nu_m >= alpha a type could not do better elsewhere (Lemma 2). Hence lambda lies inside
the region iff

    sum_m max(nu_m - alpha, 0) < gamma sum_m max(1 - nu_m/alpha, 0),                           (*)

what overloaded servers cannot do themselves against the remote service that the others have to give
(Lemma 3). Along s lambda the balanced load is s nu. The left side less the right one is convex in
s, the largest over k of (the k busiest servers overloaded, the rest not)

    s (sum of the k largest nu + gamma/alpha sum of the rest) - (alpha k + gamma (M - k)),

so that the boundary is at the least over k of the ratio of the two: exact, and a sort.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import final

import numpy as np
import numpy.typing as npt

from isocline.compilation.interpretable import interpreted_if_small
from isocline.errors import NumericalError, UsageError
from isocline.flow import (
    Certificate,
    FlowStatus,
    LevelFlow,
    LevelFlowProblem,
    Prices,
    solve,
)
from isocline.flow.problem import Edges
from isocline.flow.sweeps import sweep, tangents
from isocline.model.graph import CompatibilityGraph

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]
FlagArray = npt.NDArray[np.bool_]

# Loads this close to alpha (relative) count as equal to it: what a certificate lets pass.
_SAME = 1e-12

# A sweep of 10^6 types takes 30 ms. 30 of them bring 200 000 types of equal rates on 1000 servers
# to rest; levels that then move by more than _SETTLED do not show yet who shares one.
_SWEEPS, _STILL, _SETTLED = 30, 1e-15, 5e-3


@final
@dataclass(frozen=True, eq=False)
class BalancedLoad:
    """Every type spread over its servers so that it sees one load, and none lower."""

    load: FloatArray  # (M,) tasks/s that join each server's queue: nu; of one server of each group
    flow: FloatArray  # (E,) tasks/s on each edge of the graph
    certificate: Certificate


@final
@dataclass(frozen=True, eq=False)
class Boundary:
    """Point at which the ray through the arrival rates leaves the capacity region.

    scale is the largest s such that all s' lambda with s' < s can be stabilised. The overloaded
    servers and the rest prove it: the types only local to the former bring s sum_overloaded nu,
    and all time of all servers serves no more than that and the others' local tasks.
    """

    scale: float
    overloaded: IndexArray  # servers with load of at least alpha at the boundary


def balanced_load(
    graph: CompatibilityGraph, rates: npt.ArrayLike, sizes: npt.ArrayLike = 1.0
) -> BalancedLoad:
    """The balanced load nu of the near-data paper, Lemma 2, exactly: a level flow.

    Args:
        graph: Types (sources) and their local servers (sinks).
        rates: (L,) arrival rate of each type, tasks/s, above 0.
        sizes: (M,) how many servers each sink stands for, if groups of servers that are alike are
            one sink each: loads are unique, so such servers have the same.

    Raises:
        UsageError: A rate or size is not a finite number above 0.
    """
    supply = np.asarray(rates, dtype=np.float64)
    weight = np.broadcast_to(np.asarray(sizes, dtype=np.float64), graph.sinks)
    problem = LevelFlowProblem(graph, supply, Prices.linear(weight))
    solved = interpreted_if_small(graph.edges, lambda: solve(problem, _swept(problem)))
    if solved.certificate is None:
        raise NumericalError("balanced load: infeasible, which it cannot be; please report it")
    # Prices are loads, and exactly equal where servers share a level; inflows differ by rounding.
    return BalancedLoad(solved.price, solved.flow, solved.certificate)


def _swept(problem: LevelFlowProblem) -> LevelFlow | None:
    """Sweeps until nothing moves: with many types at each server they nearly are the solution.

    None where they are still far from it, as on long rings; the solver then knows better.
    """
    graph, supply = problem.graph, problem.supply.copy()  # writeable, as in flow/decompose.py
    common = -math.fsum(supply) / math.fsum(problem.prices.row[:, 2])  # levels are negative loads
    lines = tangents(problem.prices, common)
    flow, level = np.zeros(graph.edges), np.full(graph.sources, common)
    if sweep(Edges.unsigned(graph), supply, lines, flow, level, _SWEEPS, _STILL) > _SETTLED:
        return None
    inflow = np.bincount(graph.sink, flow, graph.sinks).astype(np.float64)
    none = np.empty(0, np.int64)
    load = inflow / problem.prices.row[:, 2]
    return LevelFlow(FlowStatus.OPTIMAL, flow, inflow, load, -level, None, none, none, 0)


def is_overloaded(load: FloatArray, local: float) -> FlagArray:
    """(M,) whether a load reaches alpha, tasks/s: the set D of Lemma 2.

    A load within 1e-12 of alpha has reached it: servers of one level are on one side.
    """
    return np.asarray(load >= local * (1.0 - _SAME))


def boundary(load: FloatArray, local: float, remote: float) -> Boundary:
    """The boundary of the capacity region along the arrival rates, from their balanced load.

    Args:
        load: (M,) balanced load nu, tasks/s, at least 0 and not all 0.
        local: alpha, tasks/s.
        remote: gamma < alpha, tasks/s.

    Raises:
        UsageError: Not 0 < remote < local, or no load.
    """
    require_rates(local, remote)
    total = math.fsum(load)
    if not 0.0 < total < math.inf:
        raise UsageError(f"the loads add up to {total}; give arrival rates above 0")
    slowdown = remote / local
    busiest = np.sort(load)[::-1]
    k = np.arange(1, load.size + 1)
    above = np.cumsum(busiest)
    work = above + slowdown * (total - above)
    best = int(np.argmin((local * k + remote * (load.size - k)) / work)) + 1
    # Once more for the best k, with sums that are exact to the last digit.
    capacity = local * best + remote * (load.size - best)
    scale = capacity / math.fsum((*busiest[:best], *(slowdown * busiest[best:])))
    return Boundary(scale, np.flatnonzero(is_overloaded(scale * load, local)))


def require_rates(local: float, remote: float, rack: float | None = None) -> None:
    """Raise UsageError unless 0 < remote < (rack <) local, all finite."""
    levels = [remote, local] if rack is None else [remote, rack, local]
    ordered = all(low < high for low, high in pairwise(levels))
    if not (remote > 0.0 and ordered and local < math.inf):
        given = "" if rack is None else f", rack {rack}"
        raise UsageError(
            f"rates: local {local}{given}, remote {remote}; give finite numbers above 0 that fall "
            "in this order"
        )
