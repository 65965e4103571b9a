"""One step of the fluid: N(t) to N(t + h), by implicit stages that are level flows.

An implicit Euler step asks for an N+ with N+ = N + h (a - l(N+)) in which every frontend sends only
to backends of the greatest marginal rate *at N+*. That is a level flow with prices 1/l'(N+), so
sliding along an equal-gradient surface, tiers that split and tiers that merge need no event code:
the flow lands on the surface, exactly, where the dynamics keep the system on one.

Euler is of first order. Two such stages with gamma = 1 - 1/sqrt(2) make the stiffly accurate,
L-stable method of second order of Alexander (SIAM J. Numer. Anal. 14(6), 1977):

    N1 = N + gamma h f(N1),    N+ = N + (1 - gamma) h f(N1) + gamma h f(N+)

whose last stage is again such a step, so that N+ is on the surface, too.
"""

from typing import final

import numpy as np
import numpy.typing as npt

from isocline.flow import FlowStatus, LevelFlow, LevelFlowProblem, Prices, solve
from isocline.flow.sink_levels import levels_at, step_workloads
from isocline.flow.tiers import SAME
from isocline.model.curves import Curve
from isocline.model.graph import CompatibilityGraph
from isocline.theory.routing.direction import Direction, best_edges, direction_at

FloatArray = npt.NDArray[np.float64]
MaskArray = npt.NDArray[np.bool_]

GAMMA = 1.0 - np.sqrt(0.5)


@final
class Stepper:
    """Steps of one system with constant parameters; keeps the last solution of each stage.

    A state is (B,) jobs. `secant_step` has one whose states hold more.

    Attributes:
        same: Marginal rates within this factor (less 1) are tied.
        noise: Errors of this share of the jobs, a few roundings, count as none.
        rest: Share of all arrivals that V is at most at rest. The distance to the equilibrium is
            V / kappa at most (Proposition 3).
    """

    same = SAME
    noise = 8.0 * np.finfo(np.float64).eps
    rest = 1e-9

    def __init__(
        self, graph: CompatibilityGraph, rates: FloatArray, curves: tuple[Curve, ...]
    ) -> None:
        self.graph = graph
        self.rates = rates
        self.curves = curves
        self.prices = Prices.of_curves_in_parts(curves)
        self.solves = 0
        self._last: dict[int, LevelFlow] = {}

    def begin(self, jobs: FloatArray, served: FloatArray | None) -> FloatArray:  # noqa: ARG002
        """State with these jobs: nothing else is remembered."""
        return jobs

    def jobs(self, state: FloatArray) -> FloatArray:
        """(B,) N."""
        return state

    def served(self, state: FloatArray) -> FloatArray | None:  # noqa: ARG002
        """Means of what was served: none."""
        return None

    def gain(self, state: FloatArray) -> FloatArray:
        """(B,) marginal rates, jobs/s for one more job."""
        return np.array([float(c.marginal(n)) for c, n in zip(self.curves, state, strict=True)])

    def best(self, state: FloatArray) -> MaskArray:
        """(E,) edges of the greatest marginal rate."""
        return best_edges(self.graph, levels_at(self.prices.parts, state))

    def direction(self, state: FloatArray) -> Direction:
        """Flows at a state."""
        return direction_at(self.prices.parts, self.graph, self.rates, state)

    def speed(self, state: FloatArray, here: Direction) -> float:  # noqa: ARG002
        """What is 0 at rest alone, jobs/s: V."""
        return here.lyapunov

    def longest(self, state: FloatArray) -> float:  # noqa: ARG002
        """The longest step from a state, s: any."""
        return np.inf

    def step(self, workloads: FloatArray, length: float, stage: int = 0) -> FloatArray | None:
        """(B,) jobs after `length` s; None if the step is too long for a backend that drains.

        Args:
            workloads: (B,) jobs.
            length: s.
            stage: A number for steps of this length, whose last solutions are near this one.
        """
        first = self.euler(workloads, GAMMA * length, 2 * stage)
        begun = workloads + (1.0 / GAMMA - 1.0) * (first - workloads)
        if (begun < 0.0).any():
            # The stages go on from N + (1 - gamma) h f(N1). Of a backend that has all but drained
            # nothing is lost by stopping at 0; of any other the step is too long.
            lost = np.minimum(begun, 0.0).sum()
            if -lost > 1e-9 * workloads.sum():
                return None
            begun = np.maximum(begun, 0.0)
        return self.euler(begun, GAMMA * length, 2 * stage + 1)

    def euler(self, start: FloatArray, length: float, stage: int = 0) -> FloatArray:
        """(B,) the N with N = start + length (a - l(N)), a the inflow that GMSR makes at N."""
        prices = self.prices.after(start, length)
        problem = LevelFlowProblem(self.graph, self.rates, prices)
        solved = solve(problem, self._last.get(stage))
        assert solved.status is FlowStatus.OPTIMAL  # a step takes in any inflow
        self._last[stage] = solved
        self.solves += 1
        level = np.minimum(solved.price**-0.5, prices.row[:, 1])
        return step_workloads(prices.parts, solved.inflow, level)
