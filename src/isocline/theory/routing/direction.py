"""Direction of the fluid: the right-hand derivative of the differential inclusion.

Under GMSR a frontend sends to its backends of the greatest marginal rate (GMSR paper, Eq. (2)).
Where several tie, only one split can last: an instant later the tied backends whose marginal rate
has fallen least are preferred. The marginal rate of b falls at the speed -l''_b (a_b - l_b), so
the split is a level flow on the best-backend graph with that price, linear in the inflow a_b. This
is what sliding along an equal-gradient surface means; tiers about to split do so here.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from isocline.errors import UsageError
from isocline.flow import LevelFlowProblem, Prices, solve
from isocline.flow.curve_levels import CurveParts
from isocline.flow.sink_levels import states_at
from isocline.flow.tiers import SAME
from isocline.model.fleet import RoutingSystem
from isocline.model.graph import CompatibilityGraph

FloatArray = npt.NDArray[np.float64]
MaskArray = npt.NDArray[np.bool_]

# A knee curve is straight at N = 0, or bent without limit where it is blunter than a hyperbola.
# Then l'' does not say who falls behind first. So up to the curve's own measure of jobs,
# peak/l'(0), -l'' counts as at least this share of l'(0)/measure, and at most one over that times.
_STRAIGHT = 1e-6


@final
@dataclass(frozen=True, eq=False)
class Direction:
    """Flows at one state N."""

    inflow: FloatArray  # (B,) jobs/s into each backend
    flow: FloatArray  # (E,) jobs/s on each edge: lambda_f x_fb
    velocity: FloatArray  # (B,) dN/dt, jobs/s

    @property
    def lyapunov(self) -> float:
        """V(N, x) = sum_b |dN_b/dt|, jobs/s (GMSR paper, Lemma 5)."""
        return float(np.abs(self.velocity).sum())


def direction(system: RoutingSystem, workloads: npt.ArrayLike, same: float = SAME) -> Direction:
    """Compute the velocity of the fluid at a state, and the routing that makes it.

    Args:
        system: The system; its curves must be strictly concave (Assumption 1).
        workloads: (B,) jobs, at least 0.
        same: Marginal rates within this factor (less 1) are tied.

    Raises:
        UsageError: A curve is not strictly concave, or workloads are not B numbers of at least 0.
    """
    jobs = np.array(workloads, dtype=np.float64)
    if jobs.shape != (system.graph.sinks,) or not (np.isfinite(jobs) & (jobs >= 0.0)).all():
        raise UsageError(
            f"workloads {jobs}: give {system.graph.sinks} finite numbers of at least 0, "
            "one for each backend"
        )
    parts = Prices.of_curves_in_parts(system.curves).parts
    return direction_at(parts, system.graph, system.rates, jobs, same)


def best_edges(graph: CompatibilityGraph, level: FloatArray, same: float = SAME) -> MaskArray:
    """(E,) the edges of the best-backend graph (GMSR paper, Definition 2).

    Args:
        graph: The compatibility graph.
        level: (B,) square roots of the marginal rates.
        same: Marginal rates within this factor (less 1) are tied.
    """
    seen = level[graph.sink]
    most = np.maximum.reduceat(seen, graph.first[:-1])
    return np.asarray(seen * np.sqrt(1.0 + same) >= most[graph.source])


def direction_at(
    parts: CurveParts,
    graph: CompatibilityGraph,
    rates: FloatArray,
    workloads: FloatArray,
    same: float = SAME,
) -> Direction:
    """`direction` of a system given by its parts, for callers that need it often."""
    level, served, bend = states_at(parts, workloads)
    best = np.flatnonzero(best_edges(graph, level, same))
    peak, empty, _ = parts.row[parts.first[:-1]].T
    low = workloads <= peak / empty**2
    unit = (empty**4 / peak)[low]
    bend[low] = np.clip(bend[low], _STRAIGHT * unit, unit / _STRAIGHT)
    used, sink = np.unique(graph.sink[best], return_inverse=True)
    tied = CompatibilityGraph.from_edges(
        graph.sources, used.size, np.column_stack((graph.source[best], sink))
    )
    # Prices -l''(a - l), all raised by the same amount so that none is negative.
    raised = bend[used] * served[used]
    offset = raised.max() - raised
    solved = solve(LevelFlowProblem(tied, rates, Prices.linear(1.0 / bend[used], offset)))
    inflow, flow = np.zeros(workloads.size), np.zeros(graph.edges)
    inflow[used], flow[best] = solved.inflow, solved.flow
    return Direction(inflow, flow, inflow - served)
