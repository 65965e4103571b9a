"""A policy on learned curves, beside the same policy on the true ones."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, final

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

    policy: RoutingPolicy
    learning: "Learning"

    @property
    def name(self) -> str:  # type: ignore[override]  # of one policy here, not of a class
        return f"{self.policy.name} learned"


def with_learned(
    policies: Sequence[RoutingPolicy],
    labels: Sequence[str],
    setting: Setting,
    learning: "Learning | None",
) -> tuple[list[RoutingPolicy], list[str]]:
    """After each policy that looks at curves, the same one learning them; and their labels.

    With no `learning` the policies as they are.

    Raises:
        UsageError: None of the policies looks at curves.
    """
    if learning is None:
        return list(policies), list(labels)
    chosen: list[RoutingPolicy] = []
    named: list[str] = []
    for policy, label in zip(policies, labels, strict=True):
        chosen.append(policy)
        named.append(label)
        if looks_at_curves(policy, setting):
            _require_learnable(policy, label, setting)
            chosen.append(LearnedPolicy(policy, learning))
            named.append(f"{label} learned")
    if len(chosen) == len(policies):
        raise UsageError(
            f"learning: none of {', '.join(labels)} looks at service curves; add one that does, "
            "such as gmsr or least_expected_latency, or leave out learn"
        )
    return chosen, named


def looks_at_curves(policy: RoutingPolicy, setting: Setting) -> bool:
    """Whether a policy's table depends on the speed of one backend, so that learning has a use."""
    if isinstance(policy, LearnedPolicy):
        return False
    first, *others = setting.curves
    changed = replace(setting, curves=(first.scaled(0.5), *others))
    return not np.array_equal(policy.table(setting, _FEW), policy.table(changed, _FEW))


def _require_learnable(policy: RoutingPolicy, label: str, setting: Setting) -> None:
    plain = policy.table(setting, _FEW).shape == (len(setting.curves), _FEW.size)
    if policy.may_hold or not plain:
        what = "holds jobs" if policy.may_hold else "has more than one row for a curve"
        raise UsageError(
            f"learning: policy {label} {what}, for which curves are not learned; leave it out, "
            "or leave out learn"
        )
