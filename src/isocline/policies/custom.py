"""A user's own policy: one function, compiled here, named on the command line.

`--policy package.module:function`. The function has the contract's signature; `view.table` holds
the price 1 / l'(N) of one more job, `view.parameter[edge, 0]` the backend's capacity in jobs/s, and
`view.memory[edge, 0:4]` is free for its own use.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numba
import numpy as np

from isocline.errors import PolicyError
from isocline.policies.contract import (
    CHOOSE,
    FloatArray,
    RoutingPolicy,
    Setting,
    observe_nothing,
)

MEMORY = 4


@final
@dataclass(frozen=True)
class Custom(RoutingPolicy):
    """A policy made of a user's function `choose(candidates, view, now, rng) -> edge`."""

    name: ClassVar[str] = "custom"
    label: str
    function: Any  # a numba CFunc: kernels call it by address

    def table(self, setting: Setting, workloads: FloatArray) -> FloatArray:
        with np.errstate(divide="ignore"):
            return 1.0 / np.array([curve.marginal(workloads) for curve in setting.curves])

    def parameter(self, setting: Setting) -> FloatArray:
        return setting.capacities[setting.graph.sink][:, None].copy()

    def memory(self, setting: Setting) -> FloatArray:
        return np.zeros((setting.graph.edges, MEMORY))

    def functions(self) -> tuple[Any, Any]:
        return self.function, observe_nothing


def custom(label: str, function: Callable[..., Any]) -> Custom:
    """Compile a user's function for the contract's signature.

    It is called by address rather than inlined: a sixth slower, but its kernel is compiled once
    for all such functions, so that a new policy costs a fraction of a second.

    Raises:
        PolicyError: numba cannot compile it; the message holds numba's own explanation.
    """
    python = getattr(function, "py_func", function)
    try:
        compiled = numba.cfunc(CHOOSE, error_model="numpy")(python)
    except numba.core.errors.NumbaError as error:
        reason = str(error).strip()
        raise PolicyError(
            f"policy {label} does not compile; it must be "
            f"choose(candidates, view, now, rng) -> edge, in numba's Python:\n{reason}"
        ) from error
    return Custom(label, compiled)
