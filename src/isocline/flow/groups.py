"""Compiled parts of the decomposition: one level for each group, and the splitting of groups.

A group is a set of sources and sinks, joined by the edges among them. Its level is the one at which
its sinks together take in what its sources bring.
"""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from isocline.compilation.interpretable import compiled, inner
from isocline.flow.levels import inflow
from isocline.flow.maxflow import FlagArray, GroupArray
from isocline.flow.price_kinds import COMPOSED, HYPERBOLIC
from isocline.flow.sink_levels import composed_inflow
from isocline.flow.union_find import root_of

if TYPE_CHECKING:
    from isocline.flow.prices import Prices
    from isocline.flow.problem import Edges

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]

# The supply of a group is known to this share of it.
_ULP = 2.2e-16

# Newton's method has come to rest when its step is this small, relative to the level.
_NEAR = 4e-16

# Bisection of any bracket of doubles ends within 64 + 1074 halvings; Newton needs about 10.
_STEPS = 1200


@compiled
def components(
    edges: "Edges", group: GroupArray, cut: FlagArray, usable: FlagArray, parent: GroupArray
) -> int:
    """Renumber `group` in place: connected parts of (old group, in the cut or not); their count.

    Nodes of a group below 0, and sinks left without a source, get -1.

    Args:
        edges: The graph.
        group: (S + T,) int32, group of each node, sources first, below 0 for none; rewritten.
        cut: (S + T,) bool, whether a node is in the cut; read-only.
        usable: (E,) bool, whether an edge connects its ends; read-only.
        parent: (S + T,) int32, scratch.
    """
    sources = edges.first.size - 1
    for node in range(group.size):
        parent[node] = node
    # Union and find, in the order of the edges: a search would jump between them. A part's root is
    # its first node, which is a source.
    for f in range(sources):
        if group[f] < 0:
            continue
        root = f
        for e in range(edges.first[f], edges.first[f + 1]):
            b = np.int64(sources + edges.sink[e])
            if usable[e] and group[b] == group[f] and cut[b] == cut[f]:
                other = root_of(parent, b)
                parent[max(root, other)] = min(root, other)
                root = min(root, other)
    count = 0
    for node in range(group.size):
        root = root_of(parent, node)
        if root < node:
            group[node] = group[root]
        elif group[node] < 0 or node >= sources:
            group[node] = -1
        else:
            group[node] = count
            count += 1
    return count


@compiled
def group_levels(
    prices: "Prices",
    supply: FloatArray,
    group: GroupArray,
    count: int,
    level: FloatArray,
    target: FloatArray,
) -> int:
    """Find each group's level and what each of its sinks takes in there.

    Args:
        prices: Of T sinks.
        supply: (S,) float64, jobs/s, what each source brings; read-only.
        group: (S + T,) int32, group of each node, sources first, below 0 for none; read-only.
        count: The number of groups.
        level: (S + T,) float64, set for the nodes of groups; on entry a guess for each group's
            first sink.
        target: (T,) float64, jobs/s, inflows, set for the sinks of groups; they add up to the
            group's supply.

    Returns:
        A group whose supply its sinks cannot take in, or -1.
    """
    sources = supply.size
    total, rest = np.zeros(count), np.zeros(count)
    for f in range(sources):
        if group[f] >= 0:
            _add(total, rest, group[f], supply[f])
    first, member = _members(group[sources:], count)
    found = np.empty(count)
    for g in range(count):
        sinks = member[first[g] : first[g + 1]]
        supplied, capacity = total[g] + rest[g], 0.0
        for b in sinks:
            capacity += prices.row[b, 0]
        if supplied >= capacity:
            return g
        low, high = _bracket(prices, sinks, supplied, level[sources + sinks[0]])
        _targets(prices, sinks, supplied, low, high, target)
        found[g] = high
    for node in range(group.size):
        if group[node] >= 0:
            level[node] = found[group[node]]
    return -1


@inner
def _members(group: GroupArray, count: int) -> tuple[IndexArray, IndexArray]:
    """Sinks by group: those of group g are member[first[g]:first[g + 1]]."""
    first = np.zeros(count + 1, dtype=np.int64)
    for g in group:
        if g >= 0:
            first[g + 1] += 1
    for g in range(count):
        first[g + 1] += first[g]
    place = first[:-1].copy()
    member = np.empty(first[count], dtype=np.int64)
    for b in range(group.size):
        g = group[b]
        if g >= 0:
            member[place[g]] = b
            place[g] += 1
    return first, member


