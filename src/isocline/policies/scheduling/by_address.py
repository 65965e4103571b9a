"""Calls of policies by address, so that one compiled kernel serves them all.

A policy inside the kernel saves a call at every decision, some tens of nanoseconds, which matters
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


def rules_by_address(rules: Rules) -> Rules:
    """Compile or load each function once, and call it by address."""
    return Rules(*map(_function_by_address, _SIGNATURES, rules))


@functools.cache
def _function_by_address(signature: Any, function: Any) -> Any:
    """Make a function called by address; a user's own stays a part of the kernel.

    numba swallows what a function raises that is called by address, and gives 0 in place of what it
    would have returned.
    """
    if isinstance(function, Declared) and not is_own(function):
        # One that is no part of kernels only has its own code on disk, under the same name.
        function = by_address(signature, cached=function.is_inner, plain=True)(function.py_func)
    return Address.of(function, signature) if isinstance(function, CFunc) else function
