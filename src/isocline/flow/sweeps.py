"""Water-filling sweeps: in turn, each source spreads its supply as is best for itself.

Given what the others send, a source fills its sinks to one level, as water does. The fixed points
are the level flows; going round the sources is Gauss-Seidel on the dual, and quick wherever a
disturbance has few steps to travel. It is also what greedy routing does (GMSR paper, Section 4).

Sweeps only prepare the exact method (`flow/decompose.py`): a few of them bring nearly all of the
flow where it belongs. So they may see every sink as a line, inflow = intercept - slope * level:
exact for hyperbolic and linear prices, a tangent for others. Lines have no wall at the capacity,
which an early sweep may well overfill.
"""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from isocline.compilation.interpretable import compiled
from isocline.flow.levels import inflow

if TYPE_CHECKING:
    from isocline.flow.prices import Prices
    from isocline.flow.problem import Edges

FloatArray = npt.NDArray[np.float64]


@compiled
def tangents(prices: "Prices", at: float) -> FloatArray:
    """Lines, inflow = intercept - slope * level, that touch each sink's inflow at one level.

    Args:
        prices: Of T sinks; read-only.
        at: The level.

    Returns:
        (T, 2) float64: what the sink takes in at level 0 beyond its inflow, which is 0 as yet,
        jobs/s; slope, jobs/s per level.
    """
    lines = np.zeros((prices.kind.size, 2))
    for b in range(prices.kind.size):
        capacity, empty = prices.row[b, 0], prices.row[b, 1]
        taken, slope = inflow(prices, b, at)
        if not 0.0 < slope < np.inf:  # empty or full at this level: from one end to the other
            taken, slope = capacity * (1.0 - at / empty), capacity / empty
        if not 0.0 < slope < np.inf:
            taken, slope = 0.0, 1.0
        lines[b, 0] = taken + slope * at
        lines[b, 1] = slope
    return lines


@compiled
def sweep(  # noqa: C901, PLR0912  (one function: a call per source costs as much as its work)
    edges: "Edges",
    supply: FloatArray,
    lines: FloatArray,
    flow: FloatArray,
    level: FloatArray,
    sweeps: int,
    still: float,
) -> float:
    """Sweep in place until no source's level moves by more than `still`, relatively.

    Args:
        edges: The graph, `Edges.unsigned`.
        supply: (S,) float64, jobs/s; read-only.
        lines: (T, 2) float64: intercept less inflow, jobs/s, which follows `flow`; slope, jobs/s
            per level, read-only.
        flow: (E,) float64, jobs/s, changed in place.
        level: (S,) float64, a guess of each source's level, any finite number will do; the last one
            on return.
        sweeps: The most sweeps.
        still: Where to stop.

    Returns:
        The largest relative move of the last sweep.
    """
    widest = 0
    for f in range(supply.size):
        widest = max(widest, edges.first[f + 1] - edges.first[f])
    room, slope = np.empty(widest), np.empty(widest)
    moved = np.inf
    for _ in range(sweeps):
        moved = 0.0
        for f in range(supply.size):
            first, degree = edges.first[f], edges.first[f + 1] - edges.first[f]
            w = level[f]
            total, fall = -supply[f], 0.0
            for j in range(degree):
                b = edges.sink[first + j]
                slope[j] = lines[b, 1]
                room[j] = lines[b, 0] + flow[first + j]
                above = room[j] > slope[j] * w
                total += room[j] if above else 0.0
                fall += slope[j] if above else 0.0
            # What the sinks take in is convex in w: Newton from the sinks above the last level,
            # or from all of them, meets the right set in finitely many steps, and soon at once.
            for _ in range(degree + 2):
                before = w
                if fall == 0.0:
                    before = -np.inf
                    for j in range(degree):
                        total += room[j]
                        fall += slope[j]
                w = total / fall
                changes = 0
                for j in range(degree):
                    changes += (room[j] > slope[j] * w) != (room[j] > slope[j] * before)
                if changes == 0:
                    break
                total, fall = -supply[f], 0.0
                for j in range(degree):
                    above = room[j] > slope[j] * w
                    total += room[j] if above else 0.0
                    fall += slope[j] if above else 0.0
            moved = max(moved, abs(w - level[f]) / max(abs(w), abs(level[f])))
            level[f] = w
            sent = 0.0
            for j in range(degree):
                room[j] = max(room[j] - slope[j] * w, 0.0)
                sent += room[j]
            # Differences of large rooms leave a small supply few digits; the sum must have all.
            share = supply[f] / sent if sent > 0.0 else 0.0
            for j in range(degree):
                amount = room[j] * share if sent > 0.0 else supply[f] / degree
                lines[edges.sink[first + j], 0] -= amount - flow[first + j]
                flow[first + j] = amount
        if moved <= still:
            break
    return moved
