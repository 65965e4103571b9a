"""Cost of a request, so that long requests do not make a backend look slow.

A backend that serves S_b(N) units of work per second with N jobs there serves frontend f's, of work
w_f each, at S_b(N) / (N w_f): so the fluid optimum of Eq. (1) of the GMSR paper, with inflows
sum_f w_f lambda_f x_fb, has the price w_f / S_b'(N_b) for f at b. Its least b does not depend on
w_f: one curve in work per second is right for every class, and N stays the number of jobs.

**What a completion counts.** Its work w, put at the workload it left, for each unit of which time
counts as it passes: a job that leaves a backend in equilibrium is of the mean size whatever N is
(F. P. Kelly, *Reversibility and Stochastic Networks*, 1979, Section 3.3), so work over time is S.
Both are multiplied by `evidence`, E[w] / E[w^2], which leaves the rate as it is: n completions of
unequal work then count for n E[w]^2 / E[w^2] of equal, by the variance of a compound Poisson sum.

**What policies see** is work per second over the mean work of a request: jobs/s of an average one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, final

import numpy as np

from isocline.model.fleet import Work

Unit = Literal["requests", "frontend", "tokens"]

# Means are those of so many requests, the older ones counting less: the mean is then known to 3 %
# if sizes are exponential.
REMEMBERED = 1000.0
# A sequence alone is served at about 100 tokens/s by a GPU of today; until more is known, a request
# is of as many, so that it takes the 1 s that a learner believes by default.
TOKEN_SPEED = 100.0
# Requests between two fits, of 80 us each; a frontend's first ones are followed by one each.
_BETWEEN = 64
_STEPS = 10  # of proportional fitting, which goes on where it ended the last time


class Usage(NamedTuple):
    """Tokens of a request, from its response."""

    prompt: int | None  # to be read; None: it does not say
    output: int
    cached: int | None = (
        None  # tokens of the prompt that were not read again; None: it does not say
    )


@final
@dataclass(frozen=True)
class ClassWork:
    """Mean work of a frontend's requests, as known."""

    requests: float  # that it rests on
    work: float  # of one, in the unit


class Measure(Protocol):
    """Measure of the work of requests.

    Attributes:
        mix: Mean and second moment of the work so far.
    """

    mix: "Mix"

    def work(self, frontend: int, backend: int, seconds: float, usage: Usage | None) -> float:
        """Return the work of a request that took so many seconds, and include it in the means."""


@final
class Mix:
    """Mean and second moment of the work of the last requests."""

    def __init__(self, known: Sequence[ClassWork], mean: float | None) -> None:
        """Initialise from known means of the frontends; None: nothing is known."""
        self._requests = [min(one.requests, REMEMBERED) for one in known]
        self._works = [n * one.work for n, one in zip(self._requests, known, strict=True)]
        self._start = mean
        total = sum(self._requests)
        # As if all of a frontend's were alike, until they are seen.
        squares = sum(n * one.work**2 for n, one in zip(self._requests, known, strict=True))
        self._all = [total, sum(self._works), squares]

    def add(self, frontend: int, work: float) -> None:
        """Add the work of one request."""
        self._requests[frontend] += 1.0
        self._works[frontend] += work
        if self._requests[frontend] > 2.0 * REMEMBERED:
            self._requests[frontend] /= 2.0
            self._works[frontend] /= 2.0
        count, total, squares = self._all
        keep = 1.0 if count < REMEMBERED else 1.0 - 1.0 / REMEMBERED
        self._all = [keep * count + 1.0, keep * total + work, keep * squares + work * work]

    @property
    def mean(self) -> float:
        """Mean work of a request."""
        count, total, _ = self._all
        return total / count if total > 0 else self._start or TOKEN_SPEED

    @property
    def evidence(self) -> float:
        """E[w] / E[w^2]: the equal completions that a unit of work counts for.

        0 while nothing is known: time cannot be compared then with what is counted later.
        """
        _, total, squares = self._all
        if squares > 0:
            return total / squares
        return 1.0 / self._start if self._start else 0.0

    def mean_of(self, frontend: int) -> float:
        """Mean work of a frontend's request."""
        works = self._works[frontend]
        return works / self._requests[frontend] if works > 0 else self.mean

    def classes(self) -> list[ClassWork]:
        """Mean work by frontend."""
        return [ClassWork(n, self.mean_of(f)) for f, n in enumerate(self._requests)]


