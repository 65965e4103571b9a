"""Contract of an engine: commands from the scheduler, events from the engine.

An engine has nodes, each with a queue that it processes in order, one task at a time. Attempts are
identified by unique numbers from the caller. Each attempt ends with exactly one of `Done`,
`Raised`, `TimedOut`, `Stopped`, or with the `NodeLost` of its node, which ends all attempts there.
A caller may have given a node more work before it receives the `NodeLost`, so it must ignore later
events of attempts that it counts as lost. A node's `NodeLost` follows all its earlier events.

Inputs are sent to a node with the first attempt that refers to them, unless the node keeps them as
the result of an attempt, and are kept there until `release`.

A node may become a holder of a chunk by fetching it (`Holds`), and drop it again (`Drops`);
`NodeLost` drops all fetched chunks, so that a node which comes up again holds only its original
ones. A `fetch` while it runs tasks ends with one `Fetched`, or with its `NodeLost`. A node that
does not answer another node is `Silent` until it `Answers` or is lost.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from isocline.dispatch.inputs import InputData


class Node(NamedTuple):
    """Node of an engine, with its rack, and what it shares with other nodes of its site."""

    name: str
    rack: str | None = None  # or zone; None: unknown
    hosts: tuple[str, ...] = ()  # names and addresses of its machine, for locations that have these
    site: str | None = None  # machine, by which locations may name all its nodes; None: its own
    resources: tuple[tuple[str, float], ...] = ()  # of the site, by name


class WorkItem(NamedTuple):
    """One attempt at one task.

    The node calls function(value of the chunk, *args, **kwargs), without the value if there is no
    chunk.
    """

    attempt: int
    key: str  # key of the task, for messages
    function: bytes  # cloudpickled; one object for all tasks of a function, sent to a node once
    arguments: bytes  # cloudpickled (args, kwargs)
    chunk: str | None = None
    holders: tuple[str, ...] = ()  # names of nodes, the likeliest first
    limit: float | None = None  # s from its start at the node
    inputs: tuple[InputData, ...] = ()  # to which the arguments refer
    keep: int | None = None  # number under which the node keeps the result as an input


class Done(NamedTuple):
    """The attempt returned."""

    attempt: int
    node: str
    value: bytes  # pickled
    seconds: float  # s at the node, from its start to its pickled value
    read_seconds: float = 0.0  # s of these, until the chunk was read
    held: bool = True  # whether the node held the chunk, or there is none
    cold: bool = False  # whether it was the first of its process, or imported modules


class Raised(NamedTuple):
    """The attempt failed: by an exception, in reading its chunk, or in pickling or unpickling."""

    attempt: int
    node: str
    error: bytes  # pickled exception; a RemoteError with its text if it cannot be pickled
    text: str  # traceback at the node
    unread: bool = False  # no holder delivered the chunk, and at least one did not answer


class TimedOut(NamedTuple):
    """The attempt ran longer than its limit and was stopped."""

    attempt: int
    node: str
    seconds: float  # s for which it ran


class Stopped(NamedTuple):
    """The attempt was cancelled before it ended."""

    attempt: int
    node: str


class NodeUp(NamedTuple):
    """A new or lost node is up."""

    node: Node


class NodeLost(NamedTuple):
    """A node is lost with all its attempts."""

    name: str
    reason: str
    returns: bool = False  # whether it is being restarted, until `NodeUp` or `NodeGone`


class NodeGone(NamedTuple):
    """A lost node failed to restart repeatedly; `NodeUp` follows if it comes up after all."""

    name: str
    reason: str


class Holds(NamedTuple):
    """A node has become a holder of a chunk."""

    chunk: str
    node: str


class Drops(NamedTuple):
    """A node has dropped a fetched chunk."""

    chunk: str
    node: str


class Fetched(NamedTuple):
    """A fetch has ended, successfully or not; preceded by `Holds` if the node is a new holder."""

    chunk: str
    node: str
    held: bool  # whether the node now holds the chunk
    seconds: float  # s that the fetch took


class Silent(NamedTuple):
    """A node has not answered another node's request for a chunk within the engine's limit."""

    name: str


class Answers(NamedTuple):
    """A silent node has given a sign of life."""

    name: str


Ending = Done | Raised | TimedOut | Stopped
Event = Ending | NodeUp | NodeLost | NodeGone | Holds | Drops | Fetched | Silent | Answers
Emit = Callable[[Event], None]


class Engine(Protocol):
    """Contract of engines. One thread calls the methods; all but `start`, `close` return at once.

    Attributes:
        fetches: Whether nodes can fetch a chunk while they run tasks.
        fixed: Whether the nodes returned by `start` are all that there will ever be.
        loader: The user's function from a chunk to the value that the task gets, if any.
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
        """Append an attempt to a node's queue; does nothing if the node is lost."""

    def cancel(self, node: str, attempt: int) -> None:
        """Stop an attempt, queued or running; does nothing if it has ended."""

    def fetch(self, node: str, chunk: str, holders: Sequence[str]) -> None:
        """Have a node fetch a chunk from one of its holders, and keep it if possible.

        Several fetches may run at a time; does nothing if the node is lost.
        """

    def release(self, number: int) -> None:
        """Drop an input at all nodes, as no later attempt refers to it."""

    def locations(self, chunk: str) -> Sequence[str]:
        """Return the nodes that hold a chunk, as far as the engine knows."""

    def close(self) -> None:
        """Stop everything that was started, without events of attempts. May be repeated."""
