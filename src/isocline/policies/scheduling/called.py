"""Calls of policies by address, so that one compiled kernel serves them all.

A policy inside the kernel saves a call at every question, some tens of nanoseconds, which matters
to the simulator. The live core spends 30 us on a task, and a kernel compiled for each policy cost
every first run another eight seconds; called by address a task takes 4 % longer. Only a user's own
functions are parts of the kernel there, too, so that what they raise is seen.
"""

import functools
from typing import Any

from numba.core.ccallback import CFunc

from isocline.compilation.addresses import Address
from isocline.compilation.compiled import Declared, by_address
from isocline.policies.scheduling.contract import CALL, CHANGED, DUE, PICK, ROUTE, Rules
from isocline.user_code import is_own

_SIGNATURES = Rules(ROUTE, CALL, PICK, DUE, CHANGED)


def called(rules: Rules) -> Rules:
    """The same functions, each compiled once, or loaded, and called by address."""
    return Rules(*map(_called, _SIGNATURES, rules))


@functools.cache
def _called(signature: Any, function: Any) -> Any:
    """One function; one of a user's stays as it is, a part of the kernel.

    numba swallows what a function raises that is called by address, and gives 0 in place of what it
    would have returned.
    """
    if isinstance(function, Declared) and not is_own(function):
        # One that is no part of kernels only has its own code on disk, under the same name.
        function = by_address(signature, cached=function.is_inner, plain=True)(function.py_func)
    return Address.of(function, signature) if isinstance(function, CFunc) else function
