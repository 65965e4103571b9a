"""Routing policies, one per file; `ALL` lists them by their name on the command line.

Read `contract`, then `gmsr`, and `picks` for the choice among scored candidates that most share.
Those of `RIVALS` are rules of other routers and papers, there to be compared with.
"""

from isocline.policies.routing.bounded_hash import BoundedHash
from isocline.policies.routing.cache_threshold import CacheThreshold
from isocline.policies.routing.contract import RoutingPolicy
from isocline.policies.routing.dgd_lb import DgdLb
from isocline.policies.routing.drain_rate import DrainRate
from isocline.policies.routing.gmsr import Gmsr
from isocline.policies.routing.gmsr_ahead import GmsrAhead
from isocline.policies.routing.gmsr_hold import GmsrHold
from isocline.policies.routing.gmsr_secant import GmsrSecant
from isocline.policies.routing.jfsq import Jfsq
from isocline.policies.routing.jiq import Jiq
from isocline.policies.routing.jsq import Jsq
from isocline.policies.routing.least_expected_latency import LeastExpectedLatency
from isocline.policies.routing.least_request import LeastRequest
from isocline.policies.routing.least_work import LeastWork
from isocline.policies.routing.linear_cost import LinearCost
from isocline.policies.routing.lmetric import Lmetric
from isocline.policies.routing.model_affinity import ModelAffinity
from isocline.policies.routing.peak_ewma import PeakEwma
from isocline.policies.routing.power_of_d import PowerOfD
from isocline.policies.routing.predicted_latency import PredictedLatency
from isocline.policies.routing.prequal import Prequal
from isocline.policies.routing.random import Random
from isocline.policies.routing.rendezvous import Rendezvous
from isocline.policies.routing.round_robin import RoundRobin
from isocline.policies.routing.shuffle_of_k import ShuffleOfK
from isocline.policies.routing.static_optimal import StaticOptimal
from isocline.policies.routing.sticky_tokens import StickyTokens
from isocline.policies.routing.weighted_least_connections import WeightedLeastConnections
from isocline.policies.routing.weighted_round_robin import WeightedRoundRobin

RIVALS: dict[str, type[RoutingPolicy]] = {
    policy.name: policy
    for policy in (
        Prequal,
        DgdLb,
        LeastRequest,
        DrainRate,
        LeastWork,
        PredictedLatency,
        Lmetric,
        StickyTokens,
        CacheThreshold,
        LinearCost,
        BoundedHash,
        ModelAffinity,
        ShuffleOfK,
        Rendezvous,
    )
}

ALL: dict[str, type[RoutingPolicy]] = {
    policy.name: policy
    for policy in (
        Gmsr,
        GmsrAhead,
        GmsrHold,
        GmsrSecant,
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
} | RIVALS

__all__ = ["ALL", "RIVALS"]
