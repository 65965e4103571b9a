"""Messages between an engine and its worker processes.

A worker says `Ready` first, and then events of the contract.
"""

from typing import NamedTuple

from isocline.dispatch.engines.base import WorkItem

DESCRIPTORS_CLOSED = (
    74  # exit status of a worker that its task has cut off (EX_IOERR of sysexits.h)
)


class Setup(NamedTuple):
    """To a worker, first: its settings."""

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
    """To a worker: a function of later tasks, or large arguments that they share."""

    number: int
    code: bytes  # cloudpickled


class Forget(NamedTuple):
    """To a worker: no later task has this function, or these arguments."""

    function: int


class Run(NamedTuple):
    """To a worker: run an attempt, sent without its function's code."""

    function: int
    work: WorkItem
    arguments: int | None = None  # the number of its arguments, if they have one


class Cancel(NamedTuple):
    """To a worker: stop an attempt."""

    attempt: int


class Fetch(NamedTuple):
    """To a worker: fetch a chunk and keep it, while tasks run."""

    chunk: str
    holders: tuple[str, ...]


class Ready(NamedTuple):
    """From a worker: it is ready for tasks."""
