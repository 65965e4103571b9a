"""Construction of a core from a system file's model."""

import numpy as np

from isocline.errors import InfeasibleError
from isocline.gateway.core.core import Core
from isocline.gateway.core.curve_feedback import CurveFeedback
from isocline.gateway.core.request_cost import Measure
from isocline.learn import Learner
from isocline.model.fleet import RoutingSystem
from isocline.model.serving_settings import Rules
from isocline.policies.routing.contract import FloatArray, RoutingPolicy, Setting
from isocline.randomness.draws import stream
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
    """Build the core that routes for all frontends of a system.

    Args:
        system: System; its rates are needed only by policies that follow a plan.
        policy: Routing policy.
        seed: Seed of the policy's draws; each process needs its own.
        rules: Limits on holding, ejection, retries and so on.
        learner: Learner whose curves replace the system's; None: the system's are used.
        measure: Measure of the work that a learner counts; None: each request is one.
        lag: Age of a report when a request sent on it arrives, s, for `gmsr_ahead`.
        planned: Whether rates and curves are known, so that a plan can be made.

    Raises:
        PolicyError: The policy follows a plan, and there is none, as the load is infeasible or not
            known.
    """
    row = np.arange(len(system.backends), dtype=np.int32)
    split = _split(system) if planned else None
    setting = Setting(system.graph, system.curves, row, split, lag)
    feedback = CurveFeedback(learner, measure) if learner else None
    return Core(setting, policy, stream(seed), rules, feedback)


def _split(system: RoutingSystem) -> FloatArray | None:
    """Return the plan's split, if there is one: a router runs at any load."""
    try:
        return fluid_optimum(system).split
    except InfeasibleError:
        return None
