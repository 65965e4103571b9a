"""Theory of routing on the level flow: equilibrium, prices, missing edges.

`plan(system)` answers everything at once; `fluid_optimum(system)` is the bare optimum of Eq. (1).
"""

from isocline.theory.approach import Approach as Approach
from isocline.theory.approach import approach as approach
from isocline.theory.approach import time_to as time_to
from isocline.theory.convergence import Convergence as Convergence
from isocline.theory.convergence import convergence as convergence
from isocline.theory.equilibrium import FluidOptimum as FluidOptimum
from isocline.theory.equilibrium import fluid_optimum as fluid_optimum
from isocline.theory.equilibrium import plan as plan
from isocline.theory.latency_routing import LatencyEquilibrium as LatencyEquilibrium
from isocline.theory.latency_routing import latency_equilibrium as latency_equilibrium
from isocline.theory.latency_routing import price_of_anarchy as price_of_anarchy
from isocline.theory.missing_edges import MissingEdge as MissingEdge
from isocline.theory.records import BackendPlan as BackendPlan
from isocline.theory.records import Bottleneck as Bottleneck
from isocline.theory.records import EdgeSaving as EdgeSaving
from isocline.theory.records import Plan as Plan
from isocline.theory.records import SpeedSaving as SpeedSaving
from isocline.theory.records import SplitRate as SplitRate
from isocline.theory.records import TierPlan as TierPlan
from isocline.theory.structure import Structure as Structure
from isocline.theory.structure import structure as structure
from isocline.theory.structure import structure_of as structure_of
