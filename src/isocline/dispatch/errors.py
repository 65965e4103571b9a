"""Errors of tasks that end without a result, and of a run as a whole.

An exception of a function reaches the caller as it was raised, with the traceback of the worker as
its cause and the task's key in a note.
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

# Exceptions that control their catcher: in the caller's thread they would end the program, a
# generator or an asyncio task that had nothing to do with it.
_STEERING = (StopIteration, StopAsyncIteration, CancelledError)


class TaskError(IsoclineError):
    """A task ended without a result, other than by an exception of its function.

    Attributes:
        key: Key of the task.
    """

    def __init__(self, key: str, message: str) -> None:
        super().__init__(key, message)
        self.key = key

    def __str__(self) -> str:
        return f"task {self.key!r}: {self.args[1]}"


class NoHolderError(TaskError):
    """No node that is up holds the task's chunk, and it cannot be read from anywhere else."""


class QuarantinedError(TaskError):
    """As many workers as the rules allow have died while they ran this task."""


class UnpickedError(TaskError):
    """The policy starts none of the tasks that wait, though servers are idle and nothing runs."""


class TimeLimitError(TaskError):
    """The task ran for longer than its limit."""


class UnreadableError(TaskError):
    """A task's result or exception cannot be unpickled here."""


class ExitError(TaskError):
    """A task's function raised an exit instead of an error: SystemExit, KeyboardInterrupt, ...

    The exception's cause has the traceback.
    """


class EngineClosedError(TaskError):
    """The scheduler or its engine ended before the task did."""


class JournalError(IsoclineError, ValueError):
    """A journal cannot be used, written or continued; the message names the file and the remedy."""


class UnwrittenError(JournalError):
    """The run is over, but some rows of its journal could not be written."""


class OutputError(IsoclineError):
    """A result cannot be handed on, so the run is stopped; the message names place and remedy."""


class RemoteTracebackError(Exception):
    """The traceback of a worker, as text: the cause of an exception that was raised there."""

    def __str__(self) -> str:
        return f'\n"""\n{self.args[0]}"""'


def raised(key: str, node: str, pickled: bytes, text: str) -> Exception:
    """Exception of a task's function at a node, from its pickle and its traceback there."""
    found = unpickled(key, "what it raised", pickled)
    if isinstance(found, Caught):
        error: BaseException = found.error
    elif issubclass(type(found), BaseException):
        error = found
    else:
        error = UnreadableError(key, f"what it raised is no exception: {shown(found)}")
    if not isinstance(error, Exception) or isinstance(error, _STEERING):
        error = ExitError(
            key,
            f"raised {words(error)}, which would end its caller rather than the task; return from "
            "the function instead, or raise an error",
        )
    guarded(_annotate, error, RemoteTracebackError(text), f"task {key!r} at node {node!r}")
    return error


def _annotate(error: Exception, cause: Exception, note: str) -> None:
    """Add a note past the exception's own `__setattr__`: a frozen dataclass refuses it."""
    BaseException.__setattr__(error, "__cause__", cause)
    BaseException.__setattr__(error, "__notes__", [*getattr(error, "__notes__", ()), note])


def over_limit(key: str, node: str, limit: float | None, ran: float) -> TimeLimitError:
    """Error of a task that ran for `ran` s until it was stopped, longer than its limit, s."""
    limit = ran if limit is None else limit  # an engine may have limits of its own
    # A task that is deep in compiled code is stopped later, with its worker.
    late = f" (it was stopped after {ran:.3g} s)" if ran > 1.1 * limit + 0.1 else ""
    return TimeLimitError(
        key,
        f"still ran at node {node!r} after its limit of {limit:g} s{late}; give it more time "
        "(limit=) or smaller chunks",
    )


def given_up(key: str, action: GiveUp, last: BaseException | None) -> BaseException:
    """Error of a task that the core gave up; `last` is the error of its last attempt."""
    if action.reason in (Reason.RAISED, Reason.TIMED_OUT, Reason.UNREAD) and last is not None:
        return last
    kind = UnpickedError if action.reason is Reason.UNPICKED else NoHolderError
    error = kind(key, action.detail)
    error.__cause__ = last
    return error


def quarantined(key: str, nodes: Sequence[str], last: BaseException | None) -> TaskError:
    """Error of a task at which the workers of these nodes died, one after the other."""
    times = Counter(nodes)
    at = ", ".join(
        f"{printable(node)} ({count} times)" if count > 1 else printable(node)
        for node, count in times.items()
    )
    error = QuarantinedError(
        key,
        f"{counted(len(nodes), 'worker')} died while they ran it, at "
        f"{'node' if len(times) == 1 else 'nodes'} {at}; it is not run again; look for what ends "
        "them, such as memory that runs out or a crash in compiled code, or give smaller chunks",
    )
    error.__cause__ = last
    return error


def no_holder(key: str, chunk: str | None, states: str, last: BaseException | None) -> TaskError:
    """Error of a chunk without a holder that is up; `states` describes its holders, if any."""
    error = NoHolderError(
        key,
        f"no node that is up holds chunk {printable(repr(chunk))}: "
        f"{states or 'none is said to hold it'}; correct the locations, give it time "
        "(holder_grace=), or, if the loader reaches it from every node, everywhere=True",
    )
    error.__cause__ = last
    return error


def unpickled(key: str, what: str, pickled: bytes) -> Any | Caught:
    """Contents of a pickle, or a caught UnreadableError."""
    found = guarded(pickle.loads, pickled)
    if not isinstance(found, Caught):
        return found
    unreadable = UnreadableError(
        key,
        f"{what} cannot be unpickled here ({words(found.error)}); have the same modules here as at "
        "the nodes",
    )
    unreadable.__cause__ = found.error
    return Caught(unreadable)
