"""Pickling of users' functions and values by cloudpickle, with the names of source files preserved.

Some releases of cloudpickle, such as 3.1.3, write `<dynamic-code>` for the file name of functions
pickled by value. Tracebacks from workers would then show neither the user's file nor the line's
text, so the name is pickled beside the code and restored by the reader.
"""

import io
from collections.abc import Callable
from types import CodeType
from typing import Any, final

import cloudpickle

_Reduction = tuple[Callable[..., Any], tuple[Any, ...]]


@final
class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is CodeType:
            return _with_file, (obj.co_filename, *_reduction(obj))
        return super().reducer_override(obj)


def dumps(value: Any) -> bytes:
    """Pickle a value for `pickle.loads`, with functions and classes by value if necessary.

    Raises:
        Exception: Any exception that the value, or a part of it, raises when pickled.
    """
    file = io.BytesIO()
    _Pickler(file).dump(value)
    return file.getvalue()


def _reduction(code: CodeType) -> _Reduction:
    """Return cloudpickle's reduction of code, which has the arguments that this Python needs."""
    reduction: _Reduction = cloudpickle.Pickler.dispatch_table[CodeType](code)
    return reduction


def _with_file(
    filename: str, make: Callable[..., CodeType], arguments: tuple[Any, ...]
) -> CodeType:
    return make(*arguments).replace(co_filename=filename)
