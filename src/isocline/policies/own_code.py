"""Errors of a user's compiled functions, said in one line that names policy, function and place.

numba reports what it cannot compile, and what a compiled function raises, as the failure of the
kernel that has the function inside. Here the blame is put where it belongs.
"""

import inspect
import re
import traceback
from collections.abc import Callable, Iterable
from inspect import Parameter
from typing import Any, NamedTuple, final

from numba.core.ccallback import CFunc
from numba.core.errors import NumbaError, UnsupportedBytecodeError
from numba.core.registry import CPUDispatcher

from isocline.compilation.compiled import value_as
from isocline.errors import PolicyError
from isocline.user_code import is_own, place

CANNOT_COMPILE = (NumbaError, UnsupportedBytecodeError)
_NOT_AT_ONCE = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


@final
class Wanted(NamedTuple):
    """Requirements on a function of a policy."""

    name: str  # of the function, in the class: "choose"
    call: str  # with its parameters, as documentation has it: "due(view, now) -> time"
    returns: str  # in words
    signature: Any  # numba's
    parameters: int
    decorator: str  # what stands above it: "value_as(CHOOSE)"


@final
class Function(NamedTuple):
    """A compiled function of a policy, and what it must be."""

    code: Any
    wanted: Wanted


def is_compiled(function: object) -> bool:
    """Whether numba has compiled a function, or will."""
    return isinstance(function, CPUDispatcher | CFunc)


def as_written(function: Callable[..., Any]) -> Callable[..., Any]:
    """The Python function of what numba has compiled, a dispatcher or a callback."""
    python: Callable[..., Any] = getattr(function, "py_func", inspect.unwrap(function))
    return python


def require_function(label: str, function: Any, wanted: Wanted) -> None:
    """Check a function of a user's class, as far as it can be without compiling it.

    Raises:
        PolicyError: It is not compiled, has other parameters, or does not return at once.
    """
    if not is_compiled(function):
        raise PolicyError(
            f"policy {label}: {wanted.name} is not compiled; write {wanted.call} as a function of "
            f"the module, with @{wanted.decorator} above it, and give the class {wanted.name}"
        )
    require_signature(label, as_written(function), wanted)


def require_signature(label: str, function: Callable[..., Any], wanted: Wanted) -> None:
    """Check the positional parameters, and that a value is returned at once.

    Raises:
        PolicyError: It has others; or it is a generator, a coroutine or no Python function.
    """
    code = getattr(function, "__code__", None)
    if code is None:
        raise PolicyError(f"policy {label} is no Python function; it must be {wanted.call}")
    parameters = inspect.signature(function).parameters.values()
    positional = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    right = len(parameters) == wanted.parameters and all(
        one.kind in positional for one in parameters
    )
    if right and not code.co_flags & _NOT_AT_ONCE:
        return
    where = place(code.co_filename, code.co_firstlineno)
    found = f"{code.co_name}({', '.join(map(str, parameters))})"
    if code.co_flags & _NOT_AT_ONCE:
        found = f"{found}, a generator or coroutine"
    raise PolicyError(f"policy {label} ({where}): it must be {wanted.call}; found {found}")


def blame(label: str, functions: Iterable[Function], error: Exception) -> None:
    """Raise PolicyError in place of an error of a kernel if a user's function is to blame for it.

    Args:
        label: What the policy is called.
        functions: Those of the policy.
        error: What the kernel raised, or what kept it from being compiled.
    """
    own = [function for function in functions if is_own(function.code)]
    if not own or isinstance(error, PolicyError):
        return
    if not isinstance(error, CANNOT_COMPILE):
        raise PolicyError(f"policy {label} raised {raised(error, _files(own))}") from error
    for code, wanted in own:
        python = as_written(code)
        alone: Any = value_as(wanted.signature)(python)
        try:
            alone.compile(wanted.signature)
        except CANNOT_COMPILE as problem:
            raise uncompilable(label, python, problem, wanted) from error


def _files(functions: Iterable[Function]) -> set[str]:
    return {as_written(function.code).__code__.co_filename for function in functions}


def raised(error: Exception, files: Iterable[str]) -> str:
    """The class of an exception, what it says, and the last line of a user's file on its way."""
    lines = list(traceback.extract_tb(error.__traceback__))
    theirs = [frame for frame in lines if frame.filename in files] or lines
    said = " ".join(str(error).split())
    kind = type(error).__name__
    where = place(theirs[-1].filename, theirs[-1].lineno or 0)
    return f"{kind}{f': {said}' if said else ''} ({where})"


def uncompilable(
    label: str, python: Callable[..., Any], error: Exception, wanted: Wanted
) -> PolicyError:
    """The error about a function that numba cannot compile for its signature."""
    return PolicyError(
        f"policy {label} ({_place(error, python)}): numba cannot compile it: "
        f"{_reason(error, wanted)}; it must be {wanted.call}, see docs/own.md"
    )


def _place(error: Exception, function: Callable[..., Any]) -> str:
    """The innermost line of the user's code that numba names, or else the function's first."""
    if inner := re.search(r" (?:at|from) (\S+) \((\d+)\)", str(error)):
        return place(inner[1], int(inner[2]))
    loc = getattr(error, "loc", None)
    if loc is not None:
        return place(loc.filename, loc.line)
    return place(function.__code__.co_filename, function.__code__.co_firstlineno)


def _reason(error: Exception, wanted: Wanted) -> str:
    """First line of numba's message, without places in its own code."""
    lines = [line.strip() for line in str(error).splitlines()]
    said = next(line for line in lines if line and not line.startswith("Failed in"))
    call = next((line.removeprefix(">>> ") for line in lines if line.startswith(">>> ")), None)
    if call:
        return f"there is no {call}"
    if said.startswith("No conversion from"):
        return f"it returns {said.split()[3]}, not {wanted.returns}"
    return re.sub(r"( of type \w+)\(.*\)|\. Raised from.*", r"\1", said).rstrip(".")