@inner
def _add(total: FloatArray, rest: FloatArray, g: int, value: float) -> None:
    """Neumaier's compensated sum: levels near capacity need every digit of a total."""
    both = total[g] + value
    if abs(total[g]) >= abs(value):
        rest[g] += (total[g] - both) + value
    else:
        rest[g] += (value - both) + total[g]
    total[g] = both


@inner
def _total_inflow(prices: "Prices", members: IndexArray, w: float) -> tuple[float, float]:
    """Inflow of a set of sinks at one level, compensated, and its fall per level."""
    total, rest, fall = 0.0, 0.0, 0.0
    kind, row = prices.kind, prices.row
    for b in members:
        if kind[b] == HYPERBOLIC:  # as `inflow` has it: the commonest kind is worth half the time
            capacity, empty = row[b, 0], row[b, 1]
            value = capacity * (1.0 - w / empty) if w < empty else 0.0
            slope = capacity / empty if w < empty else 0.0
        elif kind[b] == COMPOSED:
            value, slope = composed_inflow(prices.parts, b, w) if w < row[b, 1] else (0.0, 0.0)
        else:
            value, slope = inflow(prices, b, w)
        both = total + value
        if total >= value:
            rest += (total - both) + value
        else:
            rest += (value - both) + total
        total = both
        fall += slope
    return total + rest, fall


@inner
def _bracket(
    prices: "Prices", members: IndexArray, supplied: float, guess: float
) -> tuple[float, float]:
    """Two levels, rounding apart, at which the sinks take in at least and at most `supplied`."""
    high = -np.inf
    for b in members:
        high = max(high, prices.row[b, 1])
    high = min(high, 1e300)
    low = 0.0 if high > 0.0 else -1e300  # levels of linear prices are at most 0
    w = guess if low < guess < high else (0.5 * high if high > 0.0 else 2.0 * high - 1.0)
    for _ in range(_STEPS):
        taken, fall = _total_inflow(prices, members, w)
        if abs(taken - supplied) <= _ULP * supplied:
            return w, w
        if taken > supplied:
            low = w
        else:
            high = w
        newton = w + (taken - supplied) / fall if fall > 0.0 else np.nan
        if abs(newton - w) <= _NEAR * abs(w):
            return _tightened(prices, members, supplied, w, low, high)
        if low < newton < high:
            w = newton
        elif low <= 0.0 < high or high > 4.0 * low > 0.0:  # halve the exponent, not the number
            w = 0.125 * high if low <= 0.0 else np.sqrt(low) * np.sqrt(high)
        else:
            w = 0.5 * (low + high)
        if not low < w < high:
            break
    return low, high


@inner
def _tightened(
    prices: "Prices", members: IndexArray, supplied: float, w: float, low: float, high: float
) -> tuple[float, float]:
    """Pull both ends of a bracket near w, where Newton's method came to rest."""
    for side in (-1.0, 1.0):
        step = _NEAR * abs(w)
        while low < w + side * step < high:
            near = w + side * step
            taken = _total_inflow(prices, members, near)[0]
            if abs(taken - supplied) <= _ULP * supplied:
                return near, near
            enough = taken > supplied
            if enough:
                low = near
            else:
                high = near
            if enough == (side < 0.0):
                break
            step *= 4.0
    return low, high


@inner
def _targets(
    prices: "Prices",
    members: IndexArray,
    supplied: float,
    low: float,
    high: float,
    target: FloatArray,
) -> None:
    """Inflows between those at two neighbouring levels, adding up to `supplied`.

    A level is a rounded number, and a sink whose price is nearly flat (a knee far below its bend)
    turns that rounding into many jobs/s. Between neighbouring levels any inflow is right.
    """
    share = 0.0
    if low < high:
        least = _total_inflow(prices, members, high)[0]
        most = _total_inflow(prices, members, low)[0]
        if most > least:
            share = min(max((supplied - least) / (most - least), 0.0), 1.0)
    total, rest = 0.0, 0.0
    for b in members:
        value = inflow(prices, b, high)[0]
        if share > 0.0:
            value += share * (inflow(prices, b, low)[0] - value)
        target[b] = value
        both = total + value
        rest += (total - both) + value if total >= value else (value - both) + total
        total = both
    # What is left is rounding; no sink takes more of it than its own.
    left = supplied - (total + rest)
    for b in members:
        part = min(abs(left), 2.0 * _ULP * target[b])
        target[b] += part if left > 0.0 else -part
        left -= part if left > 0.0 else -part
        if left == 0.0:
            break
