"""Routing policies, one per file; `ALL` lists them by their name on the command line.

Read `contract`, then `gmsr`, and `picks` for the choice among scored candidates that most share.
Those of `RIVALS` are rules of other routers and papers, there to be compared with. A policy's file
has its name, and is imported when it is asked for: a comparison of five needs no other twenty.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import final

from isocline.policies.routing.contract import RoutingPolicy


@final
class Enrolled(Mapping[str, type[RoutingPolicy]]):
    """Policies by name."""

    def __init__(self, *names: str) -> None:
        self._names = dict.fromkeys(names)

    def __getitem__(self, name: str) -> type[RoutingPolicy]:
        if name not in self._names:
            raise KeyError(name)
        return _policy(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@cache
def _policy(name: str) -> type[RoutingPolicy]:
    """The class `PowerOfD` in the file of power_of_d."""
    module = import_module(f"{__name__}.{name}")
    found: type[RoutingPolicy] = getattr(module, "".join(map(str.capitalize, name.split("_"))))
    return found


RIVALS = Enrolled(
    "prequal",
    "dgd_lb",
    "least_request",
    "drain_rate",
    "least_work",
    "predicted_latency",
    "lmetric",
    "sticky_tokens",
    "cache_threshold",
    "linear_cost",
    "bounded_hash",
    "model_affinity",
    "shuffle_of_k",
    "rendezvous",
)

ALL = Enrolled(
    "gmsr",
    "gmsr_ahead",
    "gmsr_hold",
    "gmsr_secant",
    "random",
    "round_robin",
    "weighted_round_robin",
    "static_optimal",
    "jsq",
    "weighted_least_connections",
    "power_of_d",
    "jiq",
    "jfsq",
    "least_expected_latency",
    "peak_ewma",
    *RIVALS,
)

__all__ = ["ALL", "RIVALS"]
