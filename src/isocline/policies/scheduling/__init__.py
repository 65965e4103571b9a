"""Scheduling policies, one per file: where a task waits, and what an idle server takes.

Read `contract`, then `local_first`; `state/` has the view that policies read and the structures
that they keep. `ALL` lists the policies by their name on the command line; `own_rules` checks those
of a user, and `called` has kernels call policies by address.
"""

from isocline.policies.scheduling.balanced_pandas import BalancedPandas
from isocline.policies.scheduling.contract import SchedulingPolicy
from isocline.policies.scheduling.delay_scheduling import DelayScheduling
from isocline.policies.scheduling.fifo import Fifo
from isocline.policies.scheduling.jsq_local_only import JsqLocalOnly
from isocline.policies.scheduling.jsq_maxweight import JsqMaxweight
from isocline.policies.scheduling.late_binding import LateBinding
from isocline.policies.scheduling.local_first import LocalFirst
from isocline.policies.scheduling.priced_help import PricedHelp
from isocline.policies.scheduling.random_local import RandomLocal

ALL: dict[str, type[SchedulingPolicy]] = {
    policy.name: policy
    for policy in (
        LocalFirst,
        LateBinding,
        PricedHelp,
        JsqMaxweight,
        BalancedPandas,
        DelayScheduling,
        Fifo,
        JsqLocalOnly,
        RandomLocal,
    )
}

__all__ = ["ALL"]
