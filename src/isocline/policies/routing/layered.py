"""Routers behind routers: a policy for pools, and one inside the pool that it chose.

Each sees only its own level: the outer one how many jobs each pool holds, and the pools' curves;
the inner one the members of one pool, and theirs. The GMSR paper asks for it (Section 7).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from isocline.compilation.compiled import inlinable, value_as
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
from isocline.policies.routing.gmsr_secant import (
    CONSTANTS,
    RATES,
    SIZE,
    choose_level,
    keep_up,
    secant,
    steepest,
    take_in,
)
from isocline.policies.routing.picks import least
from isocline.randomness.draws import below

# Of an edge's parameters, behind those of the inner policy: the pool at its end; the pool's row of
# the table; the edge that remembers for the pool; and the outer policy's.
POOL, ROW, HOME, OUTER = CONSTANTS, CONSTANTS + 1, CONSTANTS + 2, CONSTANTS + 3
# Of the options: those of the inner policy; those of the outer one; whether each is `gmsr_secant`.
TIES_OF_POOLS, INNER_SECANT, OUTER_SECANT = 2, 4, 5


@inlinable
def pool_price(view: View, edge: int, jobs: int, now: float) -> float:
    """Price of one more job in the pool at the end of an edge, which holds `jobs`."""
    about = view.parameter[edge]
    if view.option[OUTER_SECANT] == 0.0:
        return view.table[int(about[ROW]), min(jobs, view.table.shape[1] - 1)]  # type: ignore[no-any-return]
    own, outer = view.memory[int(about[HOME]), SIZE:], about[OUTER:]
    rates = view.table[int(outer[RATES])]
    keep_up(own, outer, rates, jobs, jobs + 0.5, 0.0, now)
    return secant(own, rates, jobs + 0.5)


@value_as(CHOOSE)
def pool_then_member(candidates: Any, view: View, now: float, rng: Any) -> int:
    """The least member of the least pool; the members of a pool stand together."""
    best, after, held = 0, candidates.size, 0
    lowest = np.inf
    tied = 0
    start = 0
    while start < candidates.size:
        pool = view.parameter[candidates[start], POOL]
        jobs = 0
        end = start
        while end < candidates.size and view.parameter[candidates[end], POOL] == pool:
            jobs += view.workload[view.backend[candidates[end]]]
            end += 1
        value = pool_price(view, candidates[start], jobs, now)
        tied = 1 if value < lowest else tied + 1
        # Of several that are tied each is kept with the same chance, or the first.
        drawn = value == lowest and view.option[TIES_OF_POOLS] == 1.0 and below(rng, tied) == 0
        if value < lowest or drawn:
            lowest, best, after, held = value, start, end, jobs
        start = end
    if view.option[OUTER_SECANT] == 1.0:
        about = view.parameter[candidates[best]]
        own, outer = view.memory[int(about[HOME]), SIZE:], about[OUTER:]
        rates = view.table[int(outer[RATES])]
        take_in(own, outer, rates, held, 1, now)
        choose_level(own, outer, rates, held + 1.5, 0.0)
    if view.option[INNER_SECANT] == 1.0:
        return steepest(candidates[best:after], view, now, rng)
    return least(candidates[best:after], view, now, rng)


@final
@dataclass(frozen=True, eq=False)
class Layered(RoutingPolicy):
    """`outer` over pools, `inner` over members; each the least of a table, or `gmsr_secant`."""

    name: ClassVar[str] = "layered"
    choose = pool_then_member
    blocks: ClassVar[int] = 0
    outer: RoutingPolicy
    inner: RoutingPolicy
    pool_of: IntArray  # (B,) the pool of each backend

    def __post_init__(self) -> None:
        for policy in (self.outer, self.inner):
            if policy.functions()[0] not in (least, steepest):
                raise PolicyError(
                    f"layers: policy {policy.name} does more than take the least of a table of "
                    "workloads; use one that does not, such as gmsr, gmsr_secant, jsq, "
                    "least_expected_latency or weighted_least_connections"
                )

    def table(self, setting: Setting, workloads: FloatArray) -> FloatArray:
        """(rows of both, K') the inner policy's rows, then the outer's; K' jobs fill a pool."""
        pools = self._pools(setting)
        largest = int(np.bincount(self.pool_of).max())
        jobs = np.arange(workloads.size * largest, dtype=np.float64)
        inner, outer = self.inner.table(setting, jobs), self.outer.table(pools, jobs)
        return np.vstack((inner, outer))

    def parameter(self, setting: Setting) -> FloatArray:
        graph, pools = setting.graph, self._pools(setting)
        pool = self.pool_of[graph.sink]
        # Edges are sorted by frontend, and so are those to pools.
        of_pool = np.column_stack((graph.source, pool))
        _, home, to_pool = np.unique(of_pool, axis=0, return_index=True, return_inverse=True)
        to_pool = to_pool.reshape(-1)  # NumPy 2.0 gives it another axis
        above = self.inner.blocks * len(setting.curves)  # rows of the inner policy
        found = np.zeros((graph.edges, OUTER + CONSTANTS))
        if _is_secant(self.inner):
            found[:, :CONSTANTS] = self.inner.parameter(setting)
        found[:, POOL], found[:, ROW] = pool, above + pools.row[pool]
        found[:, HOME] = home[to_pool]
        if _is_secant(self.outer):
            found[:, OUTER:] = self.outer.parameter(pools)[to_pool]
            found[:, OUTER + RATES] += above
        return found

    def memory(self, setting: Setting) -> FloatArray:
        """(E, 2 SIZE) the inner policy's, then the outer's; none where neither has any."""
        remembered = _is_secant(self.inner) or _is_secant(self.outer)
        return np.zeros((setting.graph.edges, 2 * SIZE if remembered else 0))

    def option(self) -> FloatArray:
        kinds = [float(_is_secant(policy)) for policy in (self.inner, self.outer)]
        return np.concatenate((self.inner.option(), self.outer.option(), kinds))

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


def _is_secant(policy: RoutingPolicy) -> bool:
    return policy.functions()[0] is steepest


def _together(curves: Iterable[Curve]) -> Curve:
    first, *others = curves
    return PoolCurve((first, *others)) if others else first
