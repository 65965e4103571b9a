"""The one way this project compiles a function, so that options and types are the same everywhere.

Compiled once, cached beside the source file, and run without the interpreter's lock, so that
replications use all cores. numba is imported only here and in files that hold compiled code; the
package and `isocline --help` never load them.

A cached function is recompiled when *its own* file changes. After an edit to a helper that is
inlined elsewhere, run `make clean`, or the callers keep the old one.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])

# Division by zero gives inf as in C, not an exception: prices at full capacity are infinite.
_OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}


def compiled(function: F) -> F:
    """Compile `function` at its first call, for the types it is called with."""
    return cast(F, numba.njit(**_OPTIONS)(function))


def compiled_as(signature: Any) -> Callable[[F], F]:
    """Compile at once for one signature: what a function passed as a value must have."""

    def decorate(function: F) -> F:
        return cast(F, numba.njit(signature, **_OPTIONS)(function))

    return decorate