@final
@dataclass
class TokenWork:
    """Prefill weight * prompt tokens + decode weight * output tokens, as `model.fleet.Work`.

    A request whose response has no token counts gets its frontend's mean.
    """

    mix: Mix
    prefill: float
    decode: float

    def work(self, frontend: int, backend: int, seconds: float, usage: Usage | None) -> float:
        del backend, seconds
        if usage is None or (usage.prompt is None and self.prefill > 0):
            return self.mix.mean_of(frontend)
        read = (usage.prompt or 0) - (usage.cached or 0)
        work = self.prefill * read + self.decode * usage.output
        if work > 0:
            self.mix.add(frontend, work)
        return work


@final
class FrontendWork:
    """Each frontend's mean work, from how long its requests take where others' are served, too.

    Under processor sharing a request of work w stays at b for w s_b, so mean stays are a table of
    rank one, w_f s_b. Proportional fitting finds the factors at which rows and columns have the
    sums that were measured (W. E. Deming, F. F. Stephan, Ann. Math. Statist. 11(4), 1940). Their
    unit is arbitrary, and kept: the mean logarithm over requests does not change in a fit.
    """

    def __init__(self, mix: Mix, backends: int, known: Sequence[ClassWork]) -> None:
        """Initialise; known means count as requests at a backend of their own."""
        self.mix = mix
        counts = np.array([min(one.requests, REMEMBERED) for one in known])
        works = np.array([one.work for one in known])
        self._works = np.where(counts > 0, works, 1.0)
        self._requests = np.zeros((len(known), backends + 1))
        self._seconds = np.zeros((len(known), backends + 1))
        self._requests[:, -1], self._seconds[:, -1] = counts, counts * works
        self._settled = counts  # requests of each frontend at the last fit
        self._fresh = 0  # and since

    def work(self, frontend: int, backend: int, seconds: float, usage: Usage | None) -> float:
        del usage
        self._requests[frontend, backend] += 1.0
        self._seconds[frontend, backend] += seconds
        self._fresh += 1
        if self._fresh >= _BETWEEN or self._settled[frontend] < _BETWEEN:
            self._fit()
        work = float(self._works[frontend])
        self.mix.add(frontend, work)
        return work

    def _fit(self) -> None:
        requests, seconds, works = self._requests, self._seconds, self._works
        with np.errstate(invalid="ignore", divide="ignore"):
            for _ in range(_STEPS):
                slowness = np.nan_to_num(seconds.sum(axis=0) / (works @ requests))
                fitted = seconds.sum(axis=1) / (requests @ slowness)
                works = np.where(fitted > 0, fitted, works)
        shift = self._settled @ np.log(works / self._works)
        self._works = works * np.exp(-shift / max(self._settled.sum(), 1.0))
        seen = requests.sum(axis=1)
        old = np.where(seen > 2.0 * REMEMBERED, 0.5, 1.0)[:, np.newaxis]
        requests *= old
        seconds *= old
        self._settled, self._fresh = requests.sum(axis=1), 0


def measure_of(unit: Unit, known: Sequence[ClassWork], backends: int, work: Work) -> Measure | None:
    """Make the measure of work in a unit; None: each request counts as 1.

    Args:
        unit: Unit of work.
        known: Known mean work of each frontend.
        backends: Number of backends.
        work: Weights of tokens, and the initial mean work of a request.
    """
    if unit == "frontend":
        return FrontendWork(Mix(known, 1.0), backends, known)
    if unit == "tokens":
        mean = work.mean if work.unit == unit else None
        return TokenWork(Mix(known, mean), work.prefill, work.decode)
    return None
