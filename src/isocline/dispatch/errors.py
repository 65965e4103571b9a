"""How a task can end without a result of its own, and what goes wrong with a run as a whole.

What a function raises reaches the caller as it was raised, with the traceback of the worker as its
cause and the task's key in a note.
"""

import pickle
from typing import Any

from isocline.dispatch.actions import GiveUp, Reason
from isocline.errors import IsoclineError


class TaskError(IsoclineError):
    """A task ended without a result, and not by what its function raised.

    Attributes:
        key: The task's.
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


class TimeLimitError(TaskError):
    """The task ran for longer than its limit."""


class UnreadableError(TaskError):
    """Its result, or what it raised, cannot be unpickled here."""


class EngineClosedError(TaskError):
    """The scheduler or its engine ended before the task did."""


class JournalError(IsoclineError, ValueError):
    """A journal cannot be used, written or continued; the message names the file and the remedy."""


class RemoteTracebackError(Exception):
    """The traceback of a worker, as text: the cause of an exception that was raised there."""

    def __str__(self) -> str:
        return f'\n"""\n{self.args[0]}"""'


def raised(key: str, node: str, pickled: bytes, text: str) -> BaseException:
    """What a task's function raised at a node, from its pickle and its traceback there."""
    found = unpickled(key, "what it raised", pickled)
    if isinstance(found, BaseException):
        error = found
    else:
        error = UnreadableError(key, f"what it raised is no exception: {found!r}")
    error.__cause__ = RemoteTracebackError(text)
    error.add_note(f"task {key!r} at node {node!r}")
    return error


def over_limit(key: str, node: str, limit: float | None, ran: float) -> TimeLimitError:
    """The task ran for `ran` s until it was stopped, longer than its limit, s."""
    limit = ran if limit is None else limit  # an engine may have limits of its own
    # A task that is deep in compiled code is stopped later, with its worker.
    late = f" (it was stopped after {ran:.3g} s)" if ran > 1.1 * limit + 0.1 else ""
    return TimeLimitError(
        key,
        f"still ran at node {node!r} after its limit of {limit:g} s{late}; give it more time "
        "(limit=) or smaller chunks",
    )


def given_up(key: str, action: GiveUp, last: BaseException | None) -> BaseException:
    """Why the core gave a task up, if `last` is what its last attempt came to."""
    if action.reason in (Reason.RAISED, Reason.TIMED_OUT) and last is not None:
        return last
    kind = QuarantinedError if action.reason is Reason.QUARANTINED else NoHolderError
    error = kind(key, action.detail)
    error.__cause__ = last
    return error


def unpickled(key: str, what: str, pickled: bytes) -> Any:
    """What is in a pickle, or an UnreadableError."""
    try:
        return pickle.loads(pickled)
    except Exception as error:  # whatever the user's classes raise
        unreadable = UnreadableError(
            key,
            f"{what} cannot be unpickled here ({type(error).__name__}: {error}); have the same "
            "modules here as at the nodes",
        )
        unreadable.__cause__ = error
        return unreadable
