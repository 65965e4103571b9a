"""Exact method: decomposition into groups of one level.

Give all sinks of a group the level at which they together take in what the group's sources bring,
and ask a maximum flow whether the group's edges can carry those inflows. If they can, the group is
done. If not, the minimum cut splits it: the sources that cannot send everything, with all their
neighbours, need a higher price; the rest gets a lower one. Edges from the rest into the dearer part
carry nothing, and stay right whatever happens inside the parts, so the parts go on apart. (This is
the decomposition algorithm for separable convex costs on a polymatroid: Groenevelt, Eur. J. Oper.
Res. 54(2), 1991.) All groups of one depth share one maximum flow, started from the last one.

A good start saves most of the work: the first groups are the parts that the edges in use connect.
If afterwards some source sees a lower price in another group, the two are joined and solved again;
each such round lowers the cost, so rounds do not repeat.

Levels are the result, inflows follow from them: at loads of 1 - 1e-9 of the capacity an inflow's
last digit is worth 1e-7 of the price, but sinks of one group share their level exactly.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from isocline.errors import NumericalError
from isocline.flow.groups import components, group_levels
from isocline.flow.maxflow import GroupArray, max_flow
from isocline.flow.problem import Edges, LevelFlowProblem
from isocline.flow.rounding_repair import repair_rounding

FloatArray = npt.NDArray[np.float64]
FlagArray = npt.NDArray[np.bool_]
IndexArray = npt.NDArray[np.int64]

# A round of the maximum flow costs a few passes over the edges. Instances of 10^6 edges took below
# 30; the bound of the theory, the square of the number of nodes, would be no protection.
_MOST_ROUNDS = 100_000

# Rounding must not split a group of equal levels: the parts' levels would come out in any order. So
# a cut counts only if its sinks would be overfull by more than TIE_OVER, or if overfilling them as
# far as that leaves a sink elsewhere short of more than TIE_SHORT. Both stay below the 1e-12 that a
# certificate may show, and above what the sums of large groups lose.
_TIE_OVER, _TIE_SHORT = 1e-13, 5e-13

# After joining groups so many times, all nodes are put into one group, which needs none.
_JOININGS = 20

# Prices of two groups this close (relative) count as equal: a hundredth of a certificate's limit.
_EQUAL = 1e-10


@final
@dataclass(frozen=True, eq=False)
class Decomposition:
    """Levels and a flow, or the sources whose supply their neighbours cannot take in."""

    flow: FloatArray  # (E,)
    level: FloatArray  # (S + T,) of sources, then of sinks
    violated: IndexArray  # sources; empty where the problem is feasible
    max_flows: int  # solved on the way


def decompose(
    problem: LevelFlowProblem,
    flow: FloatArray,
    level: float | FloatArray,
    *,
    connected_by_flow: bool,
) -> Decomposition:
    """Solve exactly.

    Args:
        problem: The problem.
        flow: (E,) any start; the nearer, the quicker.
        level: A guess of all levels, or (S + T,) of those of sources and sinks.
        connected_by_flow: Whether `flow` is so near that its edges in use show the groups.

    Raises:
        NumericalError: A maximum flow does not end, which no known input causes.
    """
    work = _Work(problem, flow, level)
    usable = flow > 0.0
    for _ in range(_JOININGS if connected_by_flow else 0):
        if work.solve(usable).size:
            break  # a group is overfull, but its sources may have neighbours outside
        cheaper = work.cheaper_edges()
        if not cheaper.any():
            return work.result(np.empty(0, np.int64))
        usable = (work.flow > 0.0) | cheaper
    return work.result(work.solve(np.ones_like(usable)))


@final
class _Work:
    """The state of one decomposition."""

    def __init__(
        self, problem: LevelFlowProblem, flow: FloatArray, level: float | FloatArray
    ) -> None:
        self.problem = problem
        self.edges = Edges.of(problem.graph)
        self.prices = problem.prices
        self.supply = problem.supply.copy()  # writeable, as kernels are compiled for one or other
        self.flow = flow.copy()
        self.level = np.full(problem.graph.sources + problem.graph.sinks, level)
        self.target = np.zeros(problem.graph.sinks)
        self.max_flows = 0

    def solve(self, usable: FlagArray) -> IndexArray:
        """Decompose the parts that usable edges (E,) connect; the sources of an overfull part."""
        nodes, sources = self.level.size, self.problem.graph.sources
        group = np.zeros(nodes, dtype=np.int32)
        queue = np.empty(nodes, dtype=np.int32)
        cut = np.zeros(nodes, dtype=np.bool_)
        self.target[:] = 0.0
        while (count := components(self.edges, group, cut, usable, queue)) > 0:
            full = group_levels(self.prices, self.supply, group, count, self.level, self.target)
            if full >= 0:
                return np.flatnonzero(group[:sources] == full)
            cut = self._cut(group, count)
            # A cut around a whole group splits nothing: there rounding has the last word.
            size, inside = np.bincount(group[group >= 0]), np.bincount(group[cut], None, count)
            unfinished = (inside > 0) & (inside < size)
            group[(group >= 0) & ~unfinished[group]] = -1
            usable = np.ones_like(usable)
        empty, level = self.prices.row[:, 1], self.level[sources:]
        level[:] = np.where(self.target > 0.0, np.minimum(level, empty), empty)
        return np.empty(0, np.int64)

    def _cut(self, group: GroupArray, count: int) -> FlagArray:
        """Fill the targets as far as the edges can; (S + T,) the dearer part of groups to split."""
        sources, target = self.problem.graph.sources, self.target
        cut, excess = self._max_flow(group, 0.0)
        whole = np.where(np.isin(group, group[cut]), np.int32(-1), group)
        repair_rounding(self.edges, target, whole, self.flow, excess, _TIE_SHORT, _TIE_OVER)
        if not cut.any():
            return cut
        stuck = np.bincount(group[cut], np.maximum(excess[cut], 0.0), count)
        sinks = np.flatnonzero(cut[sources:])
        tie = stuck <= _TIE_OVER * np.bincount(group[sources + sinks], target[sinks], count)
        tie[stuck == 0.0] = False
        if tie.any():
            among = np.where((group >= 0) & tie[group], group, np.int32(-1))
            over, excess = self._max_flow(among, _TIE_OVER)
            short = np.zeros_like(cut)
            short[sources:] = excess[sources:] < -(_TIE_OVER + _TIE_SHORT) * target
            split = np.zeros(count, dtype=np.bool_)
            split[among[(over | short) & (among >= 0)]] = True
            cut &= ~tie[group] | split[group]
            cut |= over
        return cut

    def _max_flow(self, group: GroupArray, slack: float) -> tuple[FlagArray, FloatArray]:
        cut, excess, rounds = max_flow(
            self.edges, self.supply, self.target, group, self.flow, slack, _MOST_ROUNDS
        )
        self.max_flows += 1
        if rounds < 0:
            raise NumericalError(f"maximum flow: no end after {_MOST_ROUNDS} rounds")
        return cut, excess

    def cheaper_edges(self) -> FlagArray:
        """(E,) whether the edge leads its source to a lower price than the source has."""
        graph, prices = self.problem.graph, self.prices
        price = prices.price_of_level(self.level)
        return np.asarray(price[graph.sources + graph.sink] < (1.0 - _EQUAL) * price[graph.source])

    def result(self, violated: IndexArray) -> Decomposition:
        """Each source's flow scaled to its supply, for what rounding left unsent."""
        if violated.size:
            return Decomposition(self.flow, self.level, violated, self.max_flows)
        first = self.problem.graph.first
        sent = np.add.reduceat(self.flow, first[:-1])
        flow = self.flow * np.repeat(self.problem.supply / sent, np.diff(first))
        return Decomposition(flow, self.level, violated, self.max_flows)
