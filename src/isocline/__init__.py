"""Isocline plans, simulates and runs load balancing on a bipartite compatibility graph.

    system = isocline.load("examples/mixed_fleet.yaml")
    print(isocline.plan(system).mean_latency)
    print(isocline.simulate(system, policies=["gmsr", "jsq"], seed=1).to_frame())

Systems
    load                 read a system file: a RoutingSystem, or a Cluster
    load_fleet           read machines to choose from: a FleetProblem of MachineType and Demand
    notes                what was changed in a system as it was read
    changed              a system with more machines, or fewer, or other arrival rates
    of routing: CompatibilityGraph, Frontend, Backend, Work, and service curves: Curve,
        HyperbolicCurve, ExponentialCurve, KneeCurve, TableCurve, ServersCurve, PoolCurve
    of servers near data: Rates, SampledTasks, ExplicitTasks, HotSpot
Traffic
    read_trace           requests from a file or data frame: a Trace
    bursty_trace         a generated Trace
    read_swim            jobs of a MapReduce cluster: a BlockTrace
    Arrivals, PoissonArrivals, PiecewiseArrivals, TraceArrivals, Sizes
Measurements
    measured_curve       the service curve of MeasuredPoints: a MeasuredCurve
    measure              the same of a live server, by a sweep: a SweepResult
    measured_curves      those of benchmark results: vLLM, GuideLLM, AIPerf, InferenceX, ...
    audit_log            another router's access log in, its gap to the optimum out: an Audit
Plans and the fluid model
    plan                 the best steady state, certified: a Plan, or a NearDataPlan
    cheapest_fleet       machines that hold a target, with a lower bound: a CheapestFleet
    structure            tiers and TierGraph at given workloads: a Structure
    structure_of         the same from marginal rates alone
    latency_equilibrium  routing by expected latency: a LatencyEquilibrium
    price_of_anarchy     jobs that it holds over the least possible
    hindsight_bound      least delay of given arrivals, the future known: a HindsightBound
    fluid                workloads over time from a start: a FluidPath
    convergence          constants of a system: a Convergence
    approach             a path beside these constants: an Approach
    time_to              time after which a path stays near the optimum
Simulation
    simulate             policies on one system: a Comparison of PolicyResults
    simulate_cluster     the same of a cluster: ClusterComparison, SchedulingResult, JobLatency
    replications_on      has an executor run the replications of these
    paths                paths of the scaled system: Paths
    Estimate, Sweep, ClusterSweep, Delay, Failure, Slowdown, RoutingPolicy, SchedulingPolicy
Running
    Scheduler            runs tasks near their data, on processes, Ray or Dask
    Learner              completions in, service curves out: Learning, Prior
    errors: InfeasibleError, IsoclineError

`help(isocline.plan)`, say, has the details, and docs/api.md every signature.
"""

import importlib
import sys
from typing import TYPE_CHECKING, Any

from isocline.help_page import HelpPage

if TYPE_CHECKING:
    from isocline.audit import Audit as Audit
    from isocline.audit import audit_log as audit_log
    from isocline.dispatch.scheduler import Scheduler as Scheduler
    from isocline.errors import InfeasibleError as InfeasibleError
    from isocline.errors import IsoclineError as IsoclineError
    from isocline.learn import Learner as Learner
    from isocline.learn import Learning as Learning
    from isocline.learn import Prior as Prior
    from isocline.measurements.curve import MeasuredCurve as MeasuredCurve
    from isocline.measurements.curve import measured_curve as measured_curve
    from isocline.measurements.points import MeasuredPoint as MeasuredPoint
    from isocline.measurements.reading import measured_curves as measured_curves
    from isocline.model.changes import changed as changed
    from isocline.model.cluster import BlockTrace as BlockTrace
    from isocline.model.cluster import Cluster as Cluster
    from isocline.model.cluster import ExplicitTasks as ExplicitTasks
    from isocline.model.cluster import HotSpot as HotSpot
    from isocline.model.cluster import Rates as Rates
    from isocline.model.cluster import SampledTasks as SampledTasks
    from isocline.model.cluster.swim import read_swim as read_swim
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
    from isocline.model.fleet_problem import Demand as Demand
    from isocline.model.fleet_problem import FleetProblem as FleetProblem
    from isocline.model.fleet_problem import MachineType as MachineType
    from isocline.model.graph import CompatibilityGraph as CompatibilityGraph
    from isocline.model.systemfile import load as load
    from isocline.model.systemfile import notes as notes
    from isocline.model.systemfile.fleet_file import load_fleet as load_fleet
    from isocline.model.traffic import Arrivals as Arrivals
    from isocline.model.traffic import PiecewiseArrivals as PiecewiseArrivals
    from isocline.model.traffic import PoissonArrivals as PoissonArrivals
    from isocline.model.traffic import Sizes as Sizes
    from isocline.model.traffic import Trace as Trace
    from isocline.model.traffic import TraceArrivals as TraceArrivals
    from isocline.model.traffic import bursty_trace as bursty_trace
    from isocline.model.traffic import read_trace as read_trace
    from isocline.policies.routing.contract import RoutingPolicy as RoutingPolicy
    from isocline.policies.scheduling.contract import SchedulingPolicy as SchedulingPolicy
    from isocline.simulate.common.estimate import Estimate as Estimate
    from isocline.simulate.common.executor import replications_on as replications_on
    from isocline.simulate.either_kind import simulate as simulate
    from isocline.simulate.routing.cheapest_fleet import cheapest_fleet as cheapest_fleet
    from isocline.simulate.routing.delay import Delay as Delay
    from isocline.simulate.routing.failure import Failure as Failure
    from isocline.simulate.routing.fleet_results import CheapestFleet as CheapestFleet
    from isocline.simulate.routing.paths import Paths as Paths
    from isocline.simulate.routing.paths import paths as paths
    from isocline.simulate.routing.results import Comparison as Comparison
    from isocline.simulate.routing.results import PolicyResult as PolicyResult
    from isocline.simulate.routing.results import Sweep as Sweep
    from isocline.simulate.routing.slowdown import Slowdown as Slowdown
    from isocline.simulate.scheduling.compare import simulate_cluster as simulate_cluster
    from isocline.simulate.scheduling.results import ClusterComparison as ClusterComparison
    from isocline.simulate.scheduling.results import ClusterSweep as ClusterSweep
    from isocline.simulate.scheduling.results import JobLatency as JobLatency
    from isocline.simulate.scheduling.results import SchedulingResult as SchedulingResult
    from isocline.sweep.measure import measure as measure
    from isocline.sweep.result import SweepResult as SweepResult
    from isocline.theory.planning import plan as plan
    from isocline.theory.routing.convergence import Convergence as Convergence
    from isocline.theory.routing.convergence import convergence as convergence
    from isocline.theory.routing.convergence_phases import Approach as Approach
    from isocline.theory.routing.convergence_phases import approach as approach
    from isocline.theory.routing.convergence_phases import time_to as time_to
    from isocline.theory.routing.fluid_path import FluidPath as FluidPath
    from isocline.theory.routing.hindsight.bound import HindsightBound as HindsightBound
    from isocline.theory.routing.hindsight.bound import hindsight_bound as hindsight_bound
    from isocline.theory.routing.inclusion import fluid as fluid
    from isocline.theory.routing.latency_routing import LatencyEquilibrium as LatencyEquilibrium
    from isocline.theory.routing.latency_routing import latency_equilibrium as latency_equilibrium
    from isocline.theory.routing.latency_routing import price_of_anarchy as price_of_anarchy
    from isocline.theory.routing.plan_records import Plan as Plan
    from isocline.theory.routing.structure import Structure as Structure
    from isocline.theory.routing.structure import structure as structure
    from isocline.theory.routing.structure import structure_of as structure_of
    from isocline.theory.scheduling.plan_records import NearDataPlan as NearDataPlan

