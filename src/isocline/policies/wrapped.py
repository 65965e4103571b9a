"""A policy that stands before another one."""

from abc import ABC
from typing import Any

from isocline.errors import PolicyError
from isocline.policies.routing.contract import FloatArray, RoutingPolicy, Setting, View


class Wrapped(RoutingPolicy, ABC):
    """Does as `policy` does, in all that a subclass does not say otherwise."""

    policy: RoutingPolicy

    @property
    def needs_latency(self) -> bool:  # type: ignore[override]  # of one policy here, not of a class
        return self.policy.needs_latency

    @property
    def blocks(self) -> int:  # type: ignore[override]  # likewise
        return self.policy.blocks

    @property
    def shares_kernel(self) -> bool:  # type: ignore[override]  # likewise
        return self.policy.shares_kernel

    def table(self, setting: Setting, workloads: FloatArray) -> FloatArray:
        return self.policy.table(setting, workloads)

    def parameter(self, setting: Setting) -> FloatArray:
        return self.policy.parameter(setting)

    def memory(self, setting: Setting) -> FloatArray:
        return self.policy.memory(setting)

    def option(self) -> FloatArray:
        return self.policy.option()

    def functions(self) -> tuple[Any, Any]:
        return self.policy.functions()

    def misplaced(self, view: View, rng: Any) -> PolicyError:
        return self.policy.misplaced(view, rng)
