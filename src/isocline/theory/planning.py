"""`isocline.plan`: the optimum of either kind of system."""

from typing import Any, overload

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
