"""Level flow: spread supplies so that every source sees one price, and none lower.

`solve(LevelFlowProblem(graph, supply, Prices.of_curves(curves)))` answers with a `LevelFlow`, which
carries its certificate, or with the set of sources that proves infeasibility. `capacity_scale` says
how far the load could grow.

Read `problem`, `prices` and `result`, then `solve`, which calls `sweeps` (a start), `decompose`
(the exact method, by `maxflow`) and `certificate`.
"""

from isocline.flow.capacity import CapacityScale as CapacityScale
from isocline.flow.capacity import capacity_scale as capacity_scale
from isocline.flow.capacity import neighbourhood as neighbourhood
from isocline.flow.certificate import Certificate as Certificate
from isocline.flow.certificate import certify as certify
from isocline.flow.prices import Prices as Prices
from isocline.flow.problem import LevelFlowProblem as LevelFlowProblem
from isocline.flow.result import FlowStatus as FlowStatus
from isocline.flow.result import LevelFlow as LevelFlow
from isocline.flow.solve import solve as solve
from isocline.flow.tiers import Tier as Tier
from isocline.flow.tiers import tiers as tiers
