"""Requirements on a fleet, and the rows of the covering program that they come to.

A row says: whatever the routing, a fleet that meets the requirement has sum_k worth_k n_k >= need.
Worth and need follow from costs (F,) of jobs at the frontends, *any* costs, by the curves' own
functions: no solver needs to be trusted. With offers p_k = max_f costs_f / w_fk, what a machine
earns by a mean job,

    mean latency <= T    worth_k = max_N (p_k l_k(N) - N),  need = sum_f costs_f rate_f - T rate
    load <= r            worth_k = r p_k sup l_k,           need = sum_f costs_f rate_f
    p99 latency <= T     worth_k as of the mean,            need = sum_f costs_f rate_f
                                          - (1 - W) max costs . rate - 0.99 T rate

**Percentiles.** Of the jobs, a share q (0.99 for p99) has a latency of T or less; take exactly
that share of them, and leave the others out. On average q rate T of them or fewer are in the
system, by Little's law. Backends share their service alike among their jobs, and l(N) / N falls, so
that those which hold N' of the chosen jobs serve them at l(N') or less. The chosen ones have at
least the work W of the shortest jobs of that share, all frontends together. So no policy has a
lower percentile than a fluid that serves a share W of the work, where from it likes, with q rate T
jobs in the system; the row is its weak duality. (Exponential sizes: W = 0.944 for p99, 0.80 for
p95.)
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, final

import numpy as np
import numpy.typing as npt

from isocline.errors import UsageError
from isocline.model.curves import Curve
from isocline.model.fleet_problem import FleetProblem
from isocline.model.traffic import DeterministicSizes, ExponentialSizes, Sizes
from isocline.model.traffic.sizes import HyperexponentialSizes, LognormalSizes
from isocline.theory.routing.cheapest_fleet.flow_at_counts import Demanded, Flows
from isocline.theory.routing.cheapest_fleet.target import Target

FloatArray = npt.NDArray[np.float64]

_ROUNDING = 1e-7  # relative: as near as the linear program comes to a row


class Row(NamedTuple):
    """A fleet has sum_k worth_k left_k >= need, left being n_k - min(n_k, lost_k) machines.

    With `spare` it has that after the loss of so many machines, whichever they are (`covering`).
    """

    worth: FloatArray  # (K,) >= 0
    need: float
    lost: FloatArray  # (K,) whole numbers
    demand: int  # the demand and the target that it is of,
    target: Target
    costs: FloatArray  # (F,) and the costs that prove it
    spare: int = 0  # `lost` is 0 if this is not


class Standing(NamedTuple):
    """Where a fleet stands in one demand."""

    figure: float  # mean latency, s, or load; inf where the demand cannot be served
    demand: int
    limits: Target  # the target, or where the demand cannot be served that it can
    costs: FloatArray  # (F,) of jobs, whose row is tangent to the figure at this fleet


@final
@dataclass(frozen=True)
class Requirement:
    """A target that must hold in one demand, with up to `spare` machines lost."""

    demand: int
    target: Target
    spare: int = 0

    @property
    def latency(self) -> bool:
        """Whether it bounds a latency, and not only a load."""
        return self.target.quantity != "load"


@final
class Judge:
    """Checks fleets against requirements in the fluid limit, and makes rows of what they miss.

    A percentile is checked as the relaxation of it that the module describes.
    """

    def __init__(self, problem: FleetProblem) -> None:
        self.problem = problem
        self._flows = Flows(problem)
        self._demands = [Demanded.of(problem, d) for d in range(len(problem.demands))]
        self._standing = lru_cache(maxsize=100_000)(self._found_standing)

    def standing(self, requirement: Requirement, left: FloatArray) -> Standing:
        """Where the machines (K,) that are left stand."""
        return self._standing(
            requirement.demand, requirement.target, np.maximum(left, 0.0).tobytes()
        )

    def holds(self, requirement: Requirement, standing: Standing) -> bool:
        """Whether the figure of a standing is within the target."""
        return standing.figure <= requirement.target.limit * (1.0 + _ROUNDING)

    def tangent(self, standing: Standing) -> Row:
        """The row that is tangent to the figure where a fleet stands."""
        return self.row(standing.demand, standing.limits, standing.costs)

    def _found_standing(self, demand: int, target: Target, left: bytes) -> Standing:
        counts = np.frombuffer(left)
        flow = self._demands[demand]
        if target.quantity == "load":
            found = self._flows.load(flow, counts)
            return Standing(found.jobs, demand, target, found.costs)
        if not target.is_percentile:
            found = self._flows.least_jobs(flow, counts)
            overloaded = math.isinf(found.jobs)
            limits = Target("load", 1.0) if overloaded else target
            rate = self.problem.demands[demand].rate
            return Standing(found.jobs / rate, demand, limits, found.costs)
        return self._relaxed_percentile(demand, target, counts)

    def _relaxed_percentile(self, demand: int, target: Target, counts: FloatArray) -> Standing:
        flow = self._demands[demand]
        whole = self._flows.load(flow, counts)
        full = Target("load", 1.0)
        if whole.jobs > 1.0:
            return Standing(math.inf, demand, full, whole.costs)
        part = least_work(self.problem.sizes, target.share)
        if part <= 0.0:
            return Standing(0.0, demand, full, whole.costs)
        found = self._flows.least_jobs(Demanded(part * flow.supply, flow.work), counts)
        if math.isinf(found.jobs):
            return Standing(math.inf, demand, full, found.costs)
        row = self.row(demand, target, found.costs)
        # The jobs that these costs prove, over those allowed, times the limit.
        allowed = target.share * target.limit * self.problem.demands[demand].rate
        proven = row.need + allowed - float(row.worth @ counts)
        return Standing(target.limit * proven / allowed, demand, target, found.costs)

    def row(self, demand: int, target: Target, costs: FloatArray) -> Row:
        """The row of a target that any costs (F,) >= 0 of jobs give, by the curves alone."""
        problem, flow = self.problem, self._demands[demand]
        graph = problem.graph
        offers = np.zeros(graph.sinks)
        np.maximum.at(offers, graph.sink, costs[graph.source] / flow.work)
        brought = math.fsum((costs * flow.supply).tolist())
        none = np.zeros(graph.sinks)
        if target.quantity == "load":
            top = np.array([curve.supremum for curve in problem.curves])
            return Row(target.limit * offers * top, brought, none, demand, target, costs)
        with np.errstate(all="ignore"):  # of offers near the capacity
            worth = np.array(list(map(earnings, problem.curves, offers.tolist())))
        rate = problem.demands[demand].rate
        if not target.is_percentile:
            return Row(worth, brought - target.limit * rate, none, demand, target, costs)
        left_out = 1.0 - least_work(problem.sizes, target.share)
        dearest = float(costs.max()) * math.fsum(flow.supply.tolist()) * left_out
        need = brought - dearest - target.share * target.limit * rate
        return Row(worth, need, none, demand, target, costs)


def earnings(curve: Curve, offer: float) -> float:
    """The most that a machine earns, max_N (offer l(N) - N), in jobs."""
    if offer <= 0.0:
        return 0.0
    jobs = float(curve.workload_at(1.0 / offer))
    return max(offer * float(curve.rate(jobs)) - jobs, 0.0)


def least_work(sizes: Sizes, share: float) -> float:
    """Share of all work that the shortest jobs of this share bring; 0 of sizes of a user's own."""
    from scipy.special import ndtr, ndtri  # noqa: PLC0415 - not for all that import this

    if isinstance(sizes, ExponentialSizes):
        return 1.0 - (1.0 - share) * (1.0 - math.log(1.0 - share))
    if isinstance(sizes, DeterministicSizes):
        return share
    if isinstance(sizes, LognormalSizes):
        return float(ndtr(ndtri(share) - math.sqrt(math.log1p(sizes.cv**2))))
    if isinstance(sizes, HyperexponentialSizes):
        return _of_two(sizes.cv, share)
    return 0.0


def _of_two(cv: float, share: float) -> float:
    """`least_work` of a mixture of two exponentials with balanced means, by bisection."""
    short = (1.0 + math.sqrt((cv**2 - 1.0) / (cv**2 + 1.0))) / 2.0
    parts = [(p, 0.5 / p) for p in (short, 1.0 - short) if p > 0.0]

    def longer(x: float) -> float:
        return math.fsum(p * math.exp(-x / mean) for p, mean in parts)

    low, high = 0.0, max(mean for _, mean in parts) * 50.0
    for _ in range(100):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if longer(middle) > 1.0 - share else (low, middle)
    # From the lower end, so that what is claimed is no more than there is.
    return math.fsum(
        p * mean * (1.0 - math.exp(-low / mean) * (1.0 + low / mean)) for p, mean in parts
    )


def require_like_jobs(problem: FleetProblem, target: Target) -> None:
    """Raise UsageError where a percentile is asked of frontends with work of their own."""
    if target.is_percentile and not problem.has_like_jobs:
        raise UsageError(
            f"target {target}: percentiles are simulated with jobs of one mean work, and frontends "
            "have work of their own; give a target as mean<=2s or load<=0.8, or remove their work"
        )
