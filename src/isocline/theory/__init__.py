"""Theory of both papers on the level flow: optima, capacity, certificates and advice.

`plan(system)` answers everything at once; `fluid_optimum(system)` is the bare optimum of Eq. (1).
Read `planning` first, then `routing/` (GMSR paper) or `scheduling/` (near-data paper).
Names are imported on first use, as a plan or a simulation needs few of them.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from isocline.theory.routing.convergence import Convergence as Convergence
    from isocline.theory.routing.convergence import convergence as convergence
    from isocline.theory.routing.convergence_phases import Approach as Approach
    from isocline.theory.routing.convergence_phases import approach as approach
    from isocline.theory.routing.convergence_phases import time_to as time_to
    from isocline.theory.routing.equilibrium import FluidOptimum as FluidOptimum
    from isocline.theory.routing.equilibrium import fluid_optimum as fluid_optimum
    from isocline.theory.routing.equilibrium import plan as plan
    from isocline.theory.routing.latency_routing import LatencyEquilibrium as LatencyEquilibrium
    from isocline.theory.routing.latency_routing import latency_equilibrium as latency_equilibrium
    from isocline.theory.routing.latency_routing import price_of_anarchy as price_of_anarchy
    from isocline.theory.routing.missing_edges import MissingEdge as MissingEdge
    from isocline.theory.routing.plan_records import BackendPlan as BackendPlan
    from isocline.theory.routing.plan_records import Bottleneck as Bottleneck
    from isocline.theory.routing.plan_records import EdgeSaving as EdgeSaving
    from isocline.theory.routing.plan_records import Plan as Plan
    from isocline.theory.routing.plan_records import SpeedSaving as SpeedSaving
    from isocline.theory.routing.plan_records import SplitRate as SplitRate
    from isocline.theory.routing.plan_records import TierPlan as TierPlan
    from isocline.theory.routing.structure import Structure as Structure
    from isocline.theory.routing.structure import structure as structure
    from isocline.theory.routing.structure import structure_of as structure_of
    from isocline.theory.routing.work_flow import Copy as Copy
    from isocline.theory.routing.work_flow import WorkFlow as WorkFlow
    from isocline.theory.routing.work_flow import best_copies as best_copies
    from isocline.theory.routing.work_flow import work_flow as work_flow

_HOMES = {
    "routing.convergence": (
        "Convergence",
        "convergence",
    ),
    "routing.convergence_phases": (
        "Approach",
        "approach",
        "time_to",
    ),
    "routing.equilibrium": (
        "FluidOptimum",
        "fluid_optimum",
        "plan",
    ),
    "routing.latency_routing": (
        "LatencyEquilibrium",
        "latency_equilibrium",
        "price_of_anarchy",
    ),
    "routing.missing_edges": ("MissingEdge",),
    "routing.plan_records": (
        "BackendPlan",
        "Bottleneck",
        "EdgeSaving",
        "Plan",
        "SpeedSaving",
        "SplitRate",
        "TierPlan",
    ),
    "routing.structure": (
        "Structure",
        "structure",
        "structure_of",
    ),
    "routing.work_flow": (
        "Copy",
        "WorkFlow",
        "best_copies",
        "work_flow",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
