"""Parts that the steps of one core share: backends, queues, tenants, and rules."""

from dataclasses import dataclass
from typing import final

from isocline.gateway.core.availability import Availability
from isocline.gateway.core.backend_load import Workloads
from isocline.gateway.core.curve_feedback import CurveFeedback
from isocline.gateway.core.policy_runtime import PolicyRuntime
from isocline.gateway.core.prompts import Prompts
from isocline.gateway.core.tenants import Tenants
from isocline.gateway.core.waiting_queue import WaitingQueue
from isocline.model.serving_settings import Rules


@final
@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """Parts of one core.

    Attributes:
        feedback: Curves that are learned; None: they are given.
        prompts: What prompts and caches make of a request's work; None: all requests are alike.
    """

    rules: Rules
    policy_runtime: PolicyRuntime
    workloads: Workloads
    availability: Availability
    tenants: Tenants
    waiting_queue: WaitingQueue
    feedback: CurveFeedback | None
    prompts: Prompts | None
