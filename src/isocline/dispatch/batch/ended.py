"""What became of one task of a batch, as plain data."""

import dataclasses
import math
from collections.abc import Mapping
from concurrent.futures import CancelledError
from typing import Any, NamedTuple

from isocline.dispatch.errors import RemoteTracebackError
from isocline.dispatch.futures import TaskFuture


class Failure(NamedTuple):
    """Why a task has no result."""

    key: str
    chunk: str
    node: str | None  # where it was last
    error: str  # its type and words
    traceback: str | None  # of the function at its node; None: it did not raise


class Finished(NamedTuple):
    """A task's result."""

    key: str
    chunk: str
    node: str | None  # where it ran; None: in an earlier run
    result: Any  # as JSON has it


def ended(future: TaskFuture[Any], chunk: str) -> Finished | Failure:
    """What a future that is done has come to."""
    try:
        return Finished(future.key, chunk, future.node, plain(future.result()))
    except (Exception, CancelledError) as error:
        cause = error.__cause__
        trace = str(cause.args[0]) if isinstance(cause, RemoteTracebackError) else None
        return Failure(future.key, chunk, future.node, _words(error), trace)


def plain(value: Any) -> Any:
    """A value as JSON has it: nan and inf are null, arrays lists, records mappings.

    Raises:
        TypeError: There is no such form.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(entry) for entry in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if hasattr(value, "tolist"):  # of NumPy, pandas, Arrow
        return plain(value.tolist())
    raise TypeError(
        f"the result, of type {type(value).__qualname__}, cannot be written as JSON; return plain "
        "data, or write it to a file and return its name"
    )


def _words(error: BaseException) -> str:
    words = str(error)
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
