"""A router before backends under processor sharing on virtual time: what its log would say."""

import heapq
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from isocline.model.curves import Curve

Choice = Callable[[Sequence[int], int, np.random.Generator], int]
"""Backend by the jobs at each, the frontend, and randomness."""

Size = Callable[[np.random.Generator], float]
"""Work of a job, in mean jobs."""

MOST = 2000  # jobs at a backend


class Job(NamedTuple):
    """One request; times in s, work in mean jobs."""

    start: float
    end: float
    backend: int
    frontend: int
    work: float


def fewest(jobs: Sequence[int], _frontend: int, rng: np.random.Generator) -> int:
    least = min(jobs)
    return int(rng.choice([b for b, held in enumerate(jobs) if held == least]))


def exponential(rng: np.random.Generator) -> float:
    return float(rng.exponential())


def lognormal(cv: float) -> Size:
    """Sizes with a coefficient of variation."""
    variance = float(np.log1p(cv**2))
    return lambda rng: float(rng.lognormal(-0.5 * variance, variance**0.5))


def jobs_of(
    curves: Sequence[Curve],
    rates: Sequence[float],
    count: int,
    choose: Choice = fewest,
    seed: int = 0,
    size: Size = exponential,
) -> list[Job]:
    """Poisson arrivals at each frontend, in order; exponential work by default."""
    rng = np.random.default_rng(seed)
    each = [[0.0, *(float(c.rate(n)) / n for n in range(1, MOST))] for c in curves]
    given, since = [0.0] * len(curves), [0.0] * len(curves)
    held: list[list[tuple[float, float, int, float]]] = [[] for _ in curves]
    total, share = float(sum(rates)), np.cumsum(rates) / sum(rates)
    arrives, arrived, done = float(rng.exponential(1.0 / total)), 0, []
    while arrived < count or any(held):
        ends = [
            since[b] + (own[0][0] - given[b]) / each[b][len(own)] if own else np.inf
            for b, own in enumerate(held)
        ]
        b = int(np.argmin(ends))
        comes = arrived < count and arrives <= ends[b]
        now = arrives if comes else ends[b]
        if comes:
            frontend = int(np.searchsorted(share, rng.random()))
            b = choose([len(own) for own in held], frontend, rng)
        given[b] += each[b][len(held[b])] * (now - since[b])
        since[b] = now
        if comes:
            work = size(rng)
            heapq.heappush(held[b], (given[b] + work, now, frontend, work))
            arrived, arrives = arrived + 1, now + float(rng.exponential(1.0 / total))
        else:
            _, began, frontend, work = heapq.heappop(held[b])
            done.append(Job(began, now, b, frontend, work))
    return sorted(done)


def written(jobs: Sequence[Job], path: Path) -> Path:
    """A CSV of these jobs, in the order in which they ended."""
    rows = [
        f"{it.start:.6f},{it.end - it.start:.6f},10.0.0.{it.backend}:80,f{it.frontend}\n"
        for it in sorted(jobs, key=lambda it: it.end)
    ]
    path.write_text("start,duration,upstream,frontend\n" + "".join(rows))
    return path


def works(jobs: Sequence[Job]) -> npt.NDArray[np.float64]:
    return np.array([it.work for it in jobs])
