"""A user's own policy: one function, compiled here, named on the command line.

`--policy package.module:function`. The function has the contract's signature; `view.table` holds
the price 1 / l'(N) of one more job, `view.parameter[edge, 0]` the backend's capacity in jobs/s, and
`view.memory[edge, 0:4]` is free for its own use.

numba swallows an exception of a function that is called by address, and returns 0 from it. So the
function is compiled into a guard that returns RAISED instead, which no kernel takes for an edge,
and notes the call in `view.option`, so that Python can repeat it and say what was raised.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numba
import numpy as np

from isocline.compilation.compiled import by_address
from isocline.compilation.returned_values import PlainCompiler
from isocline.errors import PolicyError
from isocline.policies.own_code import (
    CANNOT_COMPILE,
    Function,
    Wanted,
    as_written,
    raised,
    require_function,
    require_signature,
    uncompilable,
)
from isocline.policies.routing.contract import (
    CHOOSE,
    OBSERVE,
    FloatArray,
    RoutingPolicy,
    Setting,
    View,
    observe_nothing,
)
from isocline.user_code import is_own, place

MEMORY = 4
CHOICE = Wanted(
    "choose",
    "choose(candidates, view, now, rng) -> edge",
    "an edge",
    CHOOSE,
    4,
    "value_as(CHOOSE)",
)
OBSERVATION = Wanted(
    "observe", "observe(edge, latency, now, view)", "nothing", OBSERVE, 4, "value_as(OBSERVE)"
)
RAISED = -2  # neither an edge nor HOLD
# Of the call that raised, in `view.option`: how many candidates (0: none raised), the first of
# them, and the time, s.
COUNT, FIRST, NOW = 0, 1, 2


@final
@dataclass(frozen=True)
class Custom(RoutingPolicy):
    """A policy made of a user's function `choose(candidates, view, now, rng) -> edge`."""

    label: str  # module:function, or as on the command line
    function: Any  # a numba CFunc: kernels call it by address
    python: Callable[..., Any]  # as the user wrote it

    def __reduce__(self) -> Any:
        return custom, (self.label, self.python)  # another process compiles it for itself

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
            return PolicyError(f"policy {self.label} raised {raised(error, {code.co_filename})}")
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
    require_signature(label, python, CHOICE)
    try:
        compiled = _guarded(python)
    except CANNOT_COMPILE as error:
        raise uncompilable(label, python, error, CHOICE) from error
    return Custom(label, compiled, python)


def _guarded(python: Callable[..., Any]) -> Any:
    """The function as a callback that returns RAISED where the function raises."""
    choose = numba.njit(
        CHOOSE, error_model="numpy", no_cpython_wrapper=True, pipeline_class=PlainCompiler
    )(python)

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


def require_compiled(label: str, policy: RoutingPolicy) -> None:
    """Check the functions of a user's class of policies.

    Raises:
        PolicyError: `choose` or `observe` is missing, not compiled, or has other parameters.
    """
    for wanted in (CHOICE, OBSERVATION):
        function = getattr(type(policy), wanted.name, None)
        if function is None:
            raise PolicyError(f"policy {label} has no {wanted.name}; give {wanted.call}, compiled")
        if is_own(function):
            require_function(label, function, wanted)


def functions_of(policy: RoutingPolicy) -> tuple[Function, Function]:
    """The compiled functions of a policy, and what they must be."""
    choose, observe = policy.functions()
    return Function(choose, CHOICE), Function(observe, OBSERVATION)


def callable_from_python(function: Any) -> Any:
    """`choose` of a policy for a caller in Python, where a function by address is not compiled."""
    if not isinstance(function, numba.core.ccallback.CFunc):
        return function

    def call(candidates: Any, view: Any, now: Any, rng: Any) -> Any:
        return function(candidates, view, now, rng)

    return numba.njit(call)
