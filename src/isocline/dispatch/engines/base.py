"""The contract of an engine: commands from the scheduler, events from the engine.

An engine has nodes, each with a queue that it processes in order, one task at a time. Attempts are
identified by numbers that the caller uses once. Each attempt ends with exactly one of `Done`,
`Raised`, `TimedOut`, `Stopped`, or with the `NodeLost` of its node, which ends all attempts there.
A caller that receives `NodeLost` late may have given that node more work: later events of attempts
counted as lost must be ignored. A node's `NodeLost` follows all its earlier events.

A node may come to hold a chunk that it fetched (`Holds`) and lose it again (`Drops`); `NodeLost`
drops all that it came to hold, so that it holds only its original chunks when it is up again. A
`fetch` while it runs tasks ends with one `Fetched` or with its `NodeLost`.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol


class Node(NamedTuple):
    """Node of an engine, with its rack."""

    name: str
    rack: str | None = None  # or zone; None: the engine knows none


class WorkItem(NamedTuple):
    """One attempt at one task.

    It calls function(value of the chunk, *args, **kwargs), without the value if there is no chunk.
    """

    attempt: int
    key: str  # the task's, for messages
    function: (
        bytes  # cloudpickled; the same object for all tasks of a function: sent to a node once
    )
    arguments: bytes  # cloudpickled (args, kwargs)
    chunk: str | None = None
    holders: tuple[str, ...] = ()  # names of nodes, the likeliest first
    limit: float | None = None  # s from its start at the node


class Done(NamedTuple):
    """The attempt returned."""

    attempt: int
    node: str
    value: bytes  # pickled
    seconds: float  # at the node, from its start to its pickled value
    read_seconds: float = 0.0  # of these, until the chunk was at hand
    held: bool = True  # the node held the chunk, or there is none
    cold: bool = False  # its process's first attempt, or one that imported modules


class Raised(NamedTuple):
    """The attempt raised, could not be read or unpickled, or its value could not be pickled."""

    attempt: int
    node: str
    error: bytes  # the exception, pickled; if it cannot be, a RemoteError with its words
    text: str  # its traceback at the node
    unread: bool = False  # no holder delivered the chunk, and one or more did not answer


class TimedOut(NamedTuple):
    """The attempt ran longer than its limit and was stopped."""

    attempt: int
    node: str
    seconds: float  # that it ran


class Stopped(NamedTuple):
    """The attempt was cancelled before it ended."""

    attempt: int
    node: str


class NodeUp(NamedTuple):
    """A node is up that was new, or lost."""

    node: Node


class NodeLost(NamedTuple):
    """A node is gone with all its attempts."""

    name: str
    reason: str
    returns: bool = False  # it is being started again, until `NodeUp` or `NodeGone`


class NodeGone(NamedTuple):
    """A lost node was restarted repeatedly in vain; `NodeUp` follows if it comes up after all."""

    name: str
    reason: str


class Holds(NamedTuple):
    """A node has come to hold a chunk."""

    chunk: str
    node: str


class Drops(NamedTuple):
    """A node no longer holds a chunk that it had come to hold."""

    chunk: str
    node: str


class Fetched(NamedTuple):
    """A node has ended a fetch, with or without success; `Holds`, if new, comes first."""

    chunk: str
    node: str
    held: bool  # it holds the chunk now
    seconds: float  # that this took


Ending = Done | Raised | TimedOut | Stopped
Event = Ending | NodeUp | NodeLost | NodeGone | Holds | Drops | Fetched
Emit = Callable[[Event], None]


class Engine(Protocol):
    """Contract of engines. One thread calls the methods; all but `start`, `close` return at once.

    Attributes:
        fetches: Whether nodes can fetch a chunk while they run tasks.
        fixed: Whether there will be no other nodes than those that `start` returned.
        loader: The user's function from a chunk to the value that a task gets, if any.
        directories: Directory of each node, if chunks are files below them.
    """

    fetches: bool
    fixed: bool
    loader: Callable[[Any], object] | None
    directories: Mapping[str, Path]

    def start(self, emit: Emit) -> Sequence[Node]:
        """Start the engine; returns the nodes that are up.

        `emit` may be called from any thread, until `close` returns.

        Raises:
            EngineError: The nodes cannot be started or reached; the message says why.
        """

    def run(self, node: str, work: WorkItem) -> None:
        """Put an attempt at the end of a node's queue; nothing is done if the node is lost."""

    def cancel(self, node: str, attempt: int) -> None:
        """Stop an attempt, in the queue or running; nothing is done if it has ended."""

    def fetch(self, node: str, chunk: str, holders: Sequence[str]) -> None:
        """Have a node fetch a chunk from one of those that hold it, and keep it if it can.

        Several fetches may run at once; nothing is done if the node is lost.
        """

    def locations(self, chunk: str) -> Sequence[str]:
        """Return the nodes that hold a chunk, as far as the engine knows."""

    def close(self) -> None:
        """End all that was started; attempts still there end without an event. Repeatable."""
