"""The one way this project compiles a function, so that options and types are the same everywhere.

Compiled once, cached beside the source file, and run without the interpreter's lock, so that
replications use all cores. numba is imported only here and in files that hold compiled code; the
package and `isocline --help` never load them.

A cached function is recompiled when *its own* file changes. After an edit to a helper that is
inlined elsewhere, run `make clean`, or the callers keep the old one.
"""

import hashlib
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numba.extending

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

# Division by zero gives inf as in C, not an exception: prices at full capacity are infinite.
_OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}
# Without numba's runtime an array is not reference-counted. Counting is an atomic instruction for
# each array in each call: it made a policy that takes 40 ns take 120.
_PLAIN: dict[str, Any] = _OPTIONS | {"_nrt": False}
# Part of another function and of no other use: numba need not make it callable from elsewhere.
_INLINE: dict[str, Any] = {
    "forceinline": True,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}


def compiled(function: F) -> F:
    """Compile `function` at its first call, for the types it is called with."""
    return cast(F, numba.njit(**_OPTIONS)(function))


def kernel(function: F) -> F:
    """`compiled`, for a function that creates no arrays (slices of its arguments are free)."""
    return cast(F, numba.njit(**_PLAIN)(function))


def value_as(signature: Any) -> Callable[[F], F]:
    """Compile at once a function that kernels get as a value, and inline: a policy.

    A kernel compiled with such a function is cached under its identity. numba's own identity of a
    function is new in every process, so that no cached kernel would ever be found again; ours is
    its name and source. `tests/policies/test_caching.py` holds numba to this.
    """
    return lambda function: _identified(function, numba.njit(signature, **_PLAIN)(function))


def inlined(function: F) -> F:
    """`kernel`, for a function that is always inlined into one.

    A call passes every array of a record as seven numbers. With the twenty arrays of a cluster that
    made an event seven times as slow, and the compiler does not inline such calls on its own.
    """
    return cast(F, numba.njit(**_PLAIN, **_INLINE)(function))


def inlined_as(signature: Any) -> Callable[[F], F]:
    """`value_as`, for a function that is `inlined`."""
    return lambda function: _identified(
        function, numba.njit(signature, **_PLAIN, **_INLINE)(function)
    )


def _identified(function: F, made: Any) -> F:
    source = hashlib.sha256(inspect.getsource(function).encode()).hexdigest()
    made._set_uuid(f"{function.__module__}.{function.__qualname__}:{source}")
    return cast(F, made)


def array_of(dtype: Any, dimensions: int = 1) -> Any:
    """The type of a C-contiguous array, for signatures."""
    return numba.types.Array(dtype, dimensions, "C")


def record_of(record: type[Any], *fields: Any) -> Any:
    """The type of a NamedTuple whose fields have these types, for signatures."""
    numba_types: Any = numba.types
    if len(set(fields)) == 1:  # numba takes a tuple of equal types for another kind of tuple
        return numba_types.NamedUniTuple(fields[0], len(fields), record)
    return numba_types.NamedTuple(list(fields), record)


def one_type(record: type[T]) -> type[T]:
    """Mark a NamedTuple whose instances all have fields of the same types.

    numba asks a record that holds a function for the type of every field at every call: 12 us for
    an array, most of the time of a small level flow. Of these it asks the first instance only.
    """

    def type_of(value: Any, context: Any) -> Any:
        if record not in _TYPE_OF:
            fields = [numba.extending.typeof_impl(field, context) for field in value]
            make: Any = numba.types.BaseTuple.from_types
            _TYPE_OF[record] = make(fields, record)
        return _TYPE_OF[record]

    numba.extending.typeof_impl.register(record)(type_of)
    return record


_TYPE_OF: dict[type[Any], Any] = {}
