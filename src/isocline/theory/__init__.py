"""Theory of both papers on the level flow: optima, capacity, certificates and advice.

`plan(system)` answers everything at once; `fluid_optimum(system)` is the bare optimum of Eq. (1).
Read `planning` first, then `routing/` (GMSR paper) or `scheduling/` (near-data paper).
"""

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
