"""Service curves learned from observations: no I/O, no clock, no simulation.

`Learner` takes arrivals and completions of jobs, and gives curves; the simulator and the live
router use the same one. Names are imported on first use, as the kernels of a simulation need none
of them. Read `learner`, then `fit` (a curve) and `known` (its intervals); `change` finds slowdowns.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from isocline.learn.fit import Fit as Fit
    from isocline.learn.fit import Prior as Prior
    from isocline.learn.known import Interval as Interval
    from isocline.learn.known import Known as Known
    from isocline.learn.known import Seen as Seen
    from isocline.learn.learner import Change as Change
    from isocline.learn.learner import Learner as Learner
    from isocline.learn.learner import Learning as Learning

_HOME_OF = {
    "Fit": "fit",
    "Prior": "fit",
    "Interval": "known",
    "Known": "known",
    "Seen": "known",
    "Change": "learner",
    "Learner": "learner",
    "Learning": "learner",
}


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
