"""Records of the cheapest fleet for a target, frozen, with their JSON."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, final

from isocline.model.fleet import RoutingSystem
from isocline.model.fleet_problem import FleetProblem
from isocline.record import Record, data_frame
from isocline.simulate.common.estimate import Estimate
from isocline.theory.routing.cheapest_fleet.target import Target
from isocline.theory.routing.plan_records import Plan

if TYPE_CHECKING:
    import pandas as pd

# A percentile over the mean where sizes are exponential and all jobs have one speed: ln 20, ln 100.
OVER_MEAN = {"mean": 1.0, "p95": math.log(20.0), "p99": math.log(100.0)}


class MachineCount(NamedTuple):
    """Machines of one type."""

    type: str
    machines: int
    price: float  # money per hour, of one
    cost: float  # money per hour, of all


@final
class Condition(NamedTuple):
    """The fleet in one demand, whole or without the machines whose loss is worst."""

    demand: str
    lost: tuple[str, ...]  # types of the machines that are gone, one for each
    target: Target  # that must hold then
    rate: float  # jobs/s that come
    load: float  # arrivals over the most that could be served
    least_latency: float | None  # s, mean: no policy has less; None where only a load was asked for
    simulated: Estimate | None  # of the target's latency, s; None where it was not simulated

    def to_dict(self) -> dict[str, Any]:
        """An entry of `conditions` in the JSON."""
        found = self.simulated
        return {
            **self._asdict(),
            "lost": list(self.lost),
            "target": str(self.target),
            "simulated": None if found is None else found.value,
            "simulated_ci95": None if found is None else [found.low, found.high],
        }


class FrontierPoint(NamedTuple):
    """The cheapest fleet for another limit, in the fluid limit."""

    limit: float  # s of mean latency, or a load
    cost: float  # money per hour
    lower_bound: float
    counts: tuple[int, ...]  # of each type


@final
@dataclass(frozen=True, eq=False)
class CheapestFleet(Record):
    """The cheapest fleet that was found for a target, and the least that any such fleet costs.

    `lower_bound` holds for all fleets of these types and for every routing policy. `cost` is of a
    fleet that holds the target in simulations of `policy`, or in the fluid limit where `policy` is
    None; `fluid_cost` is of the fleet that would do if there were no fluctuation, and None where
    the target is a percentile, which the fluid limit does not have.
    """

    kind: ClassVar[str] = "fleet"
    picture: ClassVar[str] = "plots.fleet:fleet_picture"
    words: ClassVar[str] = "tables.fleet:fleet_report"
    target: Target
    spare: int  # machines that may be lost
    spare_target: Target | None  # that holds then; None without spare machines
    machines: tuple[MachineCount, ...]  # of each type, of which there may be none
    cost: float  # money per hour
    lower_bound: float
    fluid_cost: float | None
    conditions: tuple[Condition, ...]
    frontier: tuple[FrontierPoint, ...]  # by rising limit
    policy: str | None
    plan: Plan  # of the demand that comes nearest to its limit
    problem: FleetProblem = field(repr=False)

    @property
    def share(self) -> float:
        """What the lower bound is of the cost: no fleet is cheaper than this share of it."""
        return min(self.lower_bound / self.cost, 1.0) if self.cost > 0.0 else 1.0

    @property
    def base_limit(self) -> float:
        """The limit of the frontier that belongs to the target: of a percentile, about."""
        return self.target.limit / OVER_MEAN.get(self.target.quantity, 1.0)

    @property
    def counts(self) -> tuple[int, ...]:
        """Machines of each type."""
        return tuple(row.machines for row in self.machines)

    @property
    def systems(self) -> tuple[RoutingSystem, ...]:
        """The fleet as a routing system, for each demand."""
        return tuple(self.problem.system(self.counts, each) for each in self.problem.demands)

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of `isocline fleet --json`."""
        return {
            "kind": self.kind,
            "status": "found",
            "name": self.problem.name,
            "target": str(self.target),
            "spare": self.spare,
            "spare_target": None if self.spare_target is None else str(self.spare_target),
            "cost": self.cost,
            "lower_bound": self.lower_bound,
            "share": self.share,
            "fluid_cost": self.fluid_cost,
            "policy": self.policy,
            "machines": [row._asdict() for row in self.machines],
            "conditions": [row.to_dict() for row in self.conditions],
            "frontier": [
                {**row._asdict(), "counts": named_counts(self.problem, row.counts)}
                for row in self.frontier
            ],
            "plan": self.plan.to_dict(),
        }

    def to_frame(self) -> "pd.DataFrame":
        """One row for each machine type.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        rows = [row._asdict() for row in self.machines]
        return data_frame(rows, MachineCount._fields).set_index("type")


def named_counts(problem: FleetProblem, counts: Sequence[int]) -> dict[str, int]:
    """Counts by type, without types of which there are none."""
    return {each.name: n for each, n in zip(problem.types, counts, strict=True) if n}
