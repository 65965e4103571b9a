"""`isocline fleet`: the cheapest fleet that holds a target in simulation, with a lower bound.

The fluid program (`isocline.theory.routing.cheapest_fleet`) knows no fluctuation, and no
percentiles. So a fleet is found for a mean latency that is so much stricter, in the fluid limit,
that the target holds in simulation: within its 95 % interval, in each demand, and without the
machines whose loss is worst. How much stricter is found by bisection over simulated fleets.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import final

import numpy as np
import numpy.typing as npt

from isocline.arguments import NOT_NEGATIVE, Range, at_least, checked
from isocline.errors import UnreachableError, UsageError
from isocline.model.fleet_problem import FleetProblem
from isocline.policies.parse import Function
from isocline.policies.routing.contract import RoutingPolicy
from isocline.simulate.common.executor import Progress, silent
from isocline.simulate.routing.compare import simulate
from isocline.simulate.routing.fleet_results import (
    OVER_MEAN,
    CheapestFleet,
    Condition,
    FrontierPoint,
    MachineCount,
)
from isocline.theory.routing.cheapest_fleet.requirements import (
    Judge,
    Requirement,
    require_like_jobs,
)
from isocline.theory.routing.cheapest_fleet.search import (
    FluidFleet,
    Search,
    losses,
    neighbours,
    whole_box,
)
from isocline.theory.routing.cheapest_fleet.target import Target
from isocline.theory.routing.equilibrium import plan

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_TRIES = 12  # fleets that are simulated
_EXCHANGES = 8  # further fleets that are simulated, of those near the best in cost
_NEAR = 200  # fleets among which these are
_APART = 1.02  # ratio of two strictnesses between which no other is tried
_STRICTER = 0.9  # at least, where a fleet misses the target
_OTHER = 0.07  # logarithm of a ratio of limits
_WIDE = (0.5, 3.0)  # limits of the frontier, over that of the target

# All ways to lose so many are tried: of ten types in the fleet, 24 310 ways to lose eight.
_SPARE = Range("a whole number from 0 to 8", lambda value: 0 <= value <= 8)


@checked(
    spare=_SPARE,
    gap=NOT_NEGATIVE,
    replications=at_least(2),
    seed=at_least(0),
    points=at_least(0),
)
def cheapest_fleet(
    problem: FleetProblem,
    target: str | Target,
    *,
    spare: int = 0,
    spare_target: str | Target | None = None,
    policy: str | RoutingPolicy | Function | None = "gmsr_secant",
    gap: float = 0.01,
    replications: int = 10,
    seed: int = 0,
    points: int = 9,
    progress: Progress = silent,
) -> CheapestFleet:
    """The cheapest machines that hold a target, and the least that any fleet of them costs.

    Args:
        problem: Machine types, who may use which, demands.
        target: "mean<=2s", "p95<=800ms", "p99<=5s" or "load<=0.8": holds in every demand.
        spare: Machines that may be lost, whichever they are; at most 8.
        spare_target: Target that holds after such a loss; by default `target`. "load<=1" asks that
            arrivals can still be served.
        policy: Routing policy by which latencies are simulated; None: in the fluid limit alone.
        gap: The search in the fluid limit ends within this share of its bound.
        replications: Of each simulation, at least 2.
        seed: Key of all randomness.
        points: Other limits for which the cheapest fleet is found, in the fluid limit.
        progress: Called after each simulation with how many there were, and how many there may be.

    Raises:
        UnreachableError: No fleet of these types holds the target; names the least that can be
            reached.
        UsageError: A target is none, or a percentile is asked of frontends whose jobs have work of
            their own, or without simulation.
    """
    wanted = Target.parse(target) if isinstance(target, str) else target
    after = _spare_target(wanted, spare, spare_target)
    requirements = [
        Requirement(d, each, lost)
        for d in range(len(problem.demands))
        for each, lost in ((wanted, 0), (after, spare))
        if each is not None
    ]
    asked = {requirement.target for requirement in requirements}
    for each in asked:
        require_like_jobs(problem, each)
        if each.is_percentile and policy is None:
            raise UsageError(
                f"target {each}: the fluid limit has no percentiles; have it simulated (without "
                "--fluid-only, with a policy), or give a target as mean<=2s"
            )
    simulated = (
        policy is not None and problem.has_like_jobs and any(r.latency for r in requirements)
    )
    judge = Judge(problem)
    bound = Search(judge, requirements).run(gap)
    counts = bound.counts
    simulation = None
    if simulated:
        assert policy is not None  # for type checkers
        simulation = Simulation(judge, policy, replications, seed, progress)

        def search(strict: float) -> FluidFleet:
            stricter = _stricter(requirements, strict)
            return bound if stricter == requirements else Search(judge, stricter, bound).run(gap)

        held = _held(requirements, simulation, search)
        counts = _exchanged(judge, requirements, simulation, held.counts, bound.lower_bound)
    shown, cost = counts.astype(np.float64), problem.cost(counts)
    conditions = tuple(_condition(judge, r, shown, simulation) for r in requirements)
    tightest = max(range(len(requirements)), key=lambda i: _tightness(conditions[i]))
    demand = problem.demands[requirements[tightest].demand]
    return CheapestFleet(
        target=wanted,
        spare=spare,
        spare_target=after,
        machines=tuple(
            MachineCount(each.name, int(n), each.price, int(n) * each.price)
            for each, n in zip(problem.types, counts, strict=True)
        ),
        cost=cost,
        lower_bound=min(bound.lower_bound, cost),
        fluid_cost=None if any(each.is_percentile for each in asked) else bound.cost,
        conditions=conditions,
        frontier=_frontier(judge, requirements, wanted, gap, points),
        policy=None if simulation is None else simulation.name,
        plan=plan(problem.system(counts, demand)),
        problem=problem,
    )


def _spare_target(wanted: Target, spare: int, given: str | Target | None) -> Target | None:
    if spare == 0:
        if given is not None:
            raise UsageError(f"spare_target {given}: no machine is spare; give spare=1, too")
        return None
    if given is None:
        return wanted
    return Target.parse(given, "spare_target") if isinstance(given, str) else given


@final
class Simulation:
    """Simulated latencies of fleets by one policy; each fleet is simulated once."""

    def __init__(
        self,
        judge: Judge,
        policy: str | RoutingPolicy | Function,
        replications: int,
        seed: int,
        progress: Progress,
    ) -> None:
        self._judge, self._policy = judge, policy
        self._replications, self._seed, self._progress = replications, seed, progress
        self._known: dict[tuple[Requirement, bytes], Condition] = {}
        self.name = str(policy)

    def condition(self, requirement: Requirement, counts: FloatArray) -> Condition:
        """A fleet in the demand of a requirement, without the machines whose loss is worst."""
        key = requirement, counts.tobytes()
        if key not in self._known:
            fluid = _condition(self._judge, requirement, counts, None)
            self._known[key] = self._simulated(fluid, requirement, counts)
            self._progress(len(self._known), max(len(self._known), _TRIES))
        return self._known[key]

    def excess(self, requirements: Sequence[Requirement], counts: FloatArray) -> float:
        """The greatest upper end of an interval, over its limit; inf where a run is unstable."""
        most = 0.0
        for requirement in requirements:
            if requirement.latency:
                found = self.condition(requirement, counts).simulated
                high = math.inf if found is None else found.high
                most = max(most, high / requirement.target.limit)
        return most

    def _simulated(
        self, fluid: Condition, requirement: Requirement, counts: FloatArray
    ) -> Condition:
        if not requirement.latency:
            return fluid
        problem = self._judge.problem
        names = [each.name for each in problem.types]
        left = counts.astype(np.int64)
        for lost in fluid.lost:
            left[names.index(lost)] -= 1
        system = problem.system(left, problem.demands[requirement.demand])
        quantity = requirement.target.quantity
        run = simulate(
            system,
            [self._policy],
            replications=self._replications,
            seed=self._seed,
            percentiles=quantity != "mean",
        )
        (policy,) = run.policies
        self.name = policy.policy
        estimate = policy.mean_latency if quantity == "mean" else getattr(policy, quantity)
        return fluid._replace(simulated=estimate)


def _condition(
    judge: Judge, requirement: Requirement, counts: FloatArray, simulation: Simulation | None
) -> Condition:
    """Where a fleet stands when the machines are lost whose loss is worst."""
    if simulation is not None:
        return simulation.condition(requirement, counts)
    problem = judge.problem
    fluid = Target("mean" if requirement.latency else "load", requirement.target.limit)
    asked = replace(requirement, target=fluid)
    worst = max(
        losses(counts, requirement.spare),
        key=lambda lost: judge.standing(asked, counts - lost).figure,
    )
    left = counts - worst
    loaded = judge.standing(replace(asked, target=Target("load", 1.0)), left).figure
    demand = problem.demands[requirement.demand]
    gone = tuple(
        each.name
        for each, n in zip(problem.types, worst.astype(np.int64).tolist(), strict=True)
        for _ in range(n)
    )
    latency = judge.standing(asked, left).figure if requirement.latency else None
    return Condition(demand.name, gone, requirement.target, demand.rate, loaded, latency, None)


def _tightness(condition: Condition) -> float:
    """How near it comes to its limit, of those with nothing lost."""
    if condition.lost:
        return -1.0
    if condition.simulated is not None:
        return condition.simulated.value / condition.target.limit
    figure = condition.load if condition.least_latency is None else condition.least_latency
    return figure / condition.target.limit


def _held(
    requirements: Sequence[Requirement],
    simulation: Simulation,
    search: Callable[[float], FluidFleet],
) -> FluidFleet:
    """The cheapest fleet found that holds all in simulation.

    Args:
        requirements: What must hold.
        simulation: Of fleets.
        search: The cheapest fleet in the fluid limit, by the strictness of its mean latencies.
    """
    # The fluid has the least latency: a mean is never asked to be above the target.
    by_mean = any(r.target.quantity == "mean" for r in requirements)
    loosest = 1.0 if by_mean else max(OVER_MEAN.values())
    best: FluidFleet | None = None
    nearest = math.inf
    low, high, strict = 0.0, math.inf, 1.0  # strict enough, or out of reach; and not enough
    for _ in range(_TRIES):
        try:
            fleet = search(strict)
        except UnreachableError:
            if math.isinf(high) and (best is not None or strict >= loosest):
                raise
            low = max(low, strict)
            strict = min(strict * 1.5, loosest)
        else:
            excess = simulation.excess(requirements, fleet.counts.astype(np.float64))
            nearest = min(nearest, excess)
            if excess <= 1.0:
                best = fleet if best is None or fleet.cost < best.cost else best
                low = max(low, strict)
                strict = min(max(strict / max(excess, 0.5), strict * _APART), loosest)
            else:
                high = min(high, strict)
                strict *= min(1.0 / min(excess, 4.0), _STRICTER)
        if high <= low * _APART or (low >= loosest and best is not None):
            break
        if low > 0.0 and math.isfinite(high):
            strict = math.sqrt(low * high)
    if best is None:
        raise UnreachableError(
            f"target {requirements[0].target}: {simulation.name} misses it in simulation with "
            f"every fleet that was tried; the best came within {nearest:.4g} times the limit. Give "
            "a target above that, or faster types"
        )
    return best


def _exchanged(
    judge: Judge,
    requirements: Sequence[Requirement],
    simulation: Simulation,
    counts: IntArray,
    bound: float,
) -> IntArray:
    """A cheaper fleet that holds all in simulation too, by exchanges of machines; or the same.

    The fluid limit tells which fleets are fast on average, and not which have short tails: those
    that might hold the target are tried in the order of their mean latencies.
    """
    problem = judge.problem
    search, box = Search(judge, requirements), whole_box(problem)
    best, tried = counts.astype(np.float64), 0
    refused: set[bytes] = set()
    while tried < _EXCHANGES:
        cheaper = neighbours(best, problem.prices, box)
        cheaper = cheaper[cheaper @ problem.prices >= bound * (1.0 - 1e-9)][-_NEAR:]
        left = [one for one in cheaper if one.tobytes() not in refused and search.holds(one)]
        if not left:
            break
        first = min(left, key=lambda one: _mean_over_limit(judge, requirements, one))
        tried += 1
        if simulation.excess(requirements, first) <= 1.0:
            best = first
        else:
            refused.add(first.tobytes())
    return best.astype(np.int64)


def _mean_over_limit(
    judge: Judge, requirements: Sequence[Requirement], counts: FloatArray
) -> float:
    """The greatest mean latency of a whole fleet in the fluid limit, over what it stands for."""
    return max(
        (
            judge.standing(asked, counts).figure / asked.target.limit
            for asked in _stricter(requirements, 1.0)
            if asked.latency and not asked.spare
        ),
        default=0.0,
    )


def _stricter(requirements: Sequence[Requirement], strict: float) -> list[Requirement]:
    """Requirements of the fluid: mean latencies, times `strict`; loads as they are."""
    return [
        replace(r, target=Target("mean", strict * r.target.limit / OVER_MEAN[r.target.quantity]))
        if r.latency
        else r
        for r in requirements
    ]


def _differs(factor: float) -> bool:
    """Whether a limit is another than that of the target to a reader."""
    return abs(math.log(factor)) > _OTHER


def _frontier(
    judge: Judge,
    requirements: Sequence[Requirement],
    wanted: Target,
    gap: float,
    points: int,
) -> tuple[FrontierPoint, ...]:
    """Cheapest fleets for limits around that of the target, in the fluid limit."""
    if points == 0:
        return ()
    base = _stricter(requirements, 1.0)
    limit = base[0].target.limit
    most = min(_WIDE[1], 1.0 / limit) if wanted.quantity == "load" else _WIDE[1]
    found: list[FrontierPoint] = []
    near: FluidFleet | None = None
    others = [one for one in np.geomspace(_WIDE[0], most, points).tolist() if _differs(one)]
    for factor in sorted([*others, 1.0]):
        scaled = [
            r
            if r.target.quantity != wanted.quantity
            and not (r.latency and wanted.quantity != "load")
            else replace(r, target=replace(r.target, limit=factor * r.target.limit))
            for r in base
        ]
        try:
            fleet = Search(judge, scaled, near).run(gap)
        except UnreachableError:
            continue
        near = fleet
        counts = tuple(fleet.counts.tolist())
        found.append(FrontierPoint(factor * limit, fleet.cost, fleet.lower_bound, counts))
    return tuple(found)
