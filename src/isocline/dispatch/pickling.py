"""Pickling of users' functions and values, by cloudpickle, with the names of their files kept.

Some releases of cloudpickle, 3.1.3 for one, write `<dynamic-code>` in place of the file of each
function that they pickle by value. Tracebacks from workers would then show neither the user's file
nor the text of the line, so the name travels beside the code and is put back by the reader.
"""

import io
from collections.abc import Callable
from types import CodeType
from typing import Any

import cloudpickle

_Reduction = tuple[Callable[..., Any], tuple[Any, ...]]


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is CodeType:
            return _with_file, (obj.co_filename, *_reduction(obj))
        return super().reducer_override(obj)


def dumps(value: Any) -> bytes:
    """Pickle a value for `pickle.loads`, with functions and classes by value where need be.

    Raises:
        Exception: Whatever the value, or a part of it, raises when it cannot be pickled.
    """
    file = io.BytesIO()
    _Pickler(file).dump(value)
    return file.getvalue()


def _reduction(code: CodeType) -> _Reduction:
    """Return cloudpickle's reduction of code; it knows the arguments that each Python needs."""
    reduction: _Reduction = cloudpickle.Pickler.dispatch_table[CodeType](code)
    return reduction


def _with_file(
    filename: str, make: Callable[..., CodeType], arguments: tuple[Any, ...]
) -> CodeType:
    return make(*arguments).replace(co_filename=filename)
