"""A core from a system file's model."""

import numpy as np

from isocline.draws import stream
from isocline.errors import InfeasibleError
from isocline.gateway.core.core import Core
from isocline.gateway.core.curve_feedback import CurveFeedback
from isocline.gateway.core.request_cost import Measure
from isocline.gateway.core.rules import Rules
from isocline.learn import Learner
from isocline.model.fleet import RoutingSystem
from isocline.policies.routing.contract import FloatArray, RoutingPolicy, Setting
from isocline.theory.routing.equilibrium import fluid_optimum


def core_of(
    system: RoutingSystem,
    policy: RoutingPolicy,
    *,
    seed: int = 0,
    rules: Rules | None = None,
    learner: Learner | None = None,
    measure: Measure | None = None,
    lag: float = 0.0,
    planned: bool = True,
) -> Core:
    """The core that routes for all frontends of a system.

    Args:
        system: Its rates are needed only by policies that follow a plan.
        policy: What chooses.
        seed: Of the policy's draws; give each process another.
        rules: How requests are held, backends ejected, and so on.
        learner: Learns the curves, which replace the system's; None: the system's are used.
        measure: Of the work that a learner counts; None: each request is one.
        lag: Seconds that a report is old when a request sent on it arrives, for `gmsr_ahead`.
        planned: Its rates and curves are known, so that a plan may be made.

    Raises:
        PolicyError: The policy follows a plan, and there is none, as the load is infeasible or not
            known.
    """
    row = np.arange(len(system.backends), dtype=np.int32)
    split = _split(system) if planned else None
    setting = Setting(system.graph, system.curves, row, split, lag)
    lessons = CurveFeedback(learner, measure) if learner else None
    return Core(setting, policy, stream(seed), rules, lessons)


def _split(system: RoutingSystem) -> FloatArray | None:
    """The plan's, if there is one: a router runs at any load."""
    try:
        return fluid_optimum(system).split
    except InfeasibleError:
        return None
