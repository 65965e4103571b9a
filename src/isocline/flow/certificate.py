"""Certificate: two numbers that anybody can check, from the problem, the flow and the prices.

Nothing here is taken over from the solver but the flow and the prices it claims. The price formulas
are written a second time, in plain numpy and from the curves' side (price against share of the
capacity); only a user's own price function, and sinks made of parts, go through the compiled code:
`tests/flow` holds those to the curves' own functions.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from isocline.flow.levels import TILT, inflows, levels
from isocline.flow.prices import Prices
from isocline.flow.problem import LevelFlowProblem

FloatArray = npt.NDArray[np.float64]
MaskArray = npt.NDArray[np.bool_]


@final
@dataclass(frozen=True)
class Certificate:
    """Distance of a flow from conservation and from one price per source; both relative.

    conservation is the larger of: over sources |sum_b y_fb - supply_f| / supply_f; over sinks the
    distance of the point (inflow sum_f y_fb, price p_b) from the price curve, measured along the
    inflow or along the price, whichever is less. (Near capacity an inflow's last digit changes the
    price visibly, near an empty sink the price's last digit changes the inflow: a point is right if
    either coordinate is.) slope_gap is the largest (p_b - min_j p_j) / min_j p_j over the edges in
    use, j running over the source's sinks.
    """

    conservation: float
    slope_gap: float

    def holds(self, conservation: float = 1e-12, slope_gap: float = 1e-8) -> bool:
        """Whether both numbers are within their limits."""
        return self.conservation <= conservation and self.slope_gap <= slope_gap


def certify(problem: LevelFlowProblem, flow: FloatArray, price: FloatArray) -> Certificate:
    """Measure a flow (E,) in jobs/s with sink prices (T,) against the problem they should solve."""
    graph = problem.graph
    sent = np.add.reduceat(flow, graph.first[:-1])
    inflow = np.bincount(graph.sink, flow, graph.sinks).astype(np.float64)
    unsent = np.max(np.abs(sent - problem.supply) / problem.supply)
    seen = price[graph.sink]
    least = np.repeat(np.minimum.reduceat(seen, graph.first[:-1]), np.diff(graph.first))
    asked = price_at(problem.prices, inflow)
    with np.errstate(all="ignore"):
        along_price = np.abs(asked / price - 1.0)
        along_inflow = np.abs(inflow_at(problem.prices, price) / inflow - 1.0)
        gap = np.where(least > 0.0, (seen - least) / least, np.where(seen > 0.0, np.inf, 0.0))
    off = np.fmin(along_price, along_inflow)
    off[(inflow == 0.0) & (asked == price)] = 0.0
    if (flow < 0.0).any() or not np.isfinite(off).all():
        return Certificate(np.inf, np.inf)
    return Certificate(
        float(max(unsent, off.max())), float(np.max(gap, where=flow > 0.0, initial=0.0))
    )


def price_at(prices: Prices, inflow: FloatArray) -> FloatArray:
    """(T,) price of each sink at its inflow; inf from the capacity on."""
    price = np.empty_like(inflow)
    for kind, at in _kinds(prices):
        capacity, empty, own = prices.row[at].T
        q = np.minimum(inflow[at] / capacity, 1.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            lowest = empty**-2.0
            match kind:
                case 0:  # HYPERBOLIC
                    price[at] = lowest / (1.0 - q) ** 2
                case 1:  # EXPONENTIAL
                    price[at] = lowest / (1.0 - q)
                case 2:  # KNEE
                    price[at] = lowest * (-np.expm1(own * np.log(q))) ** -(1.0 + 1.0 / own)
                case 3:  # TABLE
                    price[at] = _table_price(prices, at, inflow[at])
                case 4:  # SERVERS
                    price[at] = lowest * (1.0 + TILT * q / (1.0 - q))
                case 6:  # LINEAR
                    price[at] = inflow[at] / own - empty
                case _:
                    price[at] = levels(prices, inflow)[at] ** -2.0
    return price


def inflow_at(prices: Prices, price: FloatArray) -> FloatArray:
    """(T,) inflow of each sink at its price: 0 up to the price of an empty sink."""
    inflow = np.empty_like(price)
    for kind, at in _kinds(prices):
        capacity, empty, own = prices.row[at].T
        with np.errstate(divide="ignore", invalid="ignore"):
            over = np.maximum(price[at] * empty**2.0, 1.0)
            match kind:
                case 0:  # HYPERBOLIC
                    inflow[at] = capacity * (1.0 - np.sqrt(1.0 / over))
                case 1:  # EXPONENTIAL
                    inflow[at] = capacity * (1.0 - 1.0 / over)
                case 2:  # KNEE
                    full = -np.expm1(-own / (own + 1.0) * np.log(over))
                    inflow[at] = capacity * full ** (1.0 / own)
                case 3:  # TABLE
                    inflow[at] = _table_inflow(prices, at, 1.0 / price[at])
                case 4:  # SERVERS
                    inflow[at] = capacity * (over - 1.0) / (over - 1.0 + TILT)
                case 6:  # LINEAR
                    inflow[at] = np.maximum(price[at] + empty, 0.0) * own
                case _:
                    inflow[at] = inflows(prices, price**-0.5)[at]
    return inflow


def _kinds(prices: Prices) -> list[tuple[int, MaskArray]]:
    present = np.flatnonzero(np.bincount(prices.kind))
    return [(kind, prices.kind == kind) for kind in present.tolist()]


def _table_price(prices: Prices, at: MaskArray, inflow: FloatArray) -> FloatArray:
    left, right = _pieces(prices, at, inflow, 1)
    bend = (left[:, 2] - right[:, 2]) / (right[:, 0] - left[:, 0])
    missing = np.maximum(right[:, 1] - inflow, 0.0)
    return np.asarray(1.0 / np.sqrt(right[:, 2] ** 2 + 2.0 * bend * missing))


def _table_inflow(prices: Prices, at: MaskArray, marginal: FloatArray) -> FloatArray:
    left, right = _pieces(prices, at, -marginal, 2, sign=-1.0)
    bend = (left[:, 2] - right[:, 2]) / (right[:, 0] - left[:, 0])
    workload = (np.minimum(marginal, left[:, 2]) - right[:, 2]) / bend  # short of the right knot
    rate = right[:, 1] - workload * (right[:, 2] + 0.5 * bend * workload)
    return np.asarray(np.where(marginal >= left[:, 2], left[:, 1], rate))


def _pieces(
    prices: Prices, at: MaskArray, value: FloatArray, column: int, sign: float = 1.0
) -> tuple[FloatArray, FloatArray]:
    """Knots left and right of a value in an increasing column (times `sign`), for table sinks."""
    first = prices.first_knot[:-1][at]
    count = prices.first_knot[1:][at] - first
    owner = np.repeat(np.arange(count.size), count)
    below = sign * prices.knots[:, column] <= value[owner]
    piece = np.clip(np.bincount(owner, below, count.size).astype(np.int64) - 1, 0, count - 2)
    return prices.knots[first + piece], prices.knots[first + piece + 1]
