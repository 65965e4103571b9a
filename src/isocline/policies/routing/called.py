"""Functions of policies as the simulator's kernels get them: inside the kernel, or by address.

A policy inside a kernel saves a call at each decision, a sixth of an event's time. It costs ten
seconds or more of compilation for each kernel, the first time that somebody simulates it. That is
well spent on policies that everybody runs; those that are there to be compared with share a kernel.
"""

import functools
from typing import Any

from isocline.compilation.compiled import Declared, by_address
from isocline.policies.routing.contract import CHOOSE, OBSERVE, RoutingPolicy, observe_nothing
from isocline.user_code import is_own


def kernel_functions(policy: RoutingPolicy) -> tuple[Any, Any]:
    """`choose` and `observe` of a policy, for kernels."""
    choose, observe = policy.functions()
    if policy.shares_kernel:
        choose = _called(choose, CHOOSE)
        observe = observe if observe is observe_nothing else _called(observe, OBSERVE)
    return choose, observe


@functools.cache
def _called(function: Any, signature: Any) -> Any:
    """The function, called by address; one of a user's, or by address already, as it is."""
    if not isinstance(function, Declared) or is_own(function):
        return function
    # Not cached on disk: the function's own code is there under the same name.
    return by_address(signature, cached=False, plain=True)(function.py_func)
