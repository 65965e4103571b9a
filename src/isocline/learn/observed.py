"""Count of one event of one backend, for simulator and router alike."""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from isocline.compilation.compiled import kernel
from isocline.learn.change import Watch, alarmed, complete, lapse
from isocline.learn.occupancy import Occupancy, finish, spend
from isocline.learn.services import (
    REMEMBERED,
    Services,
    changed,
    measure,
    spread,
    stay,
    variation,
)


class Observed(NamedTuple):
    """B backends."""

    occupied: Occupancy
    watched: Watch
    served: Services
    fresh: npt.NDArray[np.int64]  # (B,) events since the last fit
    quota: npt.NDArray[np.int64]  # (B,) events after which the next fit is due
    due: npt.NDArray[np.int64]  # (2,) backends due for a fit, and alarms, since the last fits


@kernel
def leave(observed: Observed, backend: Any, workload: Any, now: float, completed: bool) -> None:
    """A backend leaves this workload now, for one fewer if a job is completed, else one more.

    A job counts where it ends, which is right if sizes are exponential.
    """
    count(observed, backend, workload, now, 1.0, 1.0 if completed else 0.0, now)


@kernel
def count(
    observed: Observed,
    backend: Any,
    workload: Any,
    now: float,
    share: float,
    work: float,
    began: float,
) -> None:
    """The same, of which the time counts for a share and the completion for `work`; 0: none.

    The job was at the backend since `began`, s; now, if that is not known: see `services`.
    """
    served, watched = observed.served, observed.watched
    seconds = spend(observed.occupied, backend, workload, now, share)
    lapse(watched, backend, workload, seconds, variation(served, backend))
    changed(served, backend, workload, now)
    if work > 0.0:
        ended, seen = 1.0, 0.0
        if began < now:
            first, given = stay(served, backend, began)
            if first >= 0:
                measure(served, backend, given, work)
                weighted = work * observed.occupied.weight[backend]
                done, rate = observed.occupied.done[backend], watched.rate[backend]
                ended, seen = spread(served, backend, first, given, weighted, done, rate)
        finish(observed.occupied, backend, workload, ended * work)
        if watched.rate[backend, workload] > 0.0:
            seen += ended
        complete(watched, backend, seen * work)
    observed.fresh[backend] += 1
    if observed.fresh[backend] == observed.quota[backend]:
        observed.due[0] += 1
    if alarmed(observed.watched, backend):
        observed.due[1] += 1


@kernel
def withdraw(observed: Observed, backend: Any, began: float, worth: float) -> None:
    """Take back what counted of the time of a job, there since `began`, s, that left undone.

    It was one of the jobs all the time, but with none of its work counted its share of the time, of
    `worth`, would be time in which nothing was done. Changes no longer remembered stay as they are.
    """
    served, occupied = observed.served, observed.occupied
    change = served.changes[backend] - 1
    oldest = max(change - REMEMBERED + 1, 0)
    end = served.time[backend, change % REMEMBERED]
    until, due = end, 0.0
    while change > oldest and until > began:
        before = max(served.time[backend, (change - 1) % REMEMBERED], began)
        workload = served.workload[backend, change % REMEMBERED]
        if workload > 0:
            seconds = worth * (until - before) / workload
            # As `spend` weighted it.
            weight = occupied.weight[backend] * math.exp(-occupied.decay[0] * (end - until))
            spent = occupied.seconds[backend, workload]
            occupied.seconds[backend, workload] = max(spent - weight * seconds, 0.0)
            due += observed.watched.rate[backend, workload] * seconds
        until, change = before, change - 1
    complete(observed.watched, backend, due)  # nothing that was due of it is missing


# In place of a workload: a job left undone.
UNDONE = -1


@kernel
def count_rows(observed: Observed, events: Any) -> None:
    """Count events: rows of backend, workload or UNDONE, time, share, work, and start, as `count`.

    Of a job left undone the share is what it is worth, see `withdraw`.
    """
    for i in range(events.shape[0]):
        if events[i, 1] == UNDONE:
            withdraw(observed, int(events[i, 0]), events[i, 5], events[i, 3])
            continue
        workload = min(int(events[i, 1]), observed.occupied.seconds.shape[1] - 1)
        backend = int(events[i, 0])
        count(observed, backend, workload, events[i, 2], events[i, 3], events[i, 4], events[i, 5])
