"""Core of a worker."""

import secrets

from isocline.gateway.core.actions import Send
from isocline.gateway.core.build import core_of
from isocline.gateway.core.core import Core
from isocline.gateway.core.request_cost import Measure
from isocline.gateway.serve.config import Serving
from isocline.learn import Learner
from isocline.policies.parse import parse


def make_core(
    serving: Serving, learner: Learner | None = None, measure: Measure | None = None
) -> Core:
    """Make a core, with draws of its own.

    Raises:
        PolicyError: There is no such policy, or it follows a plan and there is none.
    """
    return core_of(
        serving.system,
        parse(serving.policy),
        seed=secrets.randbits(32),
        rules=serving.rules,
        learner=learner,
        measure=measure,
        planned=serving.planned,
    )


def warm(serving: Serving) -> None:
    """Compile everything before the first request: a policy's function takes up to 1 s."""
    learner = Learner(len(serving.system.backends)) if serving.learning else None
    rehearse(make_core(serving, learner))


def rehearse(core: Core) -> None:
    """Compile everything that a core calls; the core is of no use afterwards.

    Raises:
        PolicyError: The policy fails at its first request.
    """
    core.explain(0)
    action = core.arrived(0.0, 0)
    if isinstance(action, Send):  # a policy may hold
        core.finished(action.request, 1e-3)
    core.tick(1e9)
    if core.policy_error is not None:
        raise core.policy_error
    if core.feedback is not None:
        core.feedback.learner.rehearse()
