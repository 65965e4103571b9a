"""Stochastic simulation: engines over compiled kernels, replications, statistics.

The package can be called: `isocline.simulate(system, policies=[...])` is
`isocline.simulate.compare.simulate`, although this folder has the name of that function.
"""

import sys
from types import ModuleType
from typing import Any

from isocline.simulate.results import Comparison as Comparison
from isocline.simulate.results import Estimate as Estimate
from isocline.simulate.results import PolicyResult as PolicyResult
from isocline.simulate.results import Sweep as Sweep


class _Callable(ModuleType):
    def __call__(self, *args: Any, **options: Any) -> Comparison:
        from isocline.simulate.compare import simulate  # noqa: PLC0415 - numba waits until now

        return simulate(*args, **options)


sys.modules[__name__].__class__ = _Callable
