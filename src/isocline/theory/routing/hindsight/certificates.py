"""Certificates of the least total delay, from below and from above, and where they part.

**The program.** n_b(t) jobs at pool b, of which a member holds n_b / c_b, drain at most at
c_b l_b(n_b / c_b). Every job is split among the pools of its group as it comes. The total delay is
the integral of sum_b n_b, until all have left.

**From below.** Let p_b(t) >= 0 be any prices of one more job at b, in s, with p_b' >= -1, which end
at the price 1 / l_b(1) of an empty backend, or below. Multiply n_b' <= inflow_b - d_b by p_b and
integrate by parts. As d_b <= l_b(n_b), the delay of every feasible path is at least

    sum over jobs of min_b p_b(t_job) - sum_b c_b * integral of phi_b(p_b, 1 + p_b') dt,
    phi_b(p, s) = max over n of p l_b(n) - s n,

and p_b(0) times what is there at the start. This is weak duality: nothing of the prices needs to be
optimal. phi is convex in (p, s) together, so that for prices that are straight between nodes the
trapezoidal rule only takes more away; as l is straight between whole numbers, the maximum is at one
of them, and the bound has no other rounding than that of its sums. After the last node prices stay
as they are, where phi is 0. A job that waits at its frontend pays for its waiting, and prices fall
by at most that, so that the bound is one of policies that hold jobs, too.

**From above.** Any feasible path will do: that of the routing that the prices come from (`path`).

**Where they part.** In each cell between two nodes the difference is the path's delay, and the rise
of the value of its jobs at these prices, less the cell's part of the bound. Each of these is 0 or
more, and they sum to the gap: they say which cells to refine.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from isocline.theory.routing.hindsight.path import follow
from isocline.theory.routing.hindsight.pools import Pools

FloatArray = npt.NDArray[np.float64]


class LowerBound(NamedTuple):
    """What prices prove."""

    prices: FloatArray  # (K + 1, B) s, those given, made feasible
    cells: FloatArray  # (K,) job-seconds, each cell's part
    value: float  # job-seconds: the bound


class UpperBound(NamedTuple):
    """What a feasible path takes."""

    at_node: FloatArray  # (K + 1, B) jobs of one member just before each node
    cells: FloatArray  # (K,) job-seconds in each cell
    value: float  # job-seconds: the path's total delay


def feasible(pools: Pools, node: FloatArray, prices: FloatArray) -> FloatArray:
    """(K + 1, B) the greatest feasible prices that are nowhere above these."""
    last = np.vstack((np.maximum(prices[:-1], 0.0), np.clip(prices[-1], 0.0, pools.alone)))
    rising = last + node[:, None]
    falls = np.minimum.accumulate(rising[::-1])[::-1]
    return np.where(rising > falls, np.maximum(falls - node[:, None], 0.0), last)


def from_below(pools: Pools, node: FloatArray, prices: FloatArray) -> LowerBound:
    """Lower bound of the least total delay, from any prices.

    Args:
        pools: The system and its jobs.
        node: (K + 1,) s, increasing; the first job comes at the first or later, the last before
            the last.
        prices: (K + 1, B) s at the nodes.
    """
    p = feasible(pools, node, prices)
    slack = np.maximum(1.0 + np.diff(p, axis=0) / np.diff(node)[:, None], 0.0)
    lost = 0.5 * (_phi(pools, p[:-1], slack) + _phi(pools, p[1:], slack)) @ pools.members
    cells = _cheapest(pools, node, p) - lost * np.diff(node)
    begun = float((pools.members * pools.start) @ p[0])
    return LowerBound(p, cells, float(cells.sum()) + begun)


def _phi(pools: Pools, price: FloatArray, slack: FloatArray) -> FloatArray:
    """(K, B) the most of price * l(n) - slack * n, over whole n."""
    found = np.empty_like(price)
    for b in range(pools.members.size):
        gain = pools.gain[b]
        with np.errstate(divide="ignore", invalid="ignore"):
            level = slack[:, b] / price[:, b]
        n = np.searchsorted(-gain, -np.where(price[:, b] > 0.0, level, np.inf))
        found[:, b] = price[:, b] * pools.rate[b, n] - slack[:, b] * n
    return found


def _cheapest(pools: Pools, node: FloatArray, price: FloatArray) -> FloatArray:
    """(K,) what the jobs of each cell would pay, each where it is cheapest, s."""
    total = np.zeros(node.size - 1)
    cell, later = place(node, pools.jobs.time)
    for f in range(pools.first.size - 1):
        mine = pools.jobs.group == f
        k, share = cell[mine], later[mine]
        least = np.full(k.size, np.inf)
        for b in pools.pool[pools.first[f] : pools.first[f + 1]]:
            least = np.minimum(least, (1.0 - share) * price[k, b] + share * price[k + 1, b])
        total += np.bincount(k, pools.jobs.weight[mine] * least, total.size)
    return total


def place(node: FloatArray, time: FloatArray) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """(n,) number of the cell of each time, and how far in it, from 0 to below 1."""
    cell = np.searchsorted(node, time, side="right") - 1
    return cell, (time - node[cell]) / (node[cell + 1] - node[cell])


def from_above(pools: Pools, node: FloatArray, split: FloatArray) -> UpperBound:
    """Total delay of the fluid under a routing.

    Args:
        pools: The system and its jobs.
        node: (K + 1,) s, as of `from_below`.
        split: (K + 1, E) shares of each group's jobs at the nodes; those of a group sum to 1.
    """
    at_node = np.empty((node.size, pools.members.size))
    cells = np.empty(node.size - 1)
    jobs = pools.start.copy()
    follow(pools.constants, node, split, pools.jobs, jobs, at_node, cells)
    # Alone n jobs take the integral of x / l(x) up to n, and x / l(x) never falls.
    whole = np.minimum(np.ceil(jobs).astype(np.int64), pools.gain.shape[1])
    below = np.maximum(whole - 1, 0)
    each = np.arange(pools.members.size)
    rate = pools.rate[each, below] + pools.gain[each, below] * (jobs - below)
    left = np.divide(jobs**2, rate, out=np.zeros_like(jobs), where=jobs > 0.0)
    return UpperBound(at_node, cells, float(cells.sum() + pools.members @ left))


def gap_of_cells(pools: Pools, below: LowerBound, above: UpperBound) -> FloatArray:
    """(K,) job-seconds by which the two bounds part in each cell, all 0 or more."""
    value = (below.prices * above.at_node) @ pools.members
    return np.asarray(above.cells + np.diff(value) - below.cells)
