"""Isocline plans, simulates and runs load balancing on a bipartite compatibility graph.

    import isocline

    system = isocline.load("examples/mixed_fleet.yaml")
    print(isocline.plan(system).mean_latency)
    print(isocline.simulate(system, policies=["gmsr", "jsq"], seed=1).to_frame())

Everything public is listed in `__all__` and imported when it is first used, so that importing the
package costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from isocline.dispatch.scheduler import Scheduler as Scheduler
    from isocline.errors import InfeasibleError as InfeasibleError
    from isocline.errors import IsoclineError as IsoclineError
    from isocline.learn import Learner as Learner
    from isocline.learn import Learning as Learning
    from isocline.learn import Prior as Prior
    from isocline.model.cluster import BlockTrace as BlockTrace
    from isocline.model.cluster import Cluster as Cluster
    from isocline.model.cluster import ExplicitTasks as ExplicitTasks
    from isocline.model.cluster import HotSpot as HotSpot
    from isocline.model.cluster import Rates as Rates
    from isocline.model.cluster import SampledTasks as SampledTasks
    from isocline.model.curves import Curve as Curve
    from isocline.model.curves import ExponentialCurve as ExponentialCurve
    from isocline.model.curves import HyperbolicCurve as HyperbolicCurve
    from isocline.model.curves import KneeCurve as KneeCurve
    from isocline.model.curves import PoolCurve as PoolCurve
    from isocline.model.curves import ServersCurve as ServersCurve
    from isocline.model.curves import TableCurve as TableCurve
    from isocline.model.fleet import Backend as Backend
    from isocline.model.fleet import Frontend as Frontend
    from isocline.model.fleet import RoutingSystem as RoutingSystem
    from isocline.model.fleet import Work as Work
    from isocline.model.graph import CompatibilityGraph as CompatibilityGraph
    from isocline.model.systemfile import load as load
    from isocline.model.systemfile import notes as notes
    from isocline.model.traffic import Arrivals as Arrivals
    from isocline.model.traffic import PiecewiseArrivals as PiecewiseArrivals
    from isocline.model.traffic import PoissonArrivals as PoissonArrivals
    from isocline.model.traffic import Sizes as Sizes
    from isocline.model.traffic import Trace as Trace
    from isocline.model.traffic import TraceArrivals as TraceArrivals
    from isocline.model.traffic import bursty_trace as bursty_trace
    from isocline.model.traffic import read_trace as read_trace
    from isocline.model.traffic.swim import read_swim as read_swim
    from isocline.policies.contract import RoutingPolicy as RoutingPolicy
    from isocline.policies.scheduling.contract import SchedulingPolicy as SchedulingPolicy
    from isocline.simulate.cluster.compare import simulate_cluster as simulate_cluster
    from isocline.simulate.cluster.results import ClusterComparison as ClusterComparison
    from isocline.simulate.cluster.results import ClusterSweep as ClusterSweep
    from isocline.simulate.cluster.results import JobLatency as JobLatency
    from isocline.simulate.cluster.results import SchedulingResult as SchedulingResult
    from isocline.simulate.delay import Delay as Delay
    from isocline.simulate.either_kind import simulate as simulate
    from isocline.simulate.failure import Failure as Failure
    from isocline.simulate.paths import Paths as Paths
    from isocline.simulate.paths import paths as paths
    from isocline.simulate.results import Comparison as Comparison
    from isocline.simulate.results import Estimate as Estimate
    from isocline.simulate.results import PolicyResult as PolicyResult
    from isocline.simulate.results import Sweep as Sweep
    from isocline.simulate.slowdown import Slowdown as Slowdown
    from isocline.theory.approach import Approach as Approach
    from isocline.theory.approach import approach as approach
    from isocline.theory.approach import time_to as time_to
    from isocline.theory.convergence import Convergence as Convergence
    from isocline.theory.convergence import convergence as convergence
    from isocline.theory.fluid_path import FluidPath as FluidPath
    from isocline.theory.inclusion import fluid as fluid
    from isocline.theory.latency_routing import LatencyEquilibrium as LatencyEquilibrium
    from isocline.theory.latency_routing import latency_equilibrium as latency_equilibrium
    from isocline.theory.latency_routing import price_of_anarchy as price_of_anarchy
    from isocline.theory.near_data_records import NearDataPlan as NearDataPlan
    from isocline.theory.planning import plan as plan
    from isocline.theory.records import Plan as Plan
    from isocline.theory.structure import Structure as Structure
    from isocline.theory.structure import structure as structure
    from isocline.theory.structure import structure_of as structure_of

_HOMES = {
    "isocline.dispatch.scheduler": ("Scheduler",),
    "isocline.errors": ("InfeasibleError", "IsoclineError"),
    "isocline.learn": ("Learner", "Learning", "Prior"),
    "isocline.model.cluster": (
        "BlockTrace",
        "Cluster",
        "ExplicitTasks",
        "HotSpot",
        "Rates",
        "SampledTasks",
    ),
    "isocline.model.curves": (
        "Curve",
        "ExponentialCurve",
        "HyperbolicCurve",
        "KneeCurve",
        "PoolCurve",
        "ServersCurve",
        "TableCurve",
    ),
    "isocline.model.fleet": ("Backend", "Frontend", "RoutingSystem", "Work"),
    "isocline.model.graph": ("CompatibilityGraph",),
    "isocline.model.systemfile": ("load", "notes"),
    "isocline.model.traffic": (
        "Arrivals",
        "PiecewiseArrivals",
        "PoissonArrivals",
        "Sizes",
        "Trace",
        "TraceArrivals",
        "bursty_trace",
        "read_trace",
    ),
    "isocline.model.traffic.swim": ("read_swim",),
    "isocline.policies.contract": ("RoutingPolicy",),
    "isocline.policies.scheduling.contract": ("SchedulingPolicy",),
    "isocline.simulate.cluster.compare": ("simulate_cluster",),
    "isocline.simulate.cluster.results": (
        "ClusterComparison",
        "ClusterSweep",
        "JobLatency",
        "SchedulingResult",
    ),
    "isocline.simulate.paths": ("Paths", "paths"),
    "isocline.simulate.delay": ("Delay",),
    "isocline.simulate.failure": ("Failure",),
    "isocline.simulate.results": ("Comparison", "Estimate", "PolicyResult", "Sweep"),
    "isocline.simulate.slowdown": ("Slowdown",),
    "isocline.theory.approach": ("Approach", "approach", "time_to"),
    "isocline.theory.convergence": ("Convergence", "convergence"),
    "isocline.theory.fluid_path": ("FluidPath",),
    "isocline.theory.inclusion": ("fluid",),
    "isocline.theory.latency_routing": (
        "LatencyEquilibrium",
        "latency_equilibrium",
        "price_of_anarchy",
    ),
    "isocline.theory.near_data_records": ("NearDataPlan",),
    "isocline.theory.planning": ("plan",),
    "isocline.theory.records": ("Plan",),
    "isocline.theory.structure": ("Structure", "structure", "structure_of"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

# `simulate` is a package of this one, and can be called.
__all__ = ["__version__", "simulate"]
__all__ += list(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("isocline")
    if name == "simulate":
        return importlib.import_module("isocline.simulate")
    if name in _HOME_OF:
        return getattr(importlib.import_module(_HOME_OF[name]), name)
    raise AttributeError(f"module 'isocline' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
