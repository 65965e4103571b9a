"""The option `layers`: routing inside pools."""

from collections.abc import Sequence

from isocline.model.fleet import RoutingSystem
from isocline.policies.parse import Function, label, routing_policy
from isocline.policies.routing.contract import RoutingPolicy
from isocline.policies.routing.layered import Layered

FLAT = "flat"


def in_layers(
    system: RoutingSystem, policies: Sequence[RoutingPolicy], layers: str | RoutingPolicy | Function
) -> tuple[RoutingSystem, list[RoutingPolicy]]:
    """The system with its pools opened, and policies that route to a pool, then within it.

    Args:
        system: With pools among its backends.
        policies: What the frontends do.
        layers: What each pool does; or `flat`: nothing, as the frontends see all members.

    Raises:
        PolicyError: A policy is unknown, or more than the least of a table.
    """
    opened = system.flattened()
    if layers == FLAT:
        return opened.system, list(policies)
    inner = routing_policy(layers)
    return opened.system, [Layered(outer, inner, opened.pool_of) for outer in policies]


def label_of(policy: str, layers: str | RoutingPolicy | Function | None) -> str:
    """A policy's name in results."""
    if layers is None or layers == FLAT:
        return policy
    return f"{policy} over {label(layers)}"
