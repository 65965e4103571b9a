"""Arrival processes: Poisson, Poisson with a piecewise-constant rate, or the times of a trace.

Renewal, batch and Markov-modulated processes have modules of their own beside this one.

Times are seconds from the start of a run, rates jobs/s. Each process knows its long-run rate, for
planning, and how to sample its times, for simulation; the generator is an argument.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Self, final

import numpy as np
import numpy.typing as npt

from isocline.arguments import is_number, numbers, require_fields
from isocline.errors import UsageError
from isocline.record import brief

FloatArray = npt.NDArray[np.float64]


class Arrivals(ABC):
    """An arrival process at one frontend."""

    @property
    @abstractmethod
    def rate(self) -> float:
        """Long-run mean rate, jobs/s, >= 0."""

    @property
    @abstractmethod
    def is_stationary(self) -> bool:
        """Whether the rate is the same at all times, so that there may be a steady state."""

    @property
    def in_words(self) -> str:
        """Name in the small print."""
        return self.__class__.__name__.removesuffix("Arrivals")

    @abstractmethod
    def sped_up(self, factor: float) -> Self:
        """The same process with its clock running `factor` times as fast."""

    def enlarged(self, factor: float) -> Self:
        """`factor` times as many jobs: every rate times `factor`, at the same pace of change.

        By default as `sped_up`: right for processes without a pace of their own, such as renewals.

        Raises:
            UsageError: The process is a list of times, of which there are as many as there are.
        """
        return self.sped_up(factor)

    @abstractmethod
    def sample(self, rng: np.random.Generator, until: float) -> FloatArray:
        """Arrival times in [0, until), increasing, in seconds."""


@final
@dataclass(frozen=True)
class PoissonArrivals(Arrivals):
    """Independent exponential gaps of mean 1/rate; none at all at rate 0."""

    per_second: float

    def __post_init__(self) -> None:
        usable = is_number(self.per_second) and math.isfinite(self.per_second)
        if not (usable and self.per_second >= 0):
            raise UsageError(
                f"arrival rate {self.per_second!r} must be a finite number of jobs/s, 0 or more"
            )

    @property
    def rate(self) -> float:
        return self.per_second

    @property
    def is_stationary(self) -> bool:
        return True

    def sped_up(self, factor: float) -> Self:
        return self.__class__(self.per_second * factor)

    def sample(self, rng: np.random.Generator, until: float) -> FloatArray:
        # Running sums of gaps: sorting uniform times instead would take ten times as long. Six
        # standard deviations more than expected are nearly always enough.
        if self.per_second == 0.0:
            return np.zeros(0)
        expected = self.per_second * until
        times = np.zeros(0)
        while times.size == 0 or times[-1] < until:
            start = times[-1] if times.size else 0.0
            gaps = rng.standard_exponential(int(expected + 6.0 * math.sqrt(expected) + 10.0))
            times = np.concatenate((times, start + np.cumsum(gaps) / self.per_second))
        return times[times < until]


@final
@dataclass(frozen=True)
class PiecewiseArrivals(Arrivals):
    """Poisson with the rate of step (start, rate) from its start to the next; repeats each period.

    The first start is 0, starts increase, and all lie before `period` (seconds).
    """

    steps: tuple[tuple[float, float], ...]
    period: float

    def __post_init__(self) -> None:
        require_fields(self, "piecewise arrivals")
        starts = [start for start, _ in self.steps]
        if not starts or starts[0] != 0:
            raise UsageError("piecewise arrivals: the first step must start at 0 s")
        for i, (before, after) in enumerate(pairwise([*starts, self.period]), start=1):
            if not after > before:
                raise UsageError(
                    f"piecewise arrivals: {after:g} s follows {before:g} s; "
                    "starts must increase and lie before the period"
                ).within(*(("steps", i) if i < len(starts) else ("period",)))
        for i, (start, rate) in enumerate(self.steps):
            if not (math.isfinite(rate) and rate >= 0):
                problem = f"piecewise arrivals: rate {rate:g} at {start:g} s must be >= 0"
                raise UsageError(problem).within("steps", i)
        require_rate(self.rate)

    @cached_property
    def _edges(self) -> FloatArray:
        return np.array([*(start for start, _ in self.steps), self.period])

    @cached_property
    def _cumulative(self) -> FloatArray:
        """Expected jobs from the start of a period to each edge."""
        rates = np.array([rate for _, rate in self.steps])
        return np.concatenate(([0.0], np.cumsum(rates * np.diff(self._edges))))

    @property
    def rate(self) -> float:
        return float(self._cumulative[-1] / self.period)

    @property
    def is_stationary(self) -> bool:
        return False

    def sped_up(self, factor: float) -> Self:
        steps = tuple((start / factor, rate * factor) for start, rate in self.steps)
        return self.__class__(steps, self.period / factor)

    def enlarged(self, factor: float) -> Self:
        return self.__class__(tuple((s, rate * factor) for s, rate in self.steps), self.period)

    def sample(self, rng: np.random.Generator, until: float) -> FloatArray:
        # A unit-rate Poisson process on the cumulative intensity, mapped back through its inverse.
        whole, rest = divmod(until, self.period)
        per_period = self._cumulative[-1]
        expected = whole * per_period + np.interp(rest, self._edges, self._cumulative)
        marks = np.sort(rng.uniform(0.0, expected, int(rng.poisson(expected))))
        period, mark = np.divmod(marks, per_period)
        return period * self.period + np.interp(mark, self._cumulative, self._edges)


@final
@dataclass(frozen=True, eq=False)
class TraceArrivals(Arrivals):
    """Given times, repeated end to end when a run is longer than the trace."""

    __repr__ = brief

    times: FloatArray  # (n,) seconds from 0, non-decreasing
    length: float  # seconds that the trace covers; >= the last time

    def __post_init__(self) -> None:
        times = numbers("trace arrivals: times", self.times)
        object.__setattr__(self, "times", times)
        require_fields(self, "trace arrivals")
        if times.ndim != 1 or not (np.isfinite(times).all() and (np.diff(times) >= 0.0).all()):
            raise UsageError("trace arrivals: give finite times, in s, each no less than the last")
        if times.size and times[0] < 0.0:
            raise UsageError(f"trace arrivals: the first time is {times[0]:g} s; give 0 or more")
        if self.times.size == 0 or not self.length >= self.times[-1] or not self.length > 0:
            raise UsageError("trace arrivals: give at least one time, and a length that covers all")

    @property
    def rate(self) -> float:
        return self.times.size / self.length

    @property
    def is_stationary(self) -> bool:
        return False

    def sped_up(self, factor: float) -> Self:
        return self.__class__(self.times / factor, self.length / factor)

    def enlarged(self, factor: float) -> Self:
        raise UsageError(f"scale {factor:g}: a trace cannot be scaled; use Poisson arrivals")

    def sample(self, rng: np.random.Generator, until: float) -> FloatArray:  # noqa: ARG002
        rounds = np.arange(math.ceil(until / self.length)) * self.length
        times = (rounds[:, None] + self.times[None, :]).ravel()
        return times[times < until]


def require_rate(rate: float) -> None:
    """Raise UsageError unless `rate` is a finite number above 0."""
    if not (is_number(rate) and math.isfinite(rate) and rate > 0):
        raise UsageError(f"arrival rate {rate} must be a finite number of jobs/s above 0")
