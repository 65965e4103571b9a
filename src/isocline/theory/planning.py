"""`isocline.plan`: the optimum of either kind of system, and that of one that is changed."""

from dataclasses import dataclass
from typing import Any, final, overload

from isocline.model.changes import Changes
from isocline.model.cluster import Cluster
from isocline.model.fleet import RoutingSystem
from isocline.theory.routing import equilibrium
from isocline.theory.routing.plan_records import Plan
from isocline.theory.scheduling.heavy_traffic import Clock
from isocline.theory.scheduling.near_data_plan import near_data_plan
from isocline.theory.scheduling.plan_records import NearDataPlan


@overload
def plan(system: RoutingSystem, *, edges_to_try: int = ...) -> Plan: ...
@overload
def plan(
    system: Cluster, *, clock: Clock = ..., replicas_to_try: int = ..., seed: int = ...
) -> NearDataPlan: ...
def plan(system: RoutingSystem | Cluster, **options: Any) -> Plan | NearDataPlan:
    """The best possible steady state of a system, its certificate, and what would improve it.

    Args:
        system: Of kind routing, for `isocline.theory.routing.equilibrium.plan`, or near-data, for
            `isocline.theory.scheduling.near_data_plan.near_data_plan`.
        options: Those of the function for its kind: `edges_to_try`, or `clock`,
            `replicas_to_try`, `seed`.

    Raises:
        UsageError: See the two functions.
    """
    if isinstance(system, Cluster):
        return near_data_plan(system, **options)
    return equilibrium.plan(system, **options)


@final
@dataclass(frozen=True)
class PlanChange:
    """The plans of a system before and after a change, of one kind."""

    changes: Changes
    before: Plan | NearDataPlan
    after: Plan | NearDataPlan

    @property
    def system_name(self) -> str:
        """Name of the system."""
        return (
            self.after.cluster if isinstance(self.after, NearDataPlan) else self.after.system
        ).name

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of `isocline plan --add ...`: both documents and their differences."""
        return {
            "kind": self.after.kind,
            "status": self.after.status,
            "changes": self.changes.to_dict(),
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
        }
