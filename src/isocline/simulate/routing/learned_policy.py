"""A policy on learned curves, beside the same policy on the true ones."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np

from isocline.errors import UsageError
from isocline.policies.routing.contract import RoutingPolicy, Setting
from isocline.policies.wrapped import Wrapped

if TYPE_CHECKING:
    from isocline.learn.learner import Learning

_FEW = np.arange(8.0)  # jobs, enough to tell two tables apart


@final
@dataclass(frozen=True)
class LearnedPolicy(Wrapped):
    """A policy whose table is made from learned curves in place of the system's."""

    learns: ClassVar[bool] = True
    policy: RoutingPolicy
    learning: "Learning"

    @property
    def name(self) -> str:  # type: ignore[override]  # of one policy here, not of a class
        return f"{self.policy.name} learned"


def with_learned(
    policies: Mapping[str, RoutingPolicy], setting: Setting, learning: "Learning | None"
) -> dict[str, RoutingPolicy]:
    """After each policy that looks at curves, the same one learning them; by name in tables.

    With no `learning` the policies as they are.

    Raises:
        UsageError: None of the policies looks at curves.
    """
    if learning is None:
        return dict(policies)
    chosen: dict[str, RoutingPolicy] = {}
    for label, policy in policies.items():
        chosen[label] = policy
        if looks_at_curves(policy, setting):
            _require_learnable(policy, label, setting)
            chosen[f"{label} learned"] = LearnedPolicy(policy, learning)
    if len(chosen) == len(policies):
        raise UsageError(
            f"learning: none of {', '.join(policies)} looks at service curves; add one that does, "
            "such as gmsr or least_expected_latency, or leave out learn"
        )
    return chosen


def looks_at_curves(policy: RoutingPolicy, setting: Setting) -> bool:
    """Whether a policy's table depends on the speed of one backend, so that learning has a use."""
    if policy.learns:
        return False
    first, *others = setting.curves
    changed = replace(setting, curves=(first.scaled(0.5), *others))
    return not np.array_equal(policy.table(setting, _FEW), policy.table(changed, _FEW))


def _require_learnable(policy: RoutingPolicy, label: str, setting: Setting) -> None:
    shape = policy.table(setting, _FEW).shape
    if not policy.blocks or shape != (policy.blocks * len(setting.curves), _FEW.size):
        raise UsageError(
            f"learning: the table of policy {label} depends on several curves at once, for which "
            "curves are not learned; leave it out, or leave out learn"
        )
