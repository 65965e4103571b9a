"""Commands of the core for an engine, and the failures that it reports.

Servers and tasks are numbers of the caller's. The core keeps a task until it is finished, cancelled
or given up. An attempt (a task at a server) lasts from its `Start` until `Core.finished`,
`Core.failed` or `Core.server_lost` reports its end: a cancelled attempt occupies its server until
then.
"""

from enum import Enum, StrEnum
from typing import NamedTuple


class Start(NamedTuple):
    """Run the task on the server: now or, if pipelined, after the attempt that runs there."""

    task: int
    server: int
    level: int  # LOCAL, RACK or REMOTE of policies.scheduling.contract
    why: str  # in words
    pipelined: bool = False
    copy: bool = False  # the task runs elsewhere, too, and takes longer than it should


class Cancel(NamedTuple):
    """Stop this attempt: another one was first, or the result is no longer wanted.

    Or it is pipelined behind a straggler, and its task is still wanted: it is requeued once the
    attempt has ended.
    """

    task: int
    server: int


class Fetch(NamedTuple):
    """Fetch the task's data to the server while it runs others, until `Core.fetched` reports it."""

    task: int
    server: int


class GiveUp(NamedTuple):
    """The task cannot be done; the core forgets it."""

    task: int
    reason: "Reason"
    detail: str  # in words
    servers: tuple[int, ...] = ()  # that died while they ran it, in order


Action = Start | Cancel | Fetch | GiveUp


class Cause(Enum):
    """Cause of an attempt that ended without a result."""

    RAISED = "raised"  # the function raised an exception
    TIMED_OUT = "timed out"
    LOST = "lost"  # the worker died while it ran this, and is there again
    UNREAD = "unread"  # its data was lost on the way to it, with the server that sent them
    STOPPED = "stopped"  # as a `Cancel` asked, or by the engine


class Reason(StrEnum):
    """Reason for which a task is given up."""

    RAISED = "raised"
    TIMED_OUT = "timed out"
    QUARANTINED = "quarantined"
    UNREAD = "unread"
    NO_HOLDER = "no holder"
    UNPICKED = "unpicked"
