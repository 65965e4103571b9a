"""Branch and bound for the cheapest fleet in the fluid limit.

The relaxation is solved by outer approximation: where its counts miss a requirement, the row that
is tangent at the boundary of what holds, on the way to a fleet that holds it, is added (extended
supporting hyperplanes: Kronqvist, Lundell and Westerlund, J. Global Optim. 64, 2016). Fleets are
found by rounding up and by exchanging machines, and each is checked by its own flow. All leaves of
the tree have a bound by multipliers; the least of them is what no fleet costs less than.
"""

import heapq
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np
import numpy.typing as npt

from isocline.errors import UnreachableError
from isocline.model.fleet_problem import FleetProblem
from isocline.theory.routing.cheapest_fleet.covering import Box, Covering, Relaxed
from isocline.theory.routing.cheapest_fleet.requirements import (
    Judge,
    Requirement,
    Row,
    Standing,
)

FloatArray = npt.NDArray[np.float64]

_CLOSE = 1e-5  # relative: a relaxation whose counts miss a target by less is solved
_ROUNDS = 100  # of rows at the root, and
_ROUNDS_BELOW = 3  # elsewhere
_NEWTON = 25  # steps to a boundary
_WHOLE = 1e-6  # counts that near to a whole number are one
_NODES = 400  # of the tree, after which it stays at the gap that it has
# Rows from which on no node is divided, as each costs more with every row; and rows times types,
# of which 200 types have 300.
_MOST_ROWS, _MOST_ENTRIES = 500, 60_000
_AT_ONCE = 4  # rows that are added for one relaxation
_MOST_ADDED = 100_000  # machines, in rounding up
_PROPOSALS = 15  # of the integer program
_CHECKS = 40  # of fleets among those that one exchange leads to
_DOUBLINGS = 60  # of a fleet that is to hold the target
_STILL = 1e-7  # relative: what is left to gain from doubling it


class Leaf(NamedTuple):
    """Part of the tree that was not divided, and the proof of its bound."""

    box: Box
    bound: float
    multipliers: FloatArray  # of the first rows


@final
@dataclass(frozen=True, eq=False)
class FluidFleet:
    """The cheapest fleet found, and what no fleet costs less than. K types."""

    counts: npt.NDArray[np.int64]  # (K,)
    cost: float
    lower_bound: float
    relaxation: float  # the bound at the root, counts being broken numbers
    relaxed: FloatArray  # (K,) counts of the relaxation
    rows: tuple[Row, ...]
    leaves: tuple[Leaf, ...]  # their boxes hold every fleet that costs less

    @property
    def proof(self) -> list[Row]:
        """The rows on which the bound of some leaf rests."""
        used = np.zeros(len(self.rows), np.bool_)
        for leaf in self.leaves:
            used[: leaf.multipliers.size] |= leaf.multipliers > 0.0
        return list(itertools.compress(self.rows, used))

    @property
    def gap(self) -> float:
        """How far it may be above the cheapest, relative."""
        return 0.0 if self.cost <= 0.0 else max(1.0 - self.lower_bound / self.cost, 0.0)


class Miss(NamedTuple):
    """A requirement that counts miss."""

    requirement: Requirement
    standing: Standing
    lost: FloatArray  # (K,) machines that are gone
    left: FloatArray  # (K,) what counts as left

    @property
    def figure(self) -> float:
        return self.standing.figure


class Split(NamedTuple):
    """Division of a box: up to `most` of a type, and more."""

    type: int
    most: float


def cheapest(
    problem: FleetProblem, requirements: Sequence[Requirement], gap: float = 0.01
) -> FluidFleet:
    """Find the cheapest fleet that meets all requirements in the fluid limit.

    Args:
        problem: Types, who may use which, demands.
        requirements: All must be met.
        gap: The search ends where the fleet is within this share of the lower bound; with 0 it is
            the cheapest.

    Raises:
        UnreachableError: No fleet of these types meets them; names the least that can be reached.
    """
    return Search(Judge(problem), requirements).run(gap)


def losses(counts: FloatArray, spare: int) -> Iterator[FloatArray]:
    """(K,) machines lost, each way to lose so many of those that there are."""
    there = np.flatnonzero(counts > _WHOLE).tolist()
    whole = np.ceil(counts - _WHOLE)
    for chosen in itertools.combinations_with_replacement(there, min(spare, int(whole.sum()))):
        lost = np.bincount(np.array(chosen, np.int64), minlength=counts.size).astype(np.float64)
        if (lost <= whole).all():
            yield lost


