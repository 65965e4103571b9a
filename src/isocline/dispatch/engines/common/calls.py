"""Calls of functions on a node; results and errors as bytes."""

import pickle
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from isocline.dispatch import pickling
from isocline.dispatch.errors import AT_NODE, RemoteError, ResultError
from isocline.dispatch.user_code_guard import words

Function = Callable[..., object]

_ENGINES = str(Path(__file__).parents[1])


def call(
    function: Function, arguments: bytes, *chunk: object, resolve: pickling.Resolve | None = None
) -> bytes:
    """Return the pickled value of function(*chunk, *args, **kwargs).

    With `resolve`, the arguments may refer to inputs.

    Raises:
        ResultError: The value cannot be pickled.
        BaseException: Any exception of the function.
    """
    args, kwargs = pickling.loads(arguments, resolve) if resolve else pickle.loads(arguments)
    return pickled(function(*chunk, *args, **kwargs))


def pickled(value: object) -> bytes:
    """Pickle a value by pickle, or by cloudpickle if necessary, as for classes of `__main__`."""
    try:
        return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    except Exception:  # failures of pickle have various types
        try:
            by_value: bytes = pickling.dumps(value)
        except Exception as error:
            raise ResultError(
                AT_NODE,
                f"the result, of type {type(value).__qualname__}, cannot be pickled: "
                f"{words(error)}; return plain data, or write it to a file and return its name",
            ) from error
        return by_value


def failure(error: BaseException) -> tuple[bytes, str]:
    """Pickle an exception, and format its traceback, starting at user code."""
    trace = error.__traceback__
    while trace and trace.tb_next and _ours(trace):
        trace = trace.tb_next
    text = "".join(traceback.format_exception(type(error), error, trace))
    return _error_pickled(error), text


def _ours(trace: TracebackType) -> bool:
    return trace.tb_frame.f_code.co_filename.startswith(_ENGINES)


def _error_pickled(error: BaseException) -> bytes:
    """Pickle an exception, and verify that it can be unpickled, which fails for many."""
    try:
        data: bytes = pickling.dumps(error)
        pickle.loads(data)
    except BaseException:  # of any kind, even an Interruption: the task is already over
        return pickle.dumps(RemoteError(AT_NODE, words(error)))
    return data
