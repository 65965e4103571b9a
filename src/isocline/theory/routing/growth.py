"""Growth of overloaded backends: where GMSR piles up the jobs that cannot be served.

The overloaded backends of a tier keep one marginal rate m, which falls to 0 as their workloads
grow. How N grows as m falls is the tail of a curve: N ~ weight m^-order, or weight ln 1/m where the
order is 0. So in the long run the backends of the greatest order take all the excess of their tier,
in proportion to their weights; the others serve all they can, too, and grow more slowly than in
proportion to time, or stop at the end of their table.

Which tiers there are is a level flow once more. Its price is a pair, compared in this order: the
order of the tail, the heaviest first, and the growth over the weight. It is solved by the
decomposition of `flow.decompose`: give the sinks of a group what they take in at one price, ask a
maximum flow whether the edges can carry it, and split the group by the minimum cut if not.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np
import numpy.typing as npt

from isocline.errors import NumericalError
from isocline.flow.curve_shapes import curve_parts
from isocline.flow.groups import components
from isocline.flow.maxflow import FlagArray, GroupArray, max_flow
from isocline.flow.problem import Edges
from isocline.model.curves import (
    Curve,
    ExponentialCurve,
    HyperbolicCurve,
    KneeCurve,
    PoolCurve,
    TableCurve,
)
from isocline.model.graph import CompatibilityGraph

FloatArray = npt.NDArray[np.float64]

BOUNDED = -1.0
"""Order of a curve that reaches its peak at a finite workload, which is its weight."""

_MOST_ROUNDS = 100_000
# Shares of a capacity: an excess that may be rounding; and by how much a sink may be overfull
# before its group is split, so that rounding splits none.
_NOTHING, _SLACK = 1e-12, 1e-13


class Tail(NamedTuple):
    """Workload at which a marginal rate m is reached, as m tends to 0."""

    order: float  # N ~ weight m^-order, weight ln 1/m where it is 0; `BOUNDED`
    weight: float


def tail_of(curve: Curve) -> Tail | None:
    """The tail of a curve; None of a user's own, of which only samples are known.

    From l'(N) = peak half / (N + half)^2, peak/scale e^(-N/scale), and
    peak knee^p / (N^p + knee^p)^(1+1/p). Members of a pool share one marginal rate, so that its
    tail is that of its heaviest members together.
    """
    match curve:
        case HyperbolicCurve(peak, half):
            return Tail(0.5, math.sqrt(peak * half))
        case KneeCurve(peak, knee, p):
            order = 1.0 / (p + 1.0)
            return Tail(order, math.exp(order * (math.log(peak) + p * math.log(knee))))
        case ExponentialCurve(_, scale):
            return Tail(0.0, scale)
        case TableCurve():
            return Tail(BOUNDED, float(curve.knots[-1, 0]))
        case PoolCurve():
            return _heaviest([tail_of(part) for part in curve_parts(curve)])
    return None


def _heaviest(tails: Sequence[Tail | None]) -> Tail | None:
    known = [tail for tail in tails if tail is not None]
    if len(known) < len(tails):
        return None
    most = max(tail.order for tail in known)
    return Tail(most, math.fsum(tail.weight for tail in known if tail.order == most))


@final
@dataclass(frozen=True, eq=False)
class Growth:
    """Growth of the sinks of an overloaded part, and the groups that share a price."""

    # (E,) jobs/s: all that arrives; in groups whose growth is not determined what a maximum flow
    # serves of it
    flow: FloatArray
    growth: FloatArray  # (T,) jobs/s; nan where the tails do not determine it, 0 outside
    group: GroupArray  # (S + T,) number of the group of each node, sources first; -1 outside
    count: int  # of groups


def growth(
    graph: CompatibilityGraph,
    supply: FloatArray,
    capacity: FloatArray,
    tails: Sequence[Tail | None],
    inside: FlagArray,
    flow: FloatArray,
) -> Growth:
    """Share the excess of an overloaded part among its sinks.

    Args:
        graph: The compatibility graph: S sources, T sinks, E edges.
        supply: (S,) >= 0, jobs/s.
        capacity: (T,) > 0, jobs/s.
        tails: Of the T sinks.
        inside: (S + T,) the part, sources first, with all neighbours of its sources; no set of its
            sources may bring less than the part's sinks that only they can fill.
        flow: (E,) a start, jobs/s.

    Raises:
        NumericalError: A maximum flow does not end, which no known input causes.
    """
    order = np.array([np.nan if tail is None else tail.order for tail in tails])
    weight = np.array([np.nan if tail is None else tail.weight for tail in tails])
    edges, sources = Edges.of(graph), graph.sources
    group = np.where(inside, np.int32(0), np.int32(-1))
    cut, queue = np.zeros(group.size, dtype=np.bool_), np.empty(group.size, dtype=np.int32)
    usable, flow = np.ones(graph.edges, dtype=np.bool_), flow.copy()
    taken, label, made = capacity.copy(), np.full_like(group, -1), 0
    while (count := components(edges, group, cut, usable, queue)) > 0:
        within, of_sink = group >= 0, group[sources:]
        shares = _shares(group, count, supply, capacity, order, weight)
        taken[of_sink >= 0] = (capacity + shares)[of_sink >= 0]
        target = np.where(np.isnan(taken), capacity, taken)
        cut, _, rounds = max_flow(edges, supply.copy(), target, group, flow, _SLACK, _MOST_ROUNDS)
        if rounds < 0:
            raise NumericalError(f"maximum flow: no end after {_MOST_ROUNDS} rounds")
        size = np.bincount(group[within], minlength=count)
        split = np.bincount(group[within & cut], minlength=count)
        done = (split == 0) | (split == size)
        done[of_sink[(of_sink >= 0) & np.isnan(taken)]] = True  # shares are not known: one group
        number = made + np.cumsum(done) - 1
        made += int(done.sum())
        ready = within.copy()
        ready[within] = done[group[within]]
        label[ready] = number[group[ready]]
        group[ready] = -1
    inflow = np.bincount(graph.sink, flow, graph.sinks)
    full = np.where(np.isnan(taken), capacity / np.maximum(inflow, capacity), 1.0)
    return Growth(flow * full[graph.sink], taken - capacity, label, made)


def _shares(
    group: GroupArray,
    count: int,
    supply: FloatArray,
    capacity: FloatArray,
    order: FloatArray,
    weight: FloatArray,
) -> FloatArray:
    """(T,) growth, jobs/s, of each sink if those of a group have one price; nan if not known."""
    sources = supply.size
    of_source, of_sink = group[:sources], group[sources:]
    brought = np.bincount(of_source[of_source >= 0], supply[of_source >= 0], count)
    inside = np.flatnonzero(of_sink >= 0)
    mine = of_sink[inside]
    served = np.bincount(mine, capacity[inside], count)
    excess = np.where(brought - served > _NOTHING * served, brought - served, 0.0)
    most = np.full(count, -np.inf)
    np.maximum.at(most, mine, order[inside])  # nan wins
    heavy = (order[inside] == most[mine]) | np.isnan(most[mine])
    alone = np.bincount(mine[heavy], minlength=count) == 1
    whole = np.bincount(mine[heavy], weight[inside][heavy], count)
    # Where a table ends one more job adds nothing at any of several: all splits are alike to GMSR.
    unknown = ~alone & (np.isnan(most) | (most == BOUNDED)) & (excess > 0.0)
    share = np.where(heavy, np.where(alone[mine], 1.0, weight[inside] / whole[mine]), 0.0)
    share[unknown[mine]] = np.nan
    found = np.zeros(capacity.size)
    found[inside] = np.where(excess[mine] > 0.0, share * excess[mine], 0.0)
    return found
