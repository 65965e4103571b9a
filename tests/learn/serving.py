"""One backend under processor sharing on virtual time, exact: the independent twin of a learner."""

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from isocline.learn import Learner
from isocline.model.curves import Curve

Size = Callable[[np.random.Generator], float]


@dataclass
class Batches:
    """Up to `most` jobs that start within `stagger` seconds, once all before are done."""

    most: int
    stagger: float

    def first(self, rng: np.random.Generator) -> list[float]:
        return self.after(0.0, 0, rng)

    def after(self, now: float, jobs: int, rng: np.random.Generator) -> list[float]:
        if jobs:
            return []
        count = int(rng.integers(1, self.most + 1))
        return [float(now + 0.01 + t) for t in rng.uniform(0.0, self.stagger, count)]


@dataclass
class Clients:
    """A closed loop of so many clients, that ask again after a millisecond or so."""

    count: int

    def first(self, _rng: np.random.Generator) -> list[float]:
        return [1e-5 * i for i in range(self.count)]

    def after(self, now: float, _jobs: int, rng: np.random.Generator) -> list[float]:
        return [float(now + rng.uniform(0.0005, 0.002))]


Arrivals = Batches | Clients


def events(
    curve: Curve, arrivals: Arrivals, size: Size, jobs: int, rng: np.random.Generator
) -> Iterator[tuple[float, int, float | None]]:
    """(time, workload before, when the job that ends began; None: one arrives)."""
    now, done = 0.0, 0
    coming = arrivals.first(rng)
    heapq.heapify(coming)
    left: list[float] = []
    began: list[float] = []
    while done < jobs:
        n = len(left)
        each = float(curve.rate(n)) / n if n else 0.0
        ends = now + min(left) / each if n else np.inf
        arrives = coming[0] if coming else np.inf
        left = [rest - (min(ends, arrives) - now) * each for rest in left]
        now = min(ends, arrives)
        if arrives <= ends:
            heapq.heappop(coming)
            yield now, n, None
            left.append(size(rng))
            began.append(now)
        else:
            ended = int(np.argmin(left))
            left.pop(ended)
            yield now, n, began.pop(ended)
            done += 1
            for time in arrivals.after(now, n - 1 + len(coming), rng):
                heapq.heappush(coming, time)


def learned_from(
    curve: Curve, arrivals: Arrivals, size: Size, jobs: int, seed: int = 1, told: bool = True
) -> Learner:
    """A learner of one backend that saw it all; without `told` it does not know when jobs began."""
    return learner_of(events(curve, arrivals, size, jobs, np.random.default_rng(seed)), told)


def learner_of(seen: Iterable[tuple[float, int, float | None]], told: bool = True) -> Learner:
    """A learner of one backend from such events."""
    learner = Learner(1)
    for now, n, began in seen:
        if began is None:
            learner.arrived(0, n, now)
        else:
            learner.finished(0, n, now, began if told else None)
        if learner.due:
            learner.update(now, [n + 1 if began is None else n - 1])
    return learner


def in_steps(
    curve: Curve,
    rate: float,
    tokens: Callable[[np.random.Generator], int],
    jobs: int,
    seed: int,
    together: int = 1,
) -> Iterator[tuple[float, int, float | None]]:
    """The same of a server that gives each job a token in a step, of TOKENS that a job is.

    Jobs come `together`, at `rate`, a Poisson process, and wait for the next step. Those that have
    their last token leave at the step's end, one APART after the other.
    """
    rng = np.random.default_rng(seed)
    now, done, coming = 0.0, 0, float(rng.exponential(1.0 / rate))
    left: list[tuple[int, float]] = []
    while done < jobs:
        end = now + len(left) / float(curve.rate(len(left))) / TOKENS if left else coming
        served = len(left)
        while coming < end or not left:
            for _ in range(together):
                yield coming, len(left), None
                left.append((tokens(rng), coming))
            coming += float(rng.exponential(1.0 / rate))
        now = end
        left = [(rest - (i < served), began) for i, (rest, began) in enumerate(left)]
        for began in [began for rest, began in left if rest == 0]:
            yield now, len(left), began
            left.remove((0, began))
            now += APART
            done += 1


TOKENS, APART = 20, 2e-5
