"""Messages between an engine and its worker processes.

A worker first sends `Ready`, and then events of the contract. It also gets `InputData`, before the
first attempt that refers to it.
"""

from typing import NamedTuple

from isocline.dispatch.engines.base import WorkItem

DESCRIPTORS_CLOSED = (
    74  # exit status of a worker whose task closed its descriptors (EX_IOERR of sysexits.h)
)


class Setup(NamedTuple):
    """First message to a worker: its settings."""

    name: str
    loader: bytes | None  # cloudpickled
    root: str  # directory of its data; empty: none
    scratch: str  # directory of its own
    sockets: dict[str, str]  # path of each node's chunk server
    cache: int  # bytes
    everywhere: bool
    silence: float  # s
    link: float | None  # bytes/s


class Function(NamedTuple):
    """To a worker: a function for later tasks, or large arguments that they share."""

    number: int
    code: bytes  # cloudpickled


class Forget(NamedTuple):
    """To a worker: no later task needs this function or these arguments."""

    function: int


class Drop(NamedTuple):
    """To a worker: no later task gets this input."""

    number: int


class Run(NamedTuple):
    """To a worker: run an attempt, whose function's code was sent before."""

    function: int
    work: WorkItem
    arguments: int | None = None  # number of its arguments, if they were sent separately


class Cancel(NamedTuple):
    """To a worker: stop an attempt."""

    attempt: int


class Fetch(NamedTuple):
    """To a worker: fetch and keep a chunk while tasks run."""

    chunk: str
    holders: tuple[str, ...]


class Ping(NamedTuple):
    """To a worker that another one found silent: answer."""


class Ready(NamedTuple):
    """From a worker: it is ready for tasks."""


class Pong(NamedTuple):
    """From a worker: answer to a Ping."""


class Uncharged(NamedTuple):
    """From a worker: extension of an attempt's limit, for a wait for other nodes."""

    attempt: int
    seconds: float  # below 0: a reduction
