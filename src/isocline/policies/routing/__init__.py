"""Routing policies, one per file; `ALL` lists them by their name on the command line.

Read `contract`, then `gmsr`, and `picks` for the choice among scored candidates that most share.
"""

from isocline.policies.routing.contract import RoutingPolicy
from isocline.policies.routing.gmsr import Gmsr
from isocline.policies.routing.gmsr_ahead import GmsrAhead
from isocline.policies.routing.gmsr_hold import GmsrHold
from isocline.policies.routing.jfsq import Jfsq
from isocline.policies.routing.jiq import Jiq
from isocline.policies.routing.jsq import Jsq
from isocline.policies.routing.least_expected_latency import LeastExpectedLatency
from isocline.policies.routing.peak_ewma import PeakEwma
from isocline.policies.routing.power_of_d import PowerOfD
from isocline.policies.routing.random import Random
from isocline.policies.routing.round_robin import RoundRobin
from isocline.policies.routing.static_optimal import StaticOptimal
from isocline.policies.routing.weighted_least_connections import WeightedLeastConnections
from isocline.policies.routing.weighted_round_robin import WeightedRoundRobin

ALL: dict[str, type[RoutingPolicy]] = {
    policy.name: policy
    for policy in (
        Gmsr,
        GmsrAhead,
        GmsrHold,
        Random,
        RoundRobin,
        WeightedRoundRobin,
        StaticOptimal,
        Jsq,
        WeightedLeastConnections,
        PowerOfD,
        Jiq,
        Jfsq,
        LeastExpectedLatency,
        PeakEwma,
    )
}

__all__ = ["ALL"]
