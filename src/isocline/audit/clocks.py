"""Clocks of several routers: the shift of one log at which it agrees best with another.

Requests of two routers slow each other down where they share machines: those of one take longer
while the other has more there. So their durations correlate with the workload of the other, the
most where the clocks agree. A shift well above a request's duration can be seen so, in logs of some
thousand requests; a small one cannot, as workloads change little in that time.
"""

import numpy as np
import numpy.typing as npt

from isocline.audit.formats.exchange import Outcome
from isocline.audit.records import AccessRecords

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]

# Mean durations by which clocks are shifted at most, and standard deviations by which the best
# correlation is above none; that without a shift is at most a share of it. Where the load of both
# goes up and down slowly, they correlate at any small shift.
_FURTHEST, _SURE, _SHARE = 100, 4.5, 0.4
_LEAST, _MOST = 500, 20_000  # requests of each, and of the one that are looked at


def skew(records: AccessRecords, one: int, other: int) -> float | None:
    """Seconds by which the clock of the other file is ahead of the one's; None if none are seen."""
    tried = records.attempts
    file = records.file[tried.request]
    served = tried.outcome == Outcome.SERVED
    mine, theirs = np.flatnonzero((file == one) & served)[:_MOST], np.flatnonzero(file == other)
    if min(mine.size, theirs.size) < _LEAST:
        return None
    stay = np.log(tried.end[mine] - tried.begin[mine])
    backend = tried.backend[mine]
    for b in np.unique(backend).tolist():
        stay[backend == b] -= stay[backend == b].mean()
    usual = float((tried.end[mine] - tried.begin[mine]).mean())
    shifts = usual * np.arange(-_FURTHEST, _FURTHEST + 1)
    found = np.array([_agreement(records, mine, theirs, stay, shift) for shift in shifts])
    best = int(np.argmax(found))
    if found[best] < _SURE or found[_FURTHEST] > _SHARE * found[best]:
        return None
    return float(shifts[best])


def _agreement(
    records: AccessRecords,
    mine: IndexArray,
    theirs: IndexArray,
    stay: FloatArray,
    shift: float,
) -> float:
    """Correlation of durations with the other's workload, in standard deviations of none."""
    tried = records.attempts
    middle = 0.5 * (tried.begin + tried.end)[mine] + shift
    held = np.zeros(middle.size)
    for b in range(len(records.backends)):
        own, there = tried.backend[mine] == b, theirs[tried.backend[theirs] == b]
        if own.any():
            began, ended = np.sort(tried.begin[there]), np.sort(tried.end[there])
            at = middle[own]
            jobs = np.searchsorted(began, at) - np.searchsorted(ended, at)
            held[own] = jobs - jobs.mean()
    spread = float(np.sqrt((held @ held) * (stay @ stay)))
    return float(held @ stay) / max(spread, 1e-300) * float(np.sqrt(stay.size))
