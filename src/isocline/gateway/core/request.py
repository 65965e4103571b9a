"""State of one request in the core."""

import math
from dataclasses import dataclass
from typing import final

from isocline.gateway.core.model_memory import Copy
from isocline.gateway.core.prompts import Prompt, PromptAtBackend
from isocline.gateway.core.tenants import Tenant

AT_FRONTEND = -1  # in place of a backend


@final
@dataclass(frozen=True, slots=True)
class Profile:
    """Facts of a request that its data plane reads before it is routed."""

    priority: int = 0  # of requests that wait, the highest goes first
    tenant: str = ""  # name
    prompt: Prompt | None = None  # None: it has none, or prompts are not read
    only: frozenset[int] | None = None  # backends it may go to; None: all of its frontend
    avoided: tuple[int, ...] = ()  # backends that it gets only if no other one is open
    model: str = ""  # that it needs; empty: none, or models are not managed


PLAIN = Profile()


@final
@dataclass(slots=True, eq=False)
class Request:
    """Request from its arrival to its end."""

    number: int
    frontend: int
    arrived: float  # s
    tenant: Tenant
    priority: int = 0  # of those that wait, the highest goes first
    prompt: Prompt | None = None
    only: frozenset[int] | None = None  # backends it may go to; None: all of its frontend
    prompt_at: PromptAtBackend | None = None  # where it was sent, if prompts are counted in
    edge: int = AT_FRONTEND
    backend: int = AT_FRONTEND
    sent: float = 0.0  # s, at the last attempt
    events: int = 0  # that were kept for the learner before it was sent
    attempt: int = 0
    tried: tuple[int, ...] = ()  # backends at which it failed
    deadline: float = 0.0  # s, if it is held
    latest: float = math.inf  # s: the deadline that an earlier core gave it, which holds here, too
    turned_away: bool = False  # its backend said that it is full, in the response under way
    deadline_entry: int = 0  # of the waiting queue; 0 if it is not held
    model: str = ""  # that it needs; empty: none, or models are not managed
    copy: Copy | None = None  # of the model, which it uses at its backend
    waits_at: int = AT_FRONTEND  # backend at which it waits for a load of its model
    failed_loads: int = 0  # for which it has waited
