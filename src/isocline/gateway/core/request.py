"""State of one request in the core."""

from dataclasses import dataclass
from typing import final

AT_FRONTEND = -1  # in place of a backend


@final
@dataclass(slots=True, eq=False)
class Request:
    """Request from its arrival to its end."""

    number: int
    frontend: int
    arrived: float  # s
    edge: int = AT_FRONTEND
    backend: int = AT_FRONTEND
    sent: float = 0.0  # s, at the last attempt
    events: int = 0  # that were kept for the learner before it was sent
    attempt: int = 0
    tried: tuple[int, ...] = ()  # backends at which it failed
    deadline: float = 0.0  # s, if it is held
    turned_away: bool = False  # its backend said that it is full, in the response under way
    turn: int = 0  # its entry among the deadlines; 0 if it is not held
