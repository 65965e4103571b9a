"""Calls of policies by address, so that one compiled kernel serves them all.

A policy inside the kernel saves a call at every decision, some nanoseconds, which matters to the
simulator. The live core spends 13 us on a task, and a kernel compiled for each policy cost every
first run another eight seconds. Functions get the view by its address (`compilation.addresses`), as
an argument it took 33 ns a call. Only a user's own functions are parts of the kernel there, too, so
that what they raise is seen.
"""

import functools
from collections.abc import Callable
from typing import Any

from numba.core.ccallback import CFunc

from isocline.compilation.addresses import Address, by_record
from isocline.compilation.compiled import Declared, by_address
from isocline.compilation.kept_arguments import kept
from isocline.policies.scheduling.contract import CALL, CHANGED, DUE, PICK, ROUTE, VIEW, Rules
from isocline.user_code import is_own

_SIGNATURES = Rules(ROUTE, CALL, PICK, DUE, CHANGED)


def rules_by_address(rules: Rules) -> Rules:
    """Compile or load each function once, to be called by address."""
    return Rules(*map(_function_by_address, _SIGNATURES, rules))


def rules_at(rules: Rules, view: int) -> Rules:
    """Have functions read the view that is kept, alone, at this address (`KeptArguments`)."""
    return Rules(*(rule.with_record(view) if isinstance(rule, Address) else rule for rule in rules))


@functools.cache
def _function_by_address(signature: Any, function: Any) -> Any:
    """Make a function called by address; a user's own stays a part of the kernel.

    numba swallows what a function raises that is called by address, and gives 0 in place of what it
    would have returned.
    """
    if not isinstance(function, Declared) or is_own(function):
        return function
    # One that is no part of kernels only has its own code on disk, under the same name.
    made = by_address(
        by_record(signature, VIEW), cached=function.is_inner, plain=True, code_of=function.py_func
    )(on_kept_view(signature, function))
    return Address.of(made, signature, VIEW) if isinstance(made, CFunc) else function


def on_kept_view(signature: Any, function: Any) -> Any:
    """Wrap a compiled function of a policy: Python that gets the view by address."""
    return _ON_KEPT_VIEW[signature](function)


def _route(function: Any) -> Any:
    def route(local: Any, at: Any, now: float, rng: Any) -> int:
        return function(local, kept(at)[0], now, rng)  # type: ignore[no-any-return]

    return route


def _call(function: Any) -> Any:
    def call(local: Any, queue: int, at: Any, now: float, rng: Any) -> int:
        return function(local, queue, kept(at)[0], now, rng)  # type: ignore[no-any-return]

    return call


def _pick(function: Any) -> Any:
    def pick(server: int, at: Any, now: float, rng: Any) -> int:
        return function(server, kept(at)[0], now, rng)  # type: ignore[no-any-return]

    return pick


def _due(function: Any) -> Any:
    def due(at: Any, now: float) -> float:
        return function(kept(at)[0], now)  # type: ignore[no-any-return]

    return due


def _changed(function: Any) -> Any:
    def changed(queue: int, at: Any) -> None:
        function(queue, kept(at)[0])

    return changed


_ON_KEPT_VIEW: dict[Any, Callable[[Any], Any]] = {
    ROUTE: _route,
    CALL: _call,
    PICK: _pick,
    DUE: _due,
    CHANGED: _changed,
}
