"""Service curves learned of a log, and draws of what it leaves open for intervals."""

from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
import numpy.typing as npt

from isocline.audit.evidence import of_log, posterior
from isocline.audit.records import AccessRecords
from isocline.audit.workloads import BLOCKS, Occupied
from isocline.learn.draws import drawn_curves
from isocline.learn.fit import Fit, Prior, fit
from isocline.learn.known import Known
from isocline.model.curves import Curve

FloatArray = npt.NDArray[np.float64]

# Parts of the window in which a backend's speed is compared, the completions that each needs, and
# the standard deviations by which it is off before it is said to be.
_PARTS, _LEAST, _SURE = 4, 25, 3.0
# Standard deviation of ln knee around the usual workload, and the knee of a backend without one.
_SPREAD, _USUAL = 1.6, 8.0


@final
@dataclass(frozen=True, eq=False)
class LearnedFleet:
    """Curves of B backends: those learned, or ones drawn from what is known of them."""

    curves: tuple[Curve, ...]
    weights: FloatArray  # (J,) times that each block of the log counts

    def service(self, most: int) -> FloatArray:
        """(B, most + 1) service of one job, l(n) / n, by the jobs there; 0 where there is none."""
        n = np.arange(1, most + 1)
        return np.array([np.append(0.0, curve.rate(n) / n) for curve in self.curves])


@final
@dataclass(frozen=True, eq=False)
class CurveLearning:
    """Curves of a log."""

    records: AccessRecords
    occupied: Occupied

    @cached_property
    def fits(self) -> tuple[Fit, ...]:
        """The curve of each backend, with what is known of it."""
        found = []
        for b, (done, seconds) in enumerate(self._counts):
            known = Known(done, seconds)
            found.append(fit(done, seconds, self._priors[b], self._unit, known))
        return tuple(found)

    @cached_property
    def all(self) -> LearnedFleet:
        """The curves that were learned."""
        return LearnedFleet(tuple(one.curve for one in self.fits), np.ones(BLOCKS))

    def drawn(self, count: int, rng: np.random.Generator) -> list[LearnedFleet]:
        """Fleets of curves that the log leaves possible, each with blocks drawn at random."""
        found = of_log(self.records, self.occupied, [one.known for one in self.fits])
        curves = [
            drawn_curves(*posterior(one, prior, self._unit), count, rng)
            for one, prior in zip(found, self._priors, strict=True)
        ]
        blocks = rng.integers(0, BLOCKS, (count, BLOCKS))
        return [
            LearnedFleet(fleet, np.bincount(drawn, minlength=BLOCKS).astype(np.float64))
            for fleet, drawn in zip(zip(*curves, strict=True), blocks, strict=True)
        ]

    def speeds(self) -> FloatArray:
        """(B, 2) lowest and highest speed in a part of the window, over that in all of it.

        Only what chance does not explain: 1 and 1 of a backend that stays as it is, or has too few
        completions to tell.
        """
        parts = np.array_split(np.arange(BLOCKS), _PARTS)
        found = np.ones((len(self.fits), 2))
        for backend, one in enumerate(self.fits):
            rate = one.rate(np.arange(self.occupied.done.shape[2]))
            due = np.array([float((self.occupied.seconds[p, backend] * rate).sum()) for p in parts])
            done = np.array([float(self.occupied.done[p, backend].sum()) for p in parts])
            jobs = np.array([self.occupied.completions[p, backend].sum() for p in parts])
            if jobs.min() < _LEAST or due.min() <= 0:
                continue
            ratio, sure = done / due, _SURE / np.sqrt(jobs)
            low, high = float((ratio + sure).min()), float((ratio - sure).max())
            found[backend] = min(low, 1.0), max(high, 1.0)
        return found

    @cached_property
    def _counts(self) -> list[tuple[FloatArray, FloatArray]]:
        done, seconds = self.occupied.done.sum(axis=0), self.occupied.seconds.sum(axis=0)
        return list(zip(done, seconds, strict=True))

    @cached_property
    def _unit(self) -> float:
        """Work/s per job of all backends: one that was hardly seen is believed to be like them."""
        done = sum(float(of[0].sum()) for of in self._counts)
        stays = sum(float(of[1] @ np.arange(of[1].size)) for of in self._counts)
        return max(done, 1e-9) / max(stays, 1e-9)

    @cached_property
    def _priors(self) -> list[Prior]:
        """A knee within a factor of 5, or twice that, of the workload that the backend has.

        The learner's own prior is optimistic, so that a router tries what it has not seen. Here it
        would promise savings that are not there.
        """
        found = []
        for _, seconds in self._counts:
            n, time = np.arange(seconds.size), float(seconds[1:].sum())
            usual = float(seconds @ n) / time if time > 0 else _USUAL
            found.append(Prior(knee=usual, knee_spread=_SPREAD))
        return found


def usual_workloads(known: Known) -> tuple[int, int]:
    """Workloads between which a backend is nine tenths of the time that it has jobs."""
    share = np.cumsum(known.seconds[1:])
    if not share.size or share[-1] <= 0:
        return 1, 0
    low, high = np.searchsorted(share, np.array([0.05, 0.95]) * share[-1]) + 1
    return int(low), int(high)


def service_had(records: AccessRecords, occupied: Occupied, fleet: LearnedFleet) -> FloatArray:
    """(N,) work of each request, in mean jobs: the service that its last attempt had by the curve.

    Under processor sharing a job among n is served at l(n) / n. With these sizes the log's own
    routing gives the log's own latencies, and what another policy would have given differs from
    them by its decisions alone.
    """
    events, after = occupied.events, occupied.after
    tried = records.attempts
    service = fleet.service(int(after.max(initial=0)))
    had = np.zeros(tried.begin.size)
    for backend in range(len(records.backends)):
        own = np.flatnonzero(events.backend == backend)
        if not own.size:
            continue
        each = service[backend, after[own[:-1]]] * np.diff(events.time[own])
        given = np.append(0.0, np.cumsum(each))
        leaves = events.leaves[own]
        had[events.attempt[own[leaves]]] += given[leaves]
        had[events.attempt[own[~leaves]]] -= given[~leaves]
    last = last_attempts(records)
    return np.maximum(had[last], 0.0)


def last_attempts(records: AccessRecords) -> npt.NDArray[np.int64]:
    """(N,) number of each request's last attempt."""
    tried = records.attempts
    order = np.lexsort((tried.begin, tried.request))
    last = np.append(np.diff(tried.request[order]) > 0, True)
    return np.asarray(order[last])
