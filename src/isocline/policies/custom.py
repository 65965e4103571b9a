"""A user's own policy: one function, compiled here, named on the command line.

`--policy package.module:function`. The function has the contract's signature; `view.table` holds
the price 1 / l'(N) of one more job, `view.parameter[edge, 0]` the backend's capacity in jobs/s, and
`view.memory[edge, 0:4]` is free for its own use.

numba swallows an exception of a function that is called by address, and returns 0 from it. So the
function is compiled into a guard that returns RAISED instead, which no kernel takes for an edge,
and notes the call in `view.option`, so that Python can repeat it and say what was raised.
"""

import inspect
import re
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from inspect import Parameter
from typing import Any, final

import numba
import numpy as np
from numba.core.ccallback import CFunc
from numba.core.errors import NumbaError, UnsupportedBytecodeError
from numba.core.registry import CPUDispatcher

from isocline.compiled import by_address
from isocline.errors import PolicyError
from isocline.policies.contract import (
    CHOOSE,
    FloatArray,
    RoutingPolicy,
    Setting,
    View,
    observe_nothing,
)
from isocline.user_code import place

MEMORY = 4
WANTED = "choose(candidates, view, now, rng) -> edge"
PARAMETERS = 4
RAISED = -2  # neither an edge nor HOLD
# Of the call that raised, in `view.option`: how many candidates (0: none raised), the first of
# them, and the time, s.
COUNT, FIRST, NOW = 0, 1, 2
_NOT_AT_ONCE = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


@final
@dataclass(frozen=True)
class Custom(RoutingPolicy):
    """A policy made of a user's function `choose(candidates, view, now, rng) -> edge`."""

    label: str  # module:function, or as on the command line
    function: Any  # a numba CFunc: kernels call it by address
    python: Callable[..., Any]  # as the user wrote it

    @property
    def name(self) -> str:  # type: ignore[override]  # of one policy here, not of a class
        return self.label

    def table(self, setting: Setting, workloads: FloatArray) -> FloatArray:
        with np.errstate(divide="ignore"):
            return 1.0 / np.array([curve.marginal(workloads) for curve in setting.curves])

    def parameter(self, setting: Setting) -> FloatArray:
        return setting.capacities[setting.graph.sink][:, None].copy()

    def memory(self, setting: Setting) -> FloatArray:
        return np.zeros((setting.graph.edges, MEMORY))

    def option(self) -> FloatArray:
        return np.zeros(3)

    def functions(self) -> tuple[Any, Any]:
        return self.function, observe_nothing

    def misplaced(self, view: View, rng: Any) -> PolicyError:
        if not view.option[COUNT]:
            return super().misplaced(view, rng)
        code = self.python.__code__
        where = place(code.co_filename, code.co_firstlineno)
        first, count = int(view.option[FIRST]), int(view.option[COUNT])
        candidates = np.arange(first, first + count, dtype=np.int32)
        try:
            self.python(candidates, view, float(view.option[NOW]), rng)
        except Exception as error:
            return PolicyError(f"policy {self.label} raised {_raised(error, code.co_filename)}")
        # What it remembers may have changed before it raised.
        return PolicyError(
            f"policy {self.label} ({where}) raised an exception at {view.option[NOW]:g} s, but did "
            "not when that call was repeated in Python; call it in a test of your own to see it"
        )


def custom(label: str, function: Callable[..., Any]) -> Custom:
    """Compile a user's function for the contract's signature.

    It is called by address rather than inlined: a sixth slower, but its kernel is compiled once
    for all such functions, so that a new policy costs a fraction of a second.

    Raises:
        PolicyError: It has another signature, or numba cannot compile it; the message is one line
            with the place in the user's file.
    """
    python = as_written(function)
    _require_signature(label, python)
    try:
        compiled = _guarded(python)
    except (NumbaError, UnsupportedBytecodeError) as error:
        raise PolicyError(
            f"policy {label} ({_place(error, python)}): numba cannot compile it: {_reason(error)}; "
            f"it must be {WANTED}, see docs/own.md"
        ) from error
    return Custom(label, compiled, python)


