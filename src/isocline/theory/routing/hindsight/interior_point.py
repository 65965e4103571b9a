"""Interior-point method for prices and routing, on cells of time.

Each cell is one implicit step: jobs that come at its first node join, and n jobs of a member remain
at its end, with n + h l(n) >= n before + inflow. The least sum of h n is a convex program with one
multiplier for each step: the price p of one more job. At the optimum n, p and the shares y of jobs
satisfy

    h - p (1 + h l'(n)) + p of the next cell = 0      (cost of a job in this cell, and later)
    n + h l(n) - n before - inflow = 0
    y w = epsilon at each edge, w = p - q > 0         (epsilon -> 0: only the cheapest are used)

Newton's method takes all three together. Steps of n and y follow from that of p; what is left for p
is positive definite, and couples a pool in one cell with itself in the next and with other pools in
the same: a band of as many diagonals as there are pools, factored in O(cells * pools^2) by LAPACK.
Where a curve is straight there is no bend to divide by; a little is added, which shortens steps and
does not change where they lead.

Such cells are exact to the first order only. That is enough: the prices and the routing alone are
taken from here, `certificates` finds what they are worth in continuous time, and the error of a
bound is of the second order in that of its prices.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from isocline.theory.routing.hindsight.certificates import place
from isocline.theory.routing.hindsight.path import spread
from isocline.theory.routing.hindsight.pools import Pools
from isocline.theory.routing.step_to_boundary import longest_step

FloatArray = npt.NDArray[np.float64]

_PARTS = 8  # of what comes at a node, each sent where it is best
_BEND = 1e-2  # least bend of a curve, relative to that of one that saturates
_INWARD = 0.2  # share that is spread evenly in a first point


@final
@dataclass(eq=False)
class Iterate:
    """Point of the method: K cells, B pools, F groups, E edges."""

    node: FloatArray  # (K + 1,) s
    jobs: FloatArray  # (K, B) of one member at the end of each cell; below 0 on the way, maybe
    price: FloatArray  # (K, B) s, at the first node of each cell
    split: FloatArray  # (K, E) shares, > 0; those of a group sum to 1
    least: FloatArray  # (K, F) s, below the prices of all pools of the group
    epsilon: float  # s
    corner: float  # jobs: see `smooth`

    def prices(self, pools: Pools) -> FloatArray:
        """(K + 1, B) s at the nodes."""
        return np.vstack((self.price, pools.alone))

    def shares(self) -> FloatArray:
        """(K + 1, E) shares at the nodes; at the last comes nothing."""
        return np.vstack((self.split, self.split[-1:]))

    def slack(self, pools: Pools, arrivals: FloatArray) -> float:
        """Mean of y w over all jobs and edges, s: what is still to come down to epsilon."""
        above = self.price[:, pools.pool] - self.least[:, pools.group]
        amount = arrivals[:, pools.group]
        return float((amount * self.split * above).sum() / amount.sum())


def arrivals_at(pools: Pools, node: FloatArray) -> FloatArray:
    """(K, F) jobs of each group at the first node of each cell.

    Each job is shared by the nodes around it, in proportion to nearness.
    """
    groups = pools.first.size - 1
    cell, later = place(node, pools.jobs.time)
    at = cell * groups + pools.jobs.group
    size = node.size * groups
    weight = pools.jobs.weight
    found = np.bincount(at, weight * (1.0 - later), size)
    found = found + np.bincount(at + groups, weight * later, size)
    return np.asarray(found.reshape(node.size, groups)[:-1], np.float64)


def by_latency(pools: Pools, node: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(K, E) shares and (K, B) jobs at the ends of cells if jobs go by the least N/l(N)."""
    split = np.empty((node.size - 1, pools.pool.size))
    return split, _stepped(pools, node, split, _PARTS)


def begun(pools: Pools, node: FloatArray) -> Iterate:
    """A first point: near the routing by latency, which serves bursts well."""
    return _near(pools, node, by_latency(pools, node)[0], 1.0)


def refined(pools: Pools, old: Iterate, node: FloatArray, corner: float) -> Iterate:
    """A first point on other cells: near the routing of `old`."""
    columns = [np.interp(node[:-1], old.node[:-1], column) for column in old.split.T]
    return _near(pools, node, np.column_stack(columns), corner)


def _near(pools: Pools, node: FloatArray, split: FloatArray, corner: float) -> Iterate:
    """A point well inside, whose jobs and prices are those of its shares.

    Near the optimum of other cells steps would be short: some shares there are next to 0, and not
    those that are here.
    """
    degree = np.diff(pools.first)[pools.group]
    split = (1.0 - _INWARD) * split + _INWARD / degree
    split /= np.add.reduceat(split, pools.first[:-1], axis=1)[:, pools.group]
    length, jobs = np.diff(node), _stepped(pools, node, split, 0)
    _, slope, _ = smooth(pools, jobs, corner)
    price = np.empty_like(jobs)
    following = pools.alone
    for k in range(length.size - 1, -1, -1):
        following = (length[k] + following) / (1.0 + length[k] * slope[k])
        price[k] = following
    cheapest = np.minimum.reduceat(price[:, pools.pool], pools.first[:-1], axis=1)
    epsilon = _INWARD * float(np.mean(cheapest))
    return Iterate(node, jobs, price, split, cheapest - epsilon, epsilon, corner)