def neighbours(counts: FloatArray, prices: FloatArray, box: Box) -> FloatArray:
    """(m, K) cheaper fleets in a box, the cheapest first: up to two machines less and one more."""
    none, each = np.zeros((1, counts.size)), np.eye(counts.size)
    # Of types of which there are none to spare, nothing can go: most of many types.
    less = np.vstack((none, each[counts > box.least]))
    fewer = np.array([a + b for a, b in itertools.combinations_with_replacement(less, 2)])
    moves = np.vstack([one - fewer for one in np.vstack((none, each))])
    cost = moves @ prices
    order = np.argsort(cost, kind="stable")
    found = counts + moves[order[cost[order] < -1e-12 * float(prices @ counts)]]
    return np.asarray(found[((found >= box.least) & (found <= box.most)).all(axis=1)])


def whole_box(problem: FleetProblem) -> Box:
    """Counts that a fleet may have."""
    most = [math.inf if each.at_most is None else float(each.at_most) for each in problem.types]
    return Box(np.array([float(each.at_least) for each in problem.types]), np.array(most))


@final
class Search:
    """One problem, with the rows and the best fleet found so far.

    Args:
        judge: Of the problem's fleets.
        requirements: All must be met.
        near: The solution for other limits, whose costs give rows here, too; it saves time.
    """

    def __init__(
        self, judge: Judge, requirements: Sequence[Requirement], near: FluidFleet | None = None
    ) -> None:
        self._judge, self._requirements = judge, tuple(requirements)
        self._problem = judge.problem
        self._prices = self._problem.prices
        self._whole = whole_box(self._problem)
        self._covering = Covering(self._prices)
        self._best = self._inside = self._whole.least
        self._cost = math.inf

        for row in () if near is None else near.proof:
            self._take_over(row)

    def _take_over(self, row: Row) -> None:
        """Add the rows that the costs of another search's row give here."""
        for requirement in self._requirements:
            target = requirement.target
            lost = max(int(row.lost.sum()), row.spare)
            if requirement.demand != row.demand or requirement.spare < lost:
                continue
            if row.target.quantity == target.quantity:
                own = self._judge.row(row.demand, target, row.costs)
                if own.need > 0.0 or not row.spare:
                    self._covering.add(own._replace(lost=row.lost, spare=row.spare))
            elif row.target.quantity == "load" and requirement.latency:
                self._covering.add(row)  # all has to be served, whatever the limit

    def run(self, gap: float) -> FluidFleet:
        """Search until the fleet is within `gap` of the bound."""
        inside = self._inside = self._ample()
        self._offer(np.ceil(inside - _WHOLE))
        root = self._root(inside, gap)
        leaves = self._branch(root, gap)
        counts = self._best.astype(np.int64)
        cost = self._problem.cost(counts)
        return FluidFleet(
            counts=counts,
            cost=cost,
            lower_bound=min((leaf.bound for leaf in leaves if leaf.bound < cost), default=cost),
            relaxation=min(root.bound, cost),
            relaxed=root.counts,
            rows=tuple(self._covering.rows),
            leaves=tuple(leaves),
        )

    # Requirements

    def holds(self, counts: FloatArray) -> bool:
        """Whether whole counts meet all requirements in the fluid limit."""
        return not self._missed(counts)

    def _missed(self, counts: FloatArray, box: Box | None = None) -> list[Miss]:
        """Requirements that counts miss, the one that is missed by most first.

        With a box, losses are those that hold for all its fleets, by chords; else whole machines.
        """
        found = []
        for requirement in self._requirements:
            for lost in losses(counts, requirement.spare):
                left = counts - np.minimum(counts, lost) if box is None else box.left(counts, lost)
                standing = self._judge.standing(requirement, left)
                if not self._judge.holds(requirement, standing):
                    found.append(Miss(requirement, standing, lost, left))
        return sorted(found, key=lambda miss: -miss.figure / miss.requirement.target.limit)

    def _ample(self) -> FloatArray:
        """(K,) counts, within bounds, that meet all requirements.

        Raises:
            UnreachableError: There are none.
        """
        least, most = self._whole.least, self._whole.most
        size, before = 1.0, math.inf
        for _ in range(_DOUBLINGS):
            counts = np.clip(np.full(least.size, size), least, most)
            missed = self._missed(counts)
            if not missed:
                return np.asarray(counts, np.float64)
            figure = missed[0].figure
            if (counts >= most).all() or before - figure <= _STILL * figure < math.inf:
                break
            before, size = figure, 2.0 * size
        miss = missed[0]
        raise UnreachableError(self._unreachable(miss), miss.figure)

    def _unreachable(self, miss: "Miss") -> str:
        problem, target = self._problem, miss.requirement.target
        demand = problem.demands[miss.requirement.demand]
        when = f" in demand {demand.name!r}" if len(problem.demands) > 1 else ""
        lost = [
            f"{int(n)} {each.name}" for n, each in zip(miss.lost, problem.types, strict=True) if n
        ]
        without = f" once {' and '.join(lost)} is lost" if lost else ""
        limits = [
            f"{each.at_most} {each.name}" for each in problem.types if each.at_most is not None
        ]
        had = f" with all that may be had of {', '.join(limits)}" if limits else ""
        if math.isinf(miss.figure):
            return (
                f"target {target}: the arrivals cannot be served{when}{without}{had}; raise "
                "at_most, add types, or lower the rates"
            )
        if target.quantity == "load":
            least = f"the least load is {miss.figure:.4g}"
        elif target.is_percentile:
            least = f"a {target.quantity} below {miss.figure:.4g} s is proved impossible"
        else:
            least = f"the least mean latency is {miss.figure:.4g} s"
            if not limits:
                least += ", with a machine for each job"
        return (
            f"target {target}: no fleet of these types reaches it{when}{without}: {least}{had}; "
            "give a target above that, or faster types"
        )

    # Relaxations

    def _root(self, inside: FloatArray, gap: float) -> Relaxed:
        """The relaxation over all fleets, and a first good fleet."""
        found = self._relaxed(self._whole)
        for _ in range(_ROUNDS):
            if self._survive(found.counts):
                found = self._relaxed(self._whole)
                continue
            missed = self._missed(found.counts, self._affordable(self._whole))
            near = all(m.figure <= m.requirement.target.limit * (1.0 + _CLOSE) for m in missed)
            if near:
                break
            for miss in missed[:_AT_ONCE]:
                self._boundary(miss, inside)
            before, found = found, self._relaxed(self._whole)
            if np.array_equal(before.counts, found.counts):
                break
        self._round_up(found.counts)
        if found.bound < self._cost * (1.0 - gap):
            self._propose(gap)
        return self._relaxed(self._whole)

    def _relaxed(self, box: Box) -> Relaxed:
        return self._covering.relaxed(self._affordable(box), max(self._cost, 1e-9))

    def _affordable(self, box: Box) -> Box:
        """The part of a box without fleets that cost more than the best so far."""
        left = self._cost - float(self._prices @ box.least)
        with np.errstate(divide="ignore", invalid="ignore"):
            more = np.where(self._prices > 0.0, np.floor(left / self._prices + _WHOLE), np.inf)
        return box.within(box.least + np.maximum(more, 0.0))

    def _survive(self, counts: FloatArray) -> bool:
        """Add rows of spare machines that counts miss; returns whether there are any."""
        if not any(requirement.spare for requirement in self._requirements):
            return False
        lacking = [miss for miss in self._missed(counts) if miss.lost.any()]
        added = 0
        for miss in lacking[:_AT_ONCE]:
            row = self._judge.tangent(miss.standing)
            if row.need <= 0.0:
                continue
            spare = miss.requirement.spare
            if float((row.worth / (row.need + spare * row.worth)) @ counts) < 1.0 - _CLOSE:
                self._covering.add(row._replace(spare=spare))
                added += 1
        return added > 0

    def _boundary(self, miss: "Miss", inside: FloatArray) -> None:
        """Add the row that is tangent where a requirement begins to hold on the way inside.

        By Newton's method: jobs are convex along the way, so that no step goes beyond.
        """
        outside = miss.left
        way, at, row = inside - outside, 0.0, None
        for _ in range(_NEWTON):
            counts = outside + at * way
            standing = self._judge.standing(miss.requirement, counts)
            if self._judge.holds(miss.requirement, standing):
                break
            row = self._judge.tangent(standing)
            gained = float(row.worth @ way)
            step = (row.need - float(row.worth @ counts)) / gained if gained > 0.0 else 1.0
            if math.isinf(standing.figure):
                # The row says where this set could just be served; jobs are without end there.
                self._covering.add(row._replace(lost=miss.lost))
                step = 1.02 * max(step, 0.0) + 1e-3 * (1.0 - at)
            elif step <= 1e-6 * (1.0 - at):
                break
            at = min(at + max(step, 1e-9), 1.0)
        if row is not None:
            self._covering.add(row._replace(lost=miss.lost))

    # Fleets

    def _offer(self, counts: FloatArray) -> bool:
        """Take whole counts for the best fleet if they meet all and cost less."""
        cost = float(self._prices @ counts)
        if cost >= self._cost * (1.0 - 1e-12):
            return False
        missed = self._missed(counts)
        for miss in missed[:_AT_ONCE]:
            row = self._judge.tangent(miss.standing)
            self._covering.add(row._replace(lost=miss.lost))
            if miss.lost.any() and row.need > 0.0:
                self._covering.add(row._replace(spare=miss.requirement.spare))
        if not missed:
            self._best, self._cost = counts, cost
        return not missed

    def _round_up(self, counts: FloatArray) -> None:
        """Look for a fleet near broken counts: whole machines are added until all rows hold."""
        whole = np.clip(np.floor(counts + _WHOLE), self._whole.least, self._whole.most)
        each = np.eye(whole.size)
        for _ in range(_MOST_ADDED):
            short = self._covering.short(whole[None])[0]
            if not short.any():
                if self._offer(whole):
                    break
                if (
                    float(self._prices @ whole) >= self._cost
                    or not self._covering.short(whole[None]).any()
                ):
                    break
                continue
            more = np.minimum(whole + each, self._whole.most)
            gained = (short - self._covering.short(more)).sum(axis=1)
            with np.errstate(divide="ignore", invalid="ignore"):
                value = np.where(gained > 0.0, gained / self._prices, -1.0)
            if not value.max() > 0.0:
                break
            whole = more[int(np.argmax(value))]

    def _propose(self, gap: float) -> None:
        """Offer the cheapest whole counts that satisfy all rows, until they meet all."""
        for _ in range(_PROPOSALS):
            counts = self._covering.whole(self._affordable(self._whole), gap / 3.0)
            if counts is None or float(self._prices @ counts) >= self._cost:
                break
            if self._offer(counts):
                break
        while self._exchange():
            pass

    def _exchange(self) -> bool:
        """Look for a cheaper fleet: up to two machines less and one more; returns whether found."""
        found = neighbours(self._best, self._prices, self._whole)
        for _ in range(_CHECKS):
            found = found[~self._covering.short(found).any(axis=1)]
            if not found.shape[0]:
                return False
            if self._offer(found[0]):
                return True
            found = found[1:]
        return False

    # The tree

    def _branch(self, root: Relaxed, gap: float) -> list[Leaf]:
        count = itertools.count()
        open_nodes = [(root.bound, next(count), self._whole)]
        leaves: list[Leaf] = []
        for _ in range(_NODES):
            if not open_nodes or open_nodes[0][0] >= self._cost * (1.0 - gap):
                break
            rows = len(self._covering.rows)
            if rows > _MOST_ROWS or rows * self._prices.size > _MOST_ENTRIES:
                break
            _, _, box = heapq.heappop(open_nodes)
            found, split = self._explored(box)
            if split is None or found.bound >= self._cost * (1.0 - gap):
                leaves.append(Leaf(self._affordable(box), found.bound, found.multipliers))
                continue
            for part in self._parts(box, split):
                heapq.heappush(open_nodes, (found.bound, next(count), part))
        for _, _, box in open_nodes:
            found = self._relaxed(box)
            leaves.append(Leaf(self._affordable(box), found.bound, found.multipliers))
        return leaves

    def _parts(self, box: Box, split: "Split") -> Iterable[Box]:
        yield box.below(split.type, split.most)
        yield box.above(split.type, split.most + 1.0)

    def _explored(self, box: Box) -> tuple[Relaxed, "Split | None"]:
        """The relaxation of a node with the rows that it misses, and how to divide the node."""
        for last in range(_ROUNDS_BELOW + 1):
            found = self._relaxed(box)
            if found.bound >= self._cost:
                return found, None
            broken = np.abs(found.counts - np.round(found.counts))
            if broken.max() > _WHOLE and last >= _ROUNDS_BELOW:
                break
            if broken.max() <= _WHOLE:
                counts = np.round(found.counts)
                if self._offer(counts):
                    return found, None
            if self._survive(found.counts):
                continue
            missed = self._missed(found.counts, self._affordable(box))
            for miss in missed[:_AT_ONCE]:
                if math.isinf(miss.figure):  # its row may just hold here
                    self._boundary(miss, self._inside)
                else:
                    row = self._judge.tangent(miss.standing)
                    self._covering.add(row._replace(lost=miss.lost))
            if not missed:
                break
        if (split := self._presence(box, found.counts)) is not None:
            return found, split
        if broken.max() > _WHOLE:
            k = int(np.argmax(broken))
            return found, Split(k, math.floor(found.counts[k]))
        return found, self._split_loose(box, np.round(found.counts))

    def _presence(self, box: Box, counts: FloatArray) -> "Split | None":
        """Division by whether there are machines whose loss counts miss, as the box leaves open.

        Where there are for sure, the chord of what is lost is exact.
        """
        if not any(requirement.spare for requirement in self._requirements):
            return None
        for miss in self._missed(counts):
            for k in np.flatnonzero(miss.lost).tolist():
                if box.least[k] < miss.lost[k] <= box.most[k]:
                    return Split(k, miss.lost[k] - 1.0)
        return None

    def _split_loose(self, box: Box, counts: FloatArray) -> "Split | None":
        """Division of a node whose relaxation is whole, and still meets not all."""
        box = self._affordable(box)
        for k in np.argsort(box.least - box.most, kind="stable").tolist():
            if box.least[k] < box.most[k]:
                inside = counts[k] < box.most[k]
                return Split(k, counts[k] if inside else counts[k] - 1.0)
        return None
