"""Errors of tasks that end without a result, and of a run as a whole.

An exception raised by a function reaches the caller unchanged, with the worker's traceback as its
cause and the task's key in a note. All other failures of a task are a `TaskError`.
"""

import pickle
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import CancelledError
from typing import Any

from isocline.dispatch.actions import GiveUp, Reason
from isocline.dispatch.user_code_guard import Caught, guarded, printable, shown, words
from isocline.errors import IsoclineError
from isocline.plural import counted

# Exceptions that steer whoever catches them: raised in the caller's thread, they would end an
# unrelated generator or asyncio task.
_STEERING = (StopIteration, StopAsyncIteration, CancelledError)


AT_NODE = ""
"""Placeholder for the key in errors made at a node; the scheduler fills in the task's key."""


class TaskError(IsoclineError):
    """A task ended without a result, other than by an exception of its function.

    Attributes:
        key: Key of the task.
    """

    def __init__(self, key: str, message: str) -> None:
        super().__init__(key, message)
        self.key = key

    def __str__(self) -> str:
        text: str = self.args[1]
        return f"task {self.key!r}: {text}" if self.key else text


class NoHolderError(TaskError):
    """No node that is up holds the task's chunk, and it cannot be read from elsewhere."""


class NoRoomError(TaskError):
    """No node has the resources that the task needs."""


class QuarantinedError(TaskError):
    """As many workers as the rules allow have died while running this task."""


class UnpickedError(TaskError):
    """The policy starts none of the waiting tasks, although all servers are idle."""


class TimeLimitError(TaskError):
    """The task ran for longer than its limit."""


class ChunkError(TaskError):
    """No holder delivered the task's chunk; the message quotes their answers."""


class UnreadError(ChunkError):
    """Like ChunkError, but at least one holder was lost, or did not answer."""


class ResultError(TaskError):
    """The result of the task's function cannot be pickled at its node."""


class RemoteError(TaskError):
    """Stand-in for a function's exception that cannot be pickled; has its type and text."""


class UnreadableError(TaskError):
    """A task's result or exception cannot be unpickled in the scheduler's process."""


class ExitError(TaskError):
    """A task's function raised SystemExit, KeyboardInterrupt or the like in place of an error.

    The cause has the worker's traceback.
    """


class InputError(TaskError):
    """A task on whose result this one depends failed; the cause is the first such error."""


class EngineClosedError(TaskError):
    """The scheduler or its engine was closed before the task ended."""


class EngineError(IsoclineError):
    """An engine cannot be started or used; the message gives the reason."""


class JournalError(IsoclineError, ValueError):
    """A journal cannot be used, written or continued; the message names the file and the remedy."""


class UnwrittenError(JournalError):
    """The run has ended, but some rows of its journal could not be written."""


class OutputError(IsoclineError):
    """A result cannot be passed on, so the run stops; the message names place and remedy."""


class RemoteTracebackError(Exception):
    """Traceback of a worker, as text: the cause of an exception raised there."""

    def __str__(self) -> str:
        return f'\n"""\n{self.args[0]}"""'


def raised(key: str, node: str, pickled: bytes, text: str) -> Exception:
    """Exception of a task's function at a node, from its pickle and traceback."""
    found = unpickled(key, "its exception", pickled)
    if isinstance(found, Caught):
        error: BaseException = found.error
    elif issubclass(type(found), BaseException):
        error = found
    else:
        error = UnreadableError(key, f"it raised what is not an exception: {shown(found)}")
    if not isinstance(error, Exception) or isinstance(error, _STEERING):
        error = ExitError(
            key,
            f"raised {words(error)}, which would end its caller and not the task; return from the "
            "function, or raise an error",
        )
    if isinstance(error, TaskError) and error.key == AT_NODE:
        error.key, error.args = key, (key, *error.args[1:])
    guarded(_annotate, error, RemoteTracebackError(text), f"task {key!r} at node {node!r}")
    return error


def _annotate(error: Exception, cause: Exception, note: str) -> None:
    """Add cause and note, bypassing the exception's `__setattr__`: frozen dataclasses refuse."""
    BaseException.__setattr__(error, "__cause__", cause)
    BaseException.__setattr__(error, "__notes__", [*getattr(error, "__notes__", ()), note])


def over_limit(key: str, node: str, limit: float | None, ran: float) -> TimeLimitError:
    """Error of a task stopped after `ran` s because it exceeded its limit, s."""
    limit = ran if limit is None else limit  # an engine may have its own limits
    # A task in compiled code can only be stopped later, with its worker.
    late = f" (it was stopped after {ran:.3g} s)" if ran > 1.1 * limit + 0.1 else ""
    return TimeLimitError(
        key,
        f"still running at node {node!r} after its limit of {limit:g} s{late}; give it more time "
        "(limit=) or smaller chunks",
    )


def given_up(key: str, action: GiveUp, last: BaseException | None) -> BaseException:
    """Error of a task that the core has given up; `last` is the error of its last attempt."""
    if action.reason in (Reason.RAISED, Reason.TIMED_OUT, Reason.UNREAD) and last is not None:
        return last
    kind = UnpickedError if action.reason is Reason.UNPICKED else NoHolderError
    error = kind(key, action.detail)
    error.__cause__ = last
    return error


def quarantined(key: str, nodes: Sequence[str], last: BaseException | None) -> TaskError:
    """Error of a task while which the workers of these nodes died, one after the other."""
    times = Counter(nodes)
    at = ", ".join(
        f"{printable(node)} ({count} times)" if count > 1 else printable(node)
        for node, count in times.items()
    )
    error = QuarantinedError(
        key,
        f"{counted(len(nodes), 'worker')} died while running it, at "
        f"{'node' if len(times) == 1 else 'nodes'} {at}; it is not run again; find the cause, such "
        "as lack of memory or a crash in compiled code, or give smaller chunks",
    )
    error.__cause__ = last
    return error


def no_holder(key: str, chunk: str | None, states: str, last: BaseException | None) -> TaskError:
    """Error of a task whose chunk has no holder that is up; `states` describes its holders."""
    error = NoHolderError(
        key,
        f"no node that is up holds chunk {printable(repr(chunk))}: "
        f"{states or 'it has no locations'}; correct the locations, allow more time "
        "(holder_grace=), or, if the loader can read it from every node, make it "
        "Scheduler(everywhere=True)",
    )
    error.__cause__ = last
    return error


def input_failed(key: str, given: str, error: BaseException) -> TaskError:
    """Error of a task that would have got the result of task `given`, which failed."""
    if isinstance(error, InputError):  # the first failure says the most
        text, cause = error.args[1], error.__cause__
    else:
        text = f"the result of task {given!r}, on which it depends, failed: {words(error)}"
        cause = error
    failed = InputError(key, text)
    failed.__cause__ = cause
    return failed


def no_room(key: str, need: Sequence[tuple[str, float]], most: str) -> TaskError:
    """Error of a task that no node could ever hold; `most` describes what nodes have."""
    needed = ", ".join(f"{name} {amount:g}" for name, amount in need)
    return NoRoomError(
        key,
        f"needs {needed}, and there is no such node ({most}); let it need less, or give nodes more "
        "(resources=)",
    )


def unpickled(key: str, what: str, pickled: bytes) -> Any | Caught:
    """Unpickled value, or a caught UnreadableError."""
    found = guarded(pickle.loads, pickled)
    if not isinstance(found, Caught):
        return found
    unreadable = UnreadableError(
        key,
        f"{what} cannot be unpickled here ({words(found.error)}); install the same modules here as "
        "at the nodes",
    )
    unreadable.__cause__ = found.error
    return Caught(unreadable)
