"""Workloads over time, by the attempts of a log, and the completions at each.

N(t) of a backend is the number of attempts under way there. It is known from the end of the first
request, as those that had ended before are not in the log, until the last requests begin to be
missing that ended after it. Within this window it is counted in blocks of equal length, so that
what is estimated of all can be estimated of blocks drawn at random, too (a block bootstrap).
"""

from dataclasses import dataclass
from typing import Any, NamedTuple, final

import numpy as np
import numpy.typing as npt

from isocline.audit.formats.exchange import Outcome
from isocline.audit.records import AccessRecords
from isocline.compilation.compiled import kernel
from isocline.learn import Learner, Learning
from isocline.learn.observed import Observed, count, withdraw
from isocline.learn.occupancy import spend

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]

BLOCKS = 40
# The window ends before the end of the log by a stay that so many are shorter than, and at most by
# so much of the log.
_STAYS, _MOST_CUT = 0.999, 0.25


@final
class Events(NamedTuple):
    """2M begins and ends of attempts, in order of time; ends come first where times are equal."""

    time: FloatArray  # (2M,) s
    backend: IndexArray  # (2M,)
    leaves: npt.NDArray[np.bool_]  # (2M,)
    attempt: IndexArray  # (2M,)
    began: FloatArray  # (2M,) s, of the attempt
    work: FloatArray  # (2M,) of the attempt; 0 of one that was not served


@final
@dataclass(frozen=True, eq=False)
class Occupied:
    """Time and completions of B backends at workloads 0 .. K - 1, in J blocks of the window."""

    window: tuple[float, float]  # s
    done: FloatArray  # (J, B, K) work done
    seconds: FloatArray  # (J, B, K) s
    completions: IndexArray  # (J, B) attempts that were served
    edges: FloatArray  # (J + 1,) s
    events: Events
    after: IndexArray  # (2M,) workload of the event's backend after it


def events_of(records: AccessRecords) -> Events:
    """Events of all attempts; work is in mean jobs: by tokens where they are known, else 1."""
    tried = records.attempts
    count_of = tried.begin.size
    time = np.concatenate((tried.begin, tried.end))
    leaves = np.repeat([False, True], count_of)
    order = np.lexsort((~leaves, time))
    work = np.where(tried.outcome == Outcome.SERVED, 1.0, 0.0)
    if records.tokens_of_a_job is not None:
        work = work * records.tokens[tried.request] / records.tokens_of_a_job
    attempt = np.concatenate((np.arange(count_of), np.arange(count_of)))[order]
    return Events(
        time[order],
        tried.backend[attempt],
        leaves[order],
        attempt,
        tried.begin[attempt],
        work[attempt],
    )


def window_of(records: AccessRecords) -> tuple[float, float]:
    """Times, s, between which all requests under way are in the log."""
    first, last = float(records.end.min()), float(records.end.max())
    stay = float(np.quantile(records.end - records.start, _STAYS))
    return first, last - min(stay, _MOST_CUT * (last - first))


def occupied(records: AccessRecords) -> Occupied:
    """Count time and completions at each workload.

    Twice: where a job's work was done (`isocline.learn.services`) depends on the curve, which the
    first pass learns.
    """
    events = events_of(records)
    backends = len(records.backends)
    after = _after(events, backends)
    window = window_of(records)
    edges = np.linspace(*window, BLOCKS + 1)
    most = int(after.max(initial=0)) + 2
    learning = Learning(false_alarms=0.0, optimism=0.0)
    unit = _unit(events, window)
    first = Learner(backends, learning, most, unit)
    _counted(first, events, edges)
    second = Learner(backends, learning, most, unit)
    second.observed.served.rate[:] = first.observed.served.rate
    second.observed.served.sizes[:] = first.observed.served.sizes
    done, seconds = _counted(second, events, edges)
    ended = np.flatnonzero(events.leaves & (events.work > 0))
    block = np.searchsorted(edges, events.time[ended], side="right") - 1
    inside = (block >= 0) & (block < BLOCKS)
    completions = np.bincount(
        block[inside] * backends + events.backend[ended][inside], minlength=BLOCKS * backends
    ).reshape(BLOCKS, backends)
    return Occupied(window, done, seconds, completions, edges, events, after)


def _after(events: Events, backends: int) -> IndexArray:
    """(2M,) workload of each event's backend after it."""
    change = np.where(events.leaves, -1, 1)
    after = np.empty(change.size, np.int64)
    for backend in range(backends):
        own = events.backend == backend
        after[own] = np.cumsum(change[own])
    return after


def _unit(events: Events, window: tuple[float, float]) -> float:
    """Work/s per job, of all backends together: what is believed of one before it is seen."""
    inside = (events.time >= window[0]) & (events.time <= window[1]) & events.leaves
    stays = float((events.time - events.began)[inside].sum())
    return max(float(events.work[inside].sum()), 1e-9) / max(stays, 1e-9)


def _counted(learner: Learner, events: Events, edges: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(J, B, K) work done and time at each workload in each block."""
    workload = np.zeros(learner.backends, np.int64)
    place = np.searchsorted(events.time, edges, side="right")
    observed = learner.observed
    before = _Span(0, int(place[0]), float(edges[0]), 0.0, np.inf)
    _observe(observed, events, workload, before)
    done, seconds = [], []
    for block in range(edges.size - 1):
        worked, spent = observed.occupied.done.copy(), observed.occupied.seconds.copy()
        first, last = int(place[block]), int(place[block + 1])
        until, since = float(edges[block + 1]), float(edges[0])
        _observe(observed, events, workload, _Span(first, last, until, 1.0, since))
        done.append(observed.occupied.done - worked)
        seconds.append(observed.occupied.seconds - spent)
        learner.update(until, workload)
    return np.array(done), np.array(seconds)


@final
class _Span(NamedTuple):
    """Events to be counted, and the time until their end."""

    first: int
    last: int  # the first that is not
    until: float  # s
    share: float  # 1, or 0 to follow the workloads alone
    since: float  # s, when all workloads were known


@kernel
def _observe(observed: Observed, events: Events, workload: Any, span: _Span) -> None:
    """Count a span; `workload` (B,) is that of each backend, which is kept up to date.

    A job that began before all workloads were known counts where it ended.
    """
    for i in range(span.first, span.last):
        backend, now = events.backend[i], events.time[i]
        held = workload[backend]
        if not events.leaves[i]:
            count(observed, backend, held, now, span.share, 0.0, now)
            workload[backend] = held + 1
            continue
        began = events.began[i] if events.began[i] >= span.since else now
        work = events.work[i] * span.share
        count(observed, backend, held, now, span.share, work, began)
        if work == 0.0 and span.share > 0.0:
            withdraw(observed, backend, began, span.share)
        workload[backend] = held - 1
    for backend in range(workload.size):
        spend(observed.occupied, backend, workload[backend], span.until, span.share)
