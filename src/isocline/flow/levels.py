"""Maps from level to inflow and back, compiled, for every kind of price.

With q = a/capacity and w0 the level of an empty sink:

    hyperbolic   w = w0 (1 - q)
    exponential  w = w0 (1 - q)^(1/2)
    knee         w = w0 (1 - q^p)^((p+1)/(2p))
    table        w = l'^(1/2), l' and a both along one parabola of the spline
    servers      w = w0 (1 + TILT q/(1-q))^(-1/2)
    custom       w = p(a)^(-1/2), the user's p; its inverse by bracketing
    linear       u = -(offset + a/weight)
    composed     see `sink_levels`, which has the pools, and one step of the fluid
    mean         w = (l/N)^(1/2), likewise

Each is the curve's 1/l'(l^-1(a)) rewritten; `tests/flow` holds them to the curves' own functions.
"""

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from isocline.compilation.interpretable import compiled, inner
from isocline.flow.price_kinds import (
    COMPOSED,
    EXPONENTIAL,
    HYPERBOLIC,
    KNEE,
    LINEAR,
    MEAN,
    SERVERS,
    TABLE,
)
from isocline.flow.sink_levels import composed_inflow, mean_inflow, parts_level

if TYPE_CHECKING:
    from isocline.flow.prices import Prices

FloatArray = npt.NDArray[np.float64]

# A servers curve's price is flat, then vertical: neither level nor split would be unique. We tilt
# it, p = (1 + TILT q/(1-q)) / rate: the integral of the tilt, and so what the optimum can lose, is
# TILT (ln 1/(1-q) - q) of the station's own work.
TILT = 1e-6


@compiled
def level(prices: "Prices", b: int, inflow: float) -> float:  # noqa: PLR0911  (one per kind)
    """Level of sink b at an inflow.

    Reads `prices`; the inflow is in jobs/s.
    """
    row: FloatArray = prices.row
    capacity: float = row[b, 0]
    empty: float = row[b, 1]
    own: float = row[b, 2]
    kind = prices.kind[b]
    if kind == HYPERBOLIC:
        return empty * (1.0 - inflow / capacity)
    if kind == LINEAR:
        return empty - inflow / own
    if inflow <= 0.0:
        return empty
    if inflow >= capacity:
        return 0.0
    q = inflow / capacity
    if kind == EXPONENTIAL:
        return empty * math.sqrt(1.0 - q)
    if kind == KNEE:
        return empty * math.pow(-math.expm1(own * math.log(q)), 0.5 + 0.5 / own)
    if kind == SERVERS:
        return empty / math.sqrt(1.0 + TILT * q / (1.0 - q))
    if kind == TABLE:
        return _table_level(prices, b, inflow)
    if kind in (COMPOSED, MEAN):
        return parts_level(prices.parts, kind, b, inflow)
    price: float = prices.function(prices.parameters[b], inflow)
    return 1.0 / math.sqrt(price)


@compiled
def inflow(prices: "Prices", b: int, w: float) -> tuple[float, float]:  # noqa: PLR0911
    """Inflow of sink b at a level, and the rate at which it falls as the level rises.

    Reads `prices`; the inflow is in jobs/s, its fall in jobs/s per level.
    """
    row: FloatArray = prices.row
    capacity: float = row[b, 0]
    empty: float = row[b, 1]
    own: float = row[b, 2]
    kind = prices.kind[b]
    if w >= empty:
        return 0.0, 0.0
    if kind == HYPERBOLIC:
        return capacity * (1.0 - w / empty), capacity / empty
    if kind == LINEAR:
        return (empty - w) * own, own
    if w <= 0.0:
        return capacity, 0.0
    v = w / empty
    if kind == EXPONENTIAL:
        return capacity * (1.0 - v * v), 2.0 * capacity * v / empty
    if kind == KNEE:
        r = 2.0 * own / (own + 1.0)
        full = -math.expm1(r * math.log(v))
        q = full ** (1.0 / own)
        return capacity * q, capacity * q / full * r / own * v ** (r - 1.0) / empty
    if kind == SERVERS:
        over = (1.0 / v - 1.0) * (1.0 / v + 1.0)
        tilted = over + TILT
        share = over / tilted
        return capacity * share, capacity * TILT / (tilted * tilted) * 2.0 / (v * v * w)
    if kind == TABLE:
        return _table_inflow(prices, b, w)
    if kind == COMPOSED:
        return composed_inflow(prices.parts, b, w)
    if kind == MEAN:
        return mean_inflow(prices.parts, empty, b, w)
    return _custom_inflow(prices, b, w)


