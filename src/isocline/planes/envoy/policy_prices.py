"""Prices of a routing policy, for a table that is read where the policy itself does not run."""

import numpy as np

from isocline.errors import PolicyError
from isocline.policies.arrays import option_of, table_of
from isocline.policies.routing.contract import FloatArray, RoutingPolicy, Setting
from isocline.policies.routing.picks import least


def prices(policy: RoutingPolicy, setting: Setting, limit: int) -> FloatArray:
    """(B, limit + 1) price of one more job at each backend, with 0 .. limit jobs there.

    Args:
        policy: One that takes the least entry of a table, as gmsr, jsq or least_expected_latency.
        setting: Graph and curves.
        limit: Largest workload.

    Raises:
        PolicyError: A policy that decides otherwise, or does not draw ties at random.
    """
    if policy.functions()[0] is not least:
        raise PolicyError(
            f"policy {policy.name} is no table of prices, which is all that a plane knows; give "
            "gmsr, jsq, least_expected_latency or weighted_least_connections"
        )
    if option_of(policy)[0] == 0.0:
        raise PolicyError(f"policy {policy.name}:ties=first: a plane draws ties; give ties=random")
    table = table_of(policy, setting, np.arange(limit + 1.0))
    return table[setting.row, : limit + 1]
