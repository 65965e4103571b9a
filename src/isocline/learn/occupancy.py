"""Occupancy of backends: time at each number of jobs, and completions in it.

All that is needed of the past to learn service curves: T(n), the time spent at N = n, and C(n), the
completions in it. An event costs O(1). Old observations count less: an observation loses half its
weight in a half-life of seconds, or on demand (`age`). In place of shrinking what was
counted, each new observation gets a weight that grows; reading divides by the weight of now.

A curve that is given counts as observations that were not made. They are among the others, as a fit
takes them alike, and kept apart as well, so that only what was seen is said to be (`seen`).
"""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from isocline.compilation.compiled import kernel

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

# When a weight has grown to this, what was counted is divided by it: far from overflow, and what
# is older than 50 half-lives is rounded away, as it should be.
_LARGEST_WEIGHT = 2.0**50


class Occupancy(NamedTuple):
    """B backends, room for K workloads 0 .. K - 1."""

    seconds: FloatArray  # (B, K) weighted time at each workload, s
    done: FloatArray  # (B, K) weighted completions at each workload
    given_seconds: FloatArray  # (B, K) how much of `seconds` stands for a given curve
    given_done: FloatArray  # (B, K) how much of `done` does
    since: FloatArray  # (B,) s, up to when the time is counted
    weight: FloatArray  # (B,) of an observation made at `since`
    finished: FloatArray  # (B,) completions ever, unweighted
    decay: FloatArray  # (1,) ln 2 over the half-life in s; 0 for none


def occupancy(backends: int, workloads: int = 64, half_life: float = math.inf) -> Occupancy:
    """An empty record; the half-life in s."""
    return Occupancy(
        np.zeros((backends, workloads)),
        np.zeros((backends, workloads)),
        np.zeros((backends, workloads)),
        np.zeros((backends, workloads)),
        np.zeros(backends),
        np.ones(backends),
        np.zeros(backends),
        np.log(2.0) / np.array([half_life]),
    )


def enlarged(occupied: Occupancy, workloads: int) -> Occupancy:
    """The same observations with room for more workloads."""
    more = ((0, 0), (0, workloads - occupied.seconds.shape[1]))
    return occupied._replace(
        seconds=np.pad(occupied.seconds, more),
        done=np.pad(occupied.done, more),
        given_seconds=np.pad(occupied.given_seconds, more),
        given_done=np.pad(occupied.given_done, more),
    )


@kernel
def spend(
    occupied: Occupancy, backend: Any, workload: Any, now: float, share: float = 1.0
) -> float:
    """Count a share of the time from `since` to now at this workload; returns that, s."""
    pause = now - occupied.since[backend]
    if pause <= 0.0:
        return 0.0
    occupied.since[backend] = now
    rate = occupied.decay[0]
    weight = occupied.weight[backend]
    if rate == 0.0:
        occupied.seconds[backend, workload] += weight * (share * pause)
        return share * pause  # type: ignore[no-any-return]
    # The weight grows as e^(rate t) during the pause; this is its integral.
    growth = math.exp(min(rate * pause, 600.0))
    occupied.seconds[backend, workload] += share * (weight * (growth - 1.0) / rate)
    _weigh(occupied, backend, weight * growth)
    return share * pause  # type: ignore[no-any-return]


@kernel
def finish(occupied: Occupancy, backend: Any, workload: Any, work: float = 1.0) -> None:
    """Count a completion at `since`, out of this workload, for so many."""
    occupied.done[backend, workload] += occupied.weight[backend] * work
    occupied.finished[backend] += 1.0


@kernel
def _weigh(occupied: Occupancy, backend: Any, weight: float) -> None:
    """Set a backend's weight; rarely, divide all it has counted."""
    if weight > _LARGEST_WEIGHT:
        for level in range(occupied.seconds.shape[1]):
            occupied.seconds[backend, level] /= weight
            occupied.done[backend, level] /= weight
            occupied.given_seconds[backend, level] /= weight
            occupied.given_done[backend, level] /= weight
        weight = 1.0
    occupied.weight[backend] = weight


def age(occupied: Occupancy, factor: float) -> None:
    """Divide the weight of all that was counted so far by `factor`."""
    occupied.weight[:] *= factor
    for backend in np.flatnonzero(occupied.weight > _LARGEST_WEIGHT):
        for counts in _counts(occupied):
            counts[backend] /= occupied.weight[backend]
        occupied.weight[backend] = 1.0


def counted(occupied: Occupancy, backend: int, now: float) -> tuple[FloatArray, FloatArray]:
    """(K,) completions and (K,) time, s, at each workload, weighted as seen from `now`.

    Those of a given curve are among them. The time since the backend's last event is not; `spend`
    it first.
    """
    present = _present(occupied, backend, now)
    return occupied.done[backend] / present, occupied.seconds[backend] / present


def given(occupied: Occupancy, backend: int, now: float) -> tuple[FloatArray, FloatArray]:
    """The part of `counted` that stands for a given curve."""
    present = _present(occupied, backend, now)
    return occupied.given_done[backend] / present, occupied.given_seconds[backend] / present


def seen(occupied: Occupancy, backend: int, now: float) -> tuple[FloatArray, FloatArray]:
    """The part of `counted` that was observed."""
    done, seconds = counted(occupied, backend, now)
    given_done, given_seconds = given(occupied, backend, now)
    # At least 0, where time of a job that left undone was taken back from what was given.
    return np.maximum(done - given_done, 0.0), np.maximum(seconds - given_seconds, 0.0)


def assume(
    occupied: Occupancy, backend: int, level: IntArray, done: FloatArray, seconds: FloatArray
) -> None:
    """Add (n,) completions and time, s, for a given curve, at (n,) workloads without any yet."""
    for own, all_of_it, more in (
        (occupied.given_done, occupied.done, done),
        (occupied.given_seconds, occupied.seconds, seconds),
    ):
        weighted = more * occupied.weight[backend]
        own[backend, level] = weighted
        all_of_it[backend, level] += weighted


def _present(occupied: Occupancy, backend: int, now: float) -> float:
    """Weight of an observation made at `now`, s."""
    pause = max(now - float(occupied.since[backend]), 0.0)
    return float(occupied.weight[backend]) * math.exp(min(float(occupied.decay[0]) * pause, 600.0))


def _counts(occupied: Occupancy) -> tuple[FloatArray, ...]:
    return occupied.seconds, occupied.done, occupied.given_seconds, occupied.given_done


def discount(occupied: Occupancy, backend: int, completions: float, slower: float) -> None:
    """Keep what is known as if from at most so many completions of a backend `slower` as fast.

    The rates C(n) / T(n) are multiplied by `slower`: the shape of the curve stays, its speed is
    what was measured last.
    """
    weight = occupied.weight[backend]
    share = min(1.0, completions * weight / max(occupied.done[backend].sum(), 1e-300))
    for counts in (occupied.done, occupied.given_done):
        counts[backend] *= share
    for counts in (occupied.seconds, occupied.given_seconds):
        counts[backend] *= share / slower