@inner
def _table_level(prices: "Prices", b: int, inflow: float) -> float:
    low, high = prices.first_knot[b], prices.first_knot[b + 1] - 1
    knots = prices.knots
    while high - low > 1:
        middle = (low + high) // 2
        if knots[middle, 1] <= inflow:
            low = middle
        else:
            high = middle
    bend = (knots[low, 2] - knots[high, 2]) / (knots[high, 0] - knots[low, 0])
    # From the right end, where the marginal rate is small and the left end would cancel.
    top, bottom = knots[low, 2], knots[high, 2]
    square = bottom * bottom + 2.0 * bend * max(knots[high, 1] - inflow, 0.0)
    return math.sqrt(math.sqrt(min(square, top * top)))


@inner
def _table_inflow(prices: "Prices", b: int, w: float) -> tuple[float, float]:
    low, high = prices.first_knot[b], prices.first_knot[b + 1] - 1
    knots, marginal = prices.knots, w * w
    while high - low > 1:
        middle = (low + high) // 2
        if knots[middle, 2] >= marginal:
            low = middle
        else:
            high = middle
    bend = (knots[low, 2] - knots[high, 2]) / (knots[high, 0] - knots[low, 0])
    # From the nearer end, so that a sink almost empty or almost full keeps its small difference.
    top, bottom = knots[low, 2], knots[high, 2]
    if top - marginal < marginal - bottom:
        part = knots[low, 1] + (top - marginal) * (top + marginal) / (2.0 * bend)
    else:
        part = knots[high, 1] - (marginal - bottom) * (marginal + bottom) / (2.0 * bend)
    return part, 2.0 * w * marginal / bend


@inner
def _custom_inflow(prices: "Prices", b: int, w: float) -> tuple[float, float]:
    """Invert the user's price: bracket, then Illinois' false position with bisection as guard."""
    parameters, function, capacity = prices.parameters[b], prices.function, prices.row[b, 0]
    price = w**-2.0
    low, low_gap = 0.0, function(parameters, 0.0) - price
    high = capacity if capacity < np.inf else 1.0
    high_gap = function(parameters, high) - price
    while not high_gap > 0.0:  # also where the function is NaN at its capacity
        if capacity < np.inf:
            if high_gap <= 0.0:
                return capacity, 0.0
            high_gap = np.inf
        else:
            low, low_gap, high = high, high_gap, 4.0 * high
            if high > 1e300:
                return high, 0.0
            high_gap = function(parameters, high) - price
    for _ in range(200):
        secant = high - high_gap * (high - low) / (high_gap - low_gap)
        inside = low < secant < high
        middle = secant if inside else 0.5 * (low + high)
        if high - low <= 4e-16 * high or not low < middle < high:
            break
        gap = function(parameters, middle) - price
        width = high - low
        if gap > 0.0:
            high, high_gap, low_gap = middle, gap, 0.5 * low_gap
        else:
            low, low_gap, high_gap = middle, gap, 0.5 * high_gap
        if high - low > 0.5 * width:  # one end is stuck: halve
            middle = 0.5 * (low + high)
            gap = function(parameters, middle) - price
            if gap > 0.0:
                high, high_gap = middle, gap
            else:
                low, low_gap = middle, gap
    found = 0.5 * (low + high)
    step = 1e-6 * min(found, capacity - found)
    rise = function(parameters, found + step) - function(parameters, found - step)
    return found, 4.0 * step * price / (w * rise) if rise > 0.0 else 0.0


@compiled
def levels(prices: "Prices", inflows: FloatArray) -> FloatArray:
    """(T,) float64, level of every sink at its inflow; `inflows`, (T,) float64, is in jobs/s."""
    found = np.empty(inflows.size)
    for b in range(inflows.size):
        found[b] = level(prices, b, inflows[b])
    return found


@compiled
def inflows(prices: "Prices", at: FloatArray) -> FloatArray:
    """(T,) float64, jobs/s, inflow of every sink at its level; `at` is (T,) float64."""
    found = np.empty(at.size)
    for b in range(at.size):
        found[b] = inflow(prices, b, at[b])[0]
    return found