def _stepped(pools: Pools, node: FloatArray, split: FloatArray, parts: int) -> FloatArray:
    """(K, B) jobs at the ends of cells, by `spread`."""
    jobs = np.empty((node.size - 1, pools.members.size))
    length, arrivals = np.diff(node), arrivals_at(pools, node)
    spread(pools.constants, length, arrivals, parts, split, pools.start.copy(), jobs)
    return jobs


def smooth(
    pools: Pools, jobs: FloatArray, corner: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(K, B) rate, its derivative, and the bend -l'': straight between whole jobs, corners round.

    About a whole number l' falls straight from the gain before it to the one after, over a width of
    `corner` jobs, 1 at most.
    """
    rate, slope, bend = np.empty_like(jobs), np.empty_like(jobs), np.empty_like(jobs)
    for b in range(pools.members.size):
        gain, n = pools.gain[b], jobs[:, b]
        fall = np.concatenate(([0.0], -np.diff(gain)))
        j = np.clip((n + 0.5).astype(np.int64), 0, gain.size - 1)
        over = n - j
        at = np.maximum(j - 1, 0)
        turned = np.clip(over / corner + 0.5, 0.0, 1.0)
        slope[:, b] = gain[at] - fall[j] * turned
        bend[:, b] = np.where((turned > 0.0) & (turned < 1.0), fall[j] / corner, 0.0)
        straight = pools.rate[b, j] + np.where(over < 0.0, gain[at], gain[j]) * over
        cut = np.maximum(0.5 * corner - np.abs(over), 0.0) ** 2 / (2.0 * corner)
        rate[:, b] = straight - fall[j] * cut
    return rate, slope, bend


def advance(pools: Pools, point: Iterate, arrivals: FloatArray) -> float:
    """One step of Newton's method, in place; returns its length, from 0 to 1."""
    from scipy.linalg import solveh_banded  # noqa: PLC0415 - slow to import, and seldom asked

    members, first, pool, group = pools.members, pools.first, pools.pool, pools.group
    length = np.diff(point.node)[:, None]
    n, p, y = point.jobs, point.price, point.split
    cells, count = n.shape
    rate, slope, bend = smooth(pools, n, point.corner)
    grown = 1.0 + length * slope
    bend = np.maximum(bend, _BEND * slope / (1.0 + np.abs(n)))
    bend = np.maximum(bend, 1e-9 * pools.gain[:, 0])
    curvature = length * np.maximum(p, 1e-6 * pools.alone) * bend
    following = np.vstack((p[1:], pools.alone))
    cost = length - p * grown + following
    inflow = np.zeros_like(n)
    amount = arrivals[:, group]
    for e in range(pool.size):
        inflow[:, pool[e]] += amount[:, e] * y[:, e]
    held = np.vstack((pools.start, n[:-1]))
    missing = members * (n + length * rate - held) - inflow

    # What an edge costs above the least; how far its share gives way to a price; what it lacks.
    w = np.maximum(p[:, pool] - point.least[:, group], 1e-14 * pools.alone.min())
    give = y / w
    aim = point.epsilon / w - y

    main = members * grown**2 / curvature
    main[1:] += members / curvature[:-1]
    right = -missing + members * grown * cost / curvature
    right[1:] -= members * cost[:-1] / curvature[:-1]
    band = np.zeros((count + 1, cells, count))
    band[0], band[count] = main, -members * grown / curvature
    for f in range(first.size - 1):
        mine = slice(first[f], first[f + 1])
        b, some, come = pool[mine], give[:, mine], arrivals[:, f, None]
        total = some.sum(axis=1, keepdims=True)
        lacking = aim[:, mine].sum(axis=1, keepdims=True)
        right[:, b] += come * (aim[:, mine] - some * (lacking / total))
        band[0][:, b] += come * some
        i, j = np.tril_indices(b.size)  # pools of a group are in order: b[i] >= b[j]
        band[b[i] - b[j], :, b[j]] -= (come * some[:, i] * some[:, j] / total).T
    rows = band.reshape(count + 1, -1)
    solved = solveh_banded(rows, right.ravel(), overwrite_ab=True, lower=True, check_finite=False)
    dp = solved.reshape(cells, count)
    dnext = np.vstack((dp[1:], np.zeros(count)))
    dn = (grown * dp - dnext - cost) / curvature
    lowered = np.add.reduceat(give * dp[:, pool] - aim, first[:-1], axis=1)
    dleast = lowered / np.add.reduceat(give, first[:-1], axis=1)
    dw = dp[:, pool] - dleast[:, group]
    dy = aim - give * dw
    used = amount > 0.0
    step = min(1.0, longest_step(y[used], dy[used]), longest_step(w[used], dw[used]))
    point.jobs = n + step * dn
    point.price = p + step * dp
    cheapest = np.minimum.reduceat(point.price[:, pool], first[:-1], axis=1)
    point.least = np.where(arrivals > 0.0, point.least + step * dleast, cheapest - point.epsilon)
    point.split = np.where(used, y + step * dy, y)
    return step
