"""Actions of the core for an engine, and causes of failures.

Servers and tasks are numbers chosen by the caller. The core keeps a task until it is finished,
cancelled or given up. An attempt (a task at a server) lasts from its `Start` until `Core.finished`,
`Core.failed` or `Core.server_lost` reports its end; a cancelled attempt occupies its server until
then.
"""

from enum import Enum, StrEnum
from typing import NamedTuple


class Start(NamedTuple):
    """Run the task on the server: at once or, if pipelined, after the attempt that runs there."""

    task: int
    server: int
    level: int  # LOCAL, RACK or REMOTE of policies.scheduling.contract
    why: str  # in words
    pipelined: bool = False
    copy: bool = False  # second attempt at a task that takes too long elsewhere


class Cancel(NamedTuple):
    """Stop this attempt: another one finished first, or the result is no longer wanted.

    Also used for an attempt pipelined behind a straggler: its task is requeued once the attempt has
    ended.
    """

    task: int
    server: int


class Fetch(NamedTuple):
    """Fetch the task's data to the server while it runs others; ended by `Core.fetched`."""

    task: int
    server: int


class GiveUp(NamedTuple):
    """The task cannot be completed; the core forgets it."""

    task: int
    reason: "Reason"
    detail: str  # in words
    servers: tuple[int, ...] = ()  # servers that died while running it, in order


Action = Start | Cancel | Fetch | GiveUp


class Cause(Enum):
    """Cause of an attempt that ended without a result."""

    RAISED = "raised"  # the function raised an exception
    TIMED_OUT = "timed out"
    LOST = "lost"  # the worker died while running it, and has been restarted
    UNREAD = "unread"  # the server that sent its data was lost
    STOPPED = "stopped"  # by a `Cancel`, or by the engine


class Reason(StrEnum):
    """Reason for giving up a task."""

    RAISED = "raised"
    TIMED_OUT = "timed out"
    QUARANTINED = "quarantined"
    UNREAD = "unread"
    NO_HOLDER = "no holder"
    UNPICKED = "unpicked"