def _guarded(python: Callable[..., Any]) -> Any:
    """The function as a callback that returns RAISED where the function raises."""
    choose = numba.njit(CHOOSE, error_model="numpy", no_cpython_wrapper=True)(python)

    def guard(candidates: Any, view: Any, now: float, rng: Any) -> int:
        state, increment = rng[0], rng[1]
        try:
            edge = choose(candidates, view, now, rng)
        except Exception:
            rng[0], rng[1] = state, increment
            view.option[COUNT], view.option[FIRST] = candidates.size, candidates[0]
            view.option[NOW] = now
            edge = RAISED
        return edge  # type: ignore[no-any-return]

    # Without numba's runtime: it would count references to the view's arrays a second time.
    return by_address(CHOOSE, cached=False, plain=True)(guard)


def _raised(error: Exception, filename: str) -> str:
    """The class of an exception, what it says, and the last line of a user's file on its way."""
    lines = list(traceback.extract_tb(error.__traceback__))
    theirs = [frame for frame in lines if frame.filename == filename] or lines
    said = " ".join(str(error).split())
    kind = type(error).__name__
    where = place(theirs[-1].filename, theirs[-1].lineno or 0)
    return f"{kind}{f': {said}' if said else ''} ({where})"


def as_written(function: Callable[..., Any]) -> Callable[..., Any]:
    """The Python function of what numba has compiled, a dispatcher or a callback."""
    python: Callable[..., Any] = getattr(function, "py_func", inspect.unwrap(function))
    return python


def require_compiled(label: str, policy: RoutingPolicy) -> None:
    """Check the functions of a user's class of policies.

    Raises:
        PolicyError: `choose` or `observe` is missing, or not compiled.
    """
    for name, wanted in (("choose", WANTED), ("observe", "observe(edge, latency, now, view)")):
        function = getattr(type(policy), name, None)
        if function is None:
            raise PolicyError(f"policy {label} has no {name}; give {wanted}, compiled")
        if not isinstance(function, CPUDispatcher | CFunc):
            raise PolicyError(
                f"policy {label}: {name} is not compiled; write {wanted} as a function of the "
                f"module, with @value_as({name.upper()}) above it, and {name} = ... in the class"
            )


def _require_signature(label: str, function: Callable[..., Any]) -> None:
    """Four positional parameters, and a value returned at once."""
    code = getattr(function, "__code__", None)
    if code is None:
        raise PolicyError(f"policy {label} is no Python function; it must be {WANTED}")
    parameters = inspect.signature(function).parameters.values()
    positional = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    right = len(parameters) == PARAMETERS and all(one.kind in positional for one in parameters)
    if right and not code.co_flags & _NOT_AT_ONCE:
        return
    where = place(code.co_filename, code.co_firstlineno)
    found = f"{code.co_name}({', '.join(map(str, parameters))})"
    if code.co_flags & _NOT_AT_ONCE:
        found = f"{found}, a generator or coroutine"
    raise PolicyError(f"policy {label} ({where}): it must be {WANTED}; found {found}")


def _place(error: Exception, function: Callable[..., Any]) -> str:
    """The innermost line of the user's code that numba names, or else the function's first."""
    if inner := re.search(r" (?:at|from) (\S+) \((\d+)\)", str(error)):
        return place(inner[1], int(inner[2]))
    loc = getattr(error, "loc", None)
    if loc is not None:
        return place(loc.filename, loc.line)
    return place(function.__code__.co_filename, function.__code__.co_firstlineno)


def _reason(error: Exception) -> str:
    """What numba says first, without its own whereabouts."""
    lines = [line.strip() for line in str(error).splitlines()]
    said = next(line for line in lines if line and not line.startswith("Failed in"))
    call = next((line.removeprefix(">>> ") for line in lines if line.startswith(">>> ")), None)
    if call:
        return f"there is no {call}"
    if said.startswith("No conversion from"):
        return f"it returns {said.split()[3]}, not an edge"
    return re.sub(r"( of type \w+)\(.*\)|\. Raised from.*", r"\1", said).rstrip(".")
