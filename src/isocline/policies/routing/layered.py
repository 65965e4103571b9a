"""Routers behind routers: a policy for pools, and one inside the pool that it chose.

Each sees only its own level: the outer one how many jobs each pool holds, and the pools' curves;
the inner one the members of one pool, and theirs. The GMSR paper asks for it (Section 7).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from isocline.compilation.compiled import value_as
from isocline.errors import PolicyError
from isocline.model.curves import Curve, PoolCurve
from isocline.model.graph import CompatibilityGraph
from isocline.policies.routing.contract import (
    CHOOSE,
    FloatArray,
    IntArray,
    RoutingPolicy,
    Setting,
    View,
)
from isocline.policies.routing.picks import least
from isocline.randomness.draws import below

POOL, ROW = 0, 1  # of an edge's parameters: the pool at its end; the pool's row of the table


@value_as(CHOOSE)
def pool_then_member(candidates: Any, view: View, now: float, rng: Any) -> int:
    """The least member of the least pool; the members of a pool stand together."""
    last = view.table.shape[1] - 1
    best, after = 0, candidates.size
    lowest = np.inf
    tied = 0
    start = 0
    while start < candidates.size:
        pool, row = view.parameter[candidates[start], POOL], view.parameter[candidates[start], ROW]
        jobs = 0
        end = start
        while end < candidates.size and view.parameter[candidates[end], POOL] == pool:
            jobs += view.workload[view.backend[candidates[end]]]
            end += 1
        value = view.table[int(row), min(jobs, last)]
        tied = 1 if value < lowest else tied + 1
        # Of several that are tied each is kept with the same chance, or the first.
        drawn = value == lowest and view.option[1] == 1.0 and below(rng, tied) == 0
        if value < lowest or drawn:
            lowest, best, after = value, start, end
        start = end
    return least(candidates[best:after], view, now, rng)


@final
@dataclass(frozen=True, eq=False)
class Layered(RoutingPolicy):
    """`outer` over pools, `inner` over members; both pick the least of a table."""

    name: ClassVar[str] = "layered"
    choose = pool_then_member
    outer: RoutingPolicy
    inner: RoutingPolicy
    pool_of: IntArray  # (B,) the pool of each backend

    def __post_init__(self) -> None:
        for policy in (self.outer, self.inner):
            if policy.functions()[0] is not least:
                raise PolicyError(
                    f"layers: policy {policy.name} does more than take the least of a table of "
                    "workloads; use one that does not, such as gmsr, jsq, least_expected_latency "
                    "or weighted_least_connections"
                )

    def table(self, setting: Setting, workloads: FloatArray) -> FloatArray:
        """(R + pools' rows, K') the inner policy's rows, then the outer's; K' jobs fill a pool."""
        pools = self._pools(setting)
        largest = int(np.bincount(self.pool_of).max())
        jobs = np.arange(workloads.size * largest, dtype=np.float64)
        inner, outer = self.inner.table(setting, jobs), self.outer.table(pools, jobs)
        return np.vstack((inner, outer))

    def parameter(self, setting: Setting) -> FloatArray:
        pool = self.pool_of[setting.graph.sink]
        rows = len(setting.curves) + self._pools(setting).row[pool]
        return np.column_stack((pool, rows)).astype(np.float64)

    def option(self) -> FloatArray:
        return np.concatenate((self.inner.option()[:1], self.outer.option()[:1]))

    def _pools(self, setting: Setting) -> Setting:
        """Facts that the outer policy may know."""
        graph = setting.graph
        members: list[list[Curve]] = [[] for _ in range(int(self.pool_of.max()) + 1)]
        for pool, row in zip(self.pool_of, setting.row, strict=True):
            members[pool].append(setting.curves[row])
        index: dict[Curve, int] = {}
        row = [index.setdefault(_together(curves), len(index)) for curves in members]
        edges = np.unique(np.column_stack((graph.source, self.pool_of[graph.sink])), axis=0)
        pooled = CompatibilityGraph.from_edges(graph.sources, len(members), edges)
        return Setting(pooled, tuple(index), np.array(row, dtype=np.int32))


def _together(curves: Iterable[Curve]) -> Curve:
    first, *others = curves
    return PoolCurve((first, *others)) if others else first
