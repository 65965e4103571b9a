"""One event of one backend, counted and watched: what simulator and router call."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from isocline.compiled import kernel
from isocline.learn.change import Watch, alarmed, complete, lapse
from isocline.learn.occupancy import Occupancy, finish, spend


class Observed(NamedTuple):
    """B backends."""

    occupied: Occupancy
    watched: Watch
    fresh: npt.NDArray[np.int64]  # (B,) events since the last fit
    quota: npt.NDArray[np.int64]  # (B,) events after which the next fit is due
    due: npt.NDArray[np.int64]  # (2,) backends due for a fit, and alarms, since the last fits


@kernel
def leave(observed: Observed, backend: Any, workload: Any, now: float, completed: bool) -> None:
    """A backend leaves this workload now, for one fewer if a job is completed, else one more."""
    count(observed, backend, workload, now, 1.0, 1.0 if completed else 0.0)


@kernel
def count(
    observed: Observed, backend: Any, workload: Any, now: float, share: float, work: float
) -> None:
    """The same, of which the time counts for a share and the completion for `work`; 0: none."""
    seconds = spend(observed.occupied, backend, workload, now, share)
    lapse(observed.watched, backend, workload, seconds)
    if work > 0.0:
        finish(observed.occupied, backend, workload, work)
        complete(observed.watched, backend, workload, work)
    observed.fresh[backend] += 1
    if observed.fresh[backend] == observed.quota[backend]:
        observed.due[0] += 1
    if alarmed(observed.watched, backend):
        observed.due[1] += 1
