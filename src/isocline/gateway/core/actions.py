"""Actions of the core for a data plane, and causes of failure that a data plane reports.

A request is identified by a number that the core assigns. It is valid until the request is
finished, cancelled, rejected or closed.
"""

from enum import Enum
from typing import NamedTuple


class Send(NamedTuple):
    """Send the request to the backend now; `attempt` is 1, or more for a retry."""

    request: int
    backend: int
    attempt: int = 1


class Hold(NamedTuple):
    """Keep the request at its frontend: a later action sends it, or rejects it at the deadline."""

    request: int
    deadline: float  # s
    displaced: "Reject | None" = None  # another request, which waits no longer: there was no room


class Reject(NamedTuple):
    """Answer the client, which has no part of a response yet. The request is forgotten."""

    request: int
    status: int  # RFC 9110, Section 15.6
    reason: str  # for the client, and for the log
    retry_after: float | None = None  # s, RFC 9110, Section 10.2.3; None: do not say


class Close(NamedTuple):
    """Break off a response of which the client already has a part. The request is forgotten."""

    request: int
    reason: str


Action = Send | Hold | Reject | Close


TOO_MANY_REQUESTS, UNAVAILABLE = 429, 503
FULL = (TOO_MANY_REQUESTS, UNAVAILABLE)
"""Statuses by which a backend may say that it is full."""


class Cause(Enum):
    """Why a request failed at a backend.

    `status` is the client's response status (RFC 9110, Sections 15.6.3 and 15.6.5). `retriable`
    causes are tried elsewhere where nothing can have happened twice; a limit on time is not, as the
    backend may still be at work. `blamed` causes count towards the backend's ejection.
    """

    CONNECT = ("the connection was refused", 502, True, True)
    UNRESOLVED = ("the backend's name cannot be resolved", 502, True, True)
    UNREACHABLE = ("no network leads to the backend", 502, True, True)
    TLS = ("no TLS connection to the backend could be made", 502, True, True)
    LOCAL = ("the gateway's machine could not open a connection", 502, True, False)
    CONNECT_TIMEOUT = ("connecting took too long", 504, True, True)
    STALE = ("an idle connection was closed as the request was sent", 502, True, False)
    RESET = ("the connection broke before the response was complete", 502, True, True)
    MALFORMED = ("the response is not valid HTTP", 502, False, True)
    HEAD_TOO_LONG = ("the head of the response exceeds a limit", 502, False, True)
    FIRST_BYTE_TIMEOUT = ("the response did not begin in time", 504, False, True)
    IDLE_TIMEOUT = ("the response stood still for too long", 504, False, True)
    TOTAL_TIMEOUT = ("the request took too long altogether", 504, False, False)

    def __init__(self, reason: str, status: int, retriable: bool, blamed: bool):
        self.reason = reason
        self.status = status
        self.retriable = retriable
        self.blamed = blamed
