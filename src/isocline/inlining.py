"""Functions that kernels always inline: for those that many arrays are passed to.

A call passes every array of a record as seven numbers. With the twenty arrays of a cluster that
made an event seven times as slow, and the compiler does not inline such calls on its own.
"""

import hashlib
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS: dict[str, Any] = {
    "cache": True,
    "nogil": True,
    "error_model": "numpy",
    "_nrt": False,
    "forceinline": True,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}


def inlined(function: F) -> F:
    """`isocline.compiled.kernel`, for a function that is part of one."""
    return cast(F, numba.njit(**_OPTIONS)(function))


def inlined_as(signature: Any) -> Callable[[F], F]:
    """`isocline.compiled.value_as`, for a function that is part of a kernel."""

    def decorate(function: F) -> F:
        made = numba.njit(signature, **_OPTIONS)(function)
        source = hashlib.sha256(inspect.getsource(function).encode()).hexdigest()
        made._set_uuid(f"{function.__module__}.{function.__qualname__}:{source}")
        return cast(F, made)

    return decorate
