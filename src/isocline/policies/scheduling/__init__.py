"""Scheduling policies: where a task waits, and what an idle server takes. One per file."""

from isocline.policies.parse import is_own, named, own_class, require_policy
from isocline.policies.scheduling.balanced_pandas import BalancedPandas
from isocline.policies.scheduling.contract import SchedulingPolicy
from isocline.policies.scheduling.delay_scheduling import DelayScheduling
from isocline.policies.scheduling.fifo import Fifo
from isocline.policies.scheduling.jsq_local_only import JsqLocalOnly
from isocline.policies.scheduling.jsq_maxweight import JsqMaxweight
from isocline.policies.scheduling.late_binding import LateBinding
from isocline.policies.scheduling.local_first import LocalFirst
from isocline.policies.scheduling.random_local import RandomLocal

ALL: dict[str, type[SchedulingPolicy]] = {
    policy.name: policy
    for policy in (
        LocalFirst,
        LateBinding,
        JsqMaxweight,
        BalancedPandas,
        DelayScheduling,
        Fifo,
        JsqLocalOnly,
        RandomLocal,
    )
}


def parse(text: str) -> SchedulingPolicy:
    """The policy that `text` names: `name`, `name:key=value,...`, or one's own class.

    Raises:
        PolicyError: Unknown name, module, class or option, or a value of the wrong type.
    """
    if text.strip().partition(":")[0] not in ALL and is_own(text):
        return own_class(text, SchedulingPolicy)  # type: ignore[type-abstract]
    return named(text, ALL, "; your own is named package.module:Class")


def scheduling_policy(given: str | SchedulingPolicy) -> SchedulingPolicy:
    """A policy as Python code gives it: its name, or the policy.

    Raises:
        PolicyError: As `parse`, or it is something else.
    """
    if isinstance(given, str):
        return parse(given)
    return require_policy(given, SchedulingPolicy, "a scheduling policy")  # type: ignore[type-abstract]


__all__ = ["ALL", "parse", "scheduling_policy"]
