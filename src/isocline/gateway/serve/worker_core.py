"""Making of a worker's core, with the compilation of all that it calls."""

import math
import secrets
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from isocline.gateway.core.actions import Send
from isocline.gateway.core.build import core_of
from isocline.gateway.core.core import Core
from isocline.gateway.core.model_catalogue import KnownModel
from isocline.gateway.core.request_cost import Measure
from isocline.gateway.core.residency import ResidencySetting
from isocline.gateway.serve.config import Serving
from isocline.gateway.serve.controls import Controls, apply
from isocline.learn import Learner
from isocline.model.residency import Model, model_of
from isocline.policies.parse import parse
from isocline.user_code import is_own


def make_core(
    serving: Serving, learner: Learner | None = None, measure: Measure | None = None
) -> Core:
    """Make a core with its own random numbers, and apply the controls of its backends.

    Raises:
        PolicyError: The policy is unknown, needs a plan where there is none, or cannot use a
            weight.
    """
    core = core_of(
        serving.system,
        parse(serving.policy),
        seed=secrets.randbits(32),
        rules=serving.rules,
        learner=learner,
        measure=measure,
        unplanned=serving.unplanned,
        cache_ranks={b: source.ranks for b, source in serving.cache_events.items()},
        cache_homes=serving.proxy.homes,
        residency=residency_of(serving),
        zones=serving.zones,
    )
    names = [backend.name for backend in serving.system.backends]
    apply(serving.controls, core, names, -math.inf)
    for backend, name in enumerate(names):
        if serving.controls.of(name).draining:
            core.backend_drain(backend, -math.inf)
    core.take_notices()  # notices of drains, already announced when they began
    return core


def residency_of(serving: Serving) -> ResidencySetting | None:
    """Facts of the backends' models; None if every backend holds all of them."""
    rule, system = serving.residency, serving.system
    if rule is None:
        return None
    entries = [
        KnownModel(it.size, it.load, partial(_is_of, system.models, it)) for it in system.models
    ]
    return ResidencySetting(
        entries,
        [backend.memory for backend in system.backends],
        [backend.resident for backend in system.backends],
        by_call=rule.load is not None,
        unloads=rule.unload is not None,
    )


def _is_of(models: Sequence[Model], entry: Model, name: str) -> bool:
    return model_of(models, name) is entry


def idle_weights(serving: Serving, core: Core) -> str:
    """Note that weights of backends have no effect under the policy; empty if they have one."""
    names = [it.name for it in serving.system.backends]
    weighted = [name for name in names if serving.controls.of(name).weight != 1.0]
    if not weighted or core.policy_runtime.looks_at_curves:
        return ""
    return (
        f"weights ({', '.join(weighted)}) change nothing: policy {serving.policy} looks at no "
        "curve; weighted_least_connections and gmsr do"
    )


def has_own_policy(serving: Serving) -> bool:
    """Whether the policy is a user's."""
    return is_own(type(parse(serving.policy)))


def warm(serving: Serving) -> None:
    """Compile everything before the first request; a policy takes up to 1 s."""
    learner = Learner(len(serving.system.backends)) if serving.learning else None
    # Without drains, as they may leave no backend to choose.
    serving = replace(serving, controls=Controls(serving.controls.given))
    rehearse(make_core(serving, learner))


def rehearse(core: Core) -> None:
    """Compile everything that a core calls; the core must not be used afterwards.

    Raises:
        PolicyError: The policy fails at its first request.
    """
    core.explain(0)
    action = core.arrived(0.0, 0)
    if isinstance(action, Send):  # a policy may also hold the job
        core.finished(action.request, 1e-3)
    core.tick(1e9)
    if core.policy_error is not None:
        raise core.policy_error
    if core.feedback is not None:
        core.feedback.learner.rehearse()
