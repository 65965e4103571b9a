"""Pickling of users' functions and values by cloudpickle, with the names of source files preserved.

Some releases of cloudpickle, such as 3.1.3, write `<dynamic-code>` for the file name of functions
pickled by value. Tracebacks from workers would then show neither the user's file nor the line's
text, so the name is pickled beside the code and restored by the reader.
"""

import io
import pickle
from collections.abc import Callable
from contextvars import ContextVar
from types import CodeType
from typing import Any, final

import cloudpickle

Refer = Callable[[object], int | None]
"""Function from an object to the number of the input that it stands for, if it does."""
Resolve = Callable[[int], object]
"""Function from the number of an input to its value."""

_Reduction = tuple[Callable[..., Any], tuple[Any, ...]]


@final
class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    refer: Refer | None = None

    def reducer_override(self, obj: Any) -> Any:
        if self.refer is not None and (number := self.refer(obj)) is not None:
            return _resolved, (number,)
        if type(obj) is CodeType:
            return _with_file, (obj.co_filename, *_reduction(obj))
        return super().reducer_override(obj)


def dumps(value: Any, refer: Refer | None = None) -> bytes:
    """Pickle a value for `pickle.loads`, with functions and classes by value if necessary.

    With `refer`, parts that stand for inputs are pickled as references, for `loads`.

    Raises:
        Exception: Any exception that the value, or a part of it, raises when pickled.
    """
    file = io.BytesIO()
    pickler = _Pickler(file)
    pickler.refer = refer
    pickler.dump(value)
    return file.getvalue()


_RESOLVE: ContextVar[Resolve] = ContextVar("resolve")


def loads(data: bytes, resolve: Resolve) -> Any:
    """Unpickle a value, with the inputs to which it refers in their places.

    Raises:
        Exception: Any exception of unpickling, or of `resolve`.
    """
    token = _RESOLVE.set(resolve)
    try:
        return pickle.loads(data)
    finally:
        _RESOLVE.reset(token)


def _resolved(number: int) -> object:
    return _RESOLVE.get()(number)


def _reduction(code: CodeType) -> _Reduction:
    """Return cloudpickle's reduction of code, which has the arguments that this Python needs."""
    reduction: _Reduction = cloudpickle.Pickler.dispatch_table[CodeType](code)
    return reduction


def _with_file(
    filename: str, make: Callable[..., CodeType], arguments: tuple[Any, ...]
) -> CodeType:
    return make(*arguments).replace(co_filename=filename)