_HOMES = {
    "isocline.audit": ("Audit", "audit_log"),
    "isocline.dispatch.scheduler": ("Scheduler",),
    "isocline.errors": ("InfeasibleError", "IsoclineError"),
    "isocline.learn": ("Learner", "Learning", "Prior"),
    "isocline.model.changes": ("changed",),
    "isocline.measurements.curve": ("MeasuredCurve", "measured_curve"),
    "isocline.measurements.points": ("MeasuredPoint",),
    "isocline.measurements.reading": ("measured_curves",),
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
    "isocline.model.fleet_problem": ("Demand", "FleetProblem", "MachineType"),
    "isocline.model.graph": ("CompatibilityGraph",),
    "isocline.model.systemfile": ("load", "notes"),
    "isocline.model.systemfile.fleet_file": ("load_fleet",),
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
    "isocline.model.cluster.swim": ("read_swim",),
    "isocline.policies.routing.contract": ("RoutingPolicy",),
    "isocline.policies.scheduling.contract": ("SchedulingPolicy",),
    "isocline.simulate.scheduling.compare": ("simulate_cluster",),
    "isocline.simulate.scheduling.results": (
        "ClusterComparison",
        "ClusterSweep",
        "JobLatency",
        "SchedulingResult",
    ),
    "isocline.simulate.common.executor": ("replications_on",),
    "isocline.simulate.routing.paths": ("Paths", "paths"),
    "isocline.simulate.routing.cheapest_fleet": ("cheapest_fleet",),
    "isocline.simulate.routing.fleet_results": ("CheapestFleet",),
    "isocline.simulate.routing.delay": ("Delay",),
    "isocline.simulate.routing.failure": ("Failure",),
    "isocline.simulate.routing.results": ("Comparison", "Estimate", "PolicyResult", "Sweep"),
    "isocline.simulate.routing.slowdown": ("Slowdown",),
    "isocline.theory.routing.convergence_phases": ("Approach", "approach", "time_to"),
    "isocline.theory.routing.convergence": ("Convergence", "convergence"),
    "isocline.theory.routing.fluid_path": ("FluidPath",),
    "isocline.theory.routing.hindsight.bound": ("HindsightBound", "hindsight_bound"),
    "isocline.theory.routing.inclusion": ("fluid",),
    "isocline.theory.routing.latency_routing": (
        "LatencyEquilibrium",
        "latency_equilibrium",
        "price_of_anarchy",
    ),
    "isocline.theory.scheduling.plan_records": ("NearDataPlan",),
    "isocline.sweep.measure": ("measure",),
    "isocline.sweep.result": ("SweepResult",),
    "isocline.theory.planning": ("plan",),
    "isocline.theory.routing.plan_records": ("Plan",),
    "isocline.theory.routing.structure": ("Structure", "structure", "structure_of"),
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
        from isocline.extras import extras_named

        with extras_named(lambda: f"isocline.{name}"):
            return getattr(importlib.import_module(_HOME_OF[name]), name)
    raise AttributeError(f"module 'isocline' has no attribute {name!r}")


sys.modules[__name__].__class__ = HelpPage
