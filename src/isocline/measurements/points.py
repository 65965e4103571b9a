"""Measured points: service rates at workloads, with what is known of their errors."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import final

from isocline.arguments import is_number
from isocline.errors import UsageError
from isocline.learn.shapes import LARGEST
from isocline.plural import first_of

# Relative standard error of a rate that comes without one: benchmarks that are repeated on a
# machine at rest agree to about 1 to 3 %.
ASSUMED = 0.02
# Least relative standard error of any rate: more requests do not average out how a machine differs
# from one start to the next.
REPEATABLE = 0.01
# Relative standard error from which on a rate says nothing; more would not tell more.
_NOTHING = 10.0
# Workloads this close, relative, are one.
_ALIKE = 0.01
_GREATEST = 1e250  # rate, so that no sum or product overflows
_REPEATED = 3  # runs at one workload that say how far rates scatter; of two it is a guess
_MOST_SOURCES = 3  # named of a pooled point


@final
@dataclass(frozen=True)
class MeasuredPoint:
    """Service rate of one backend at one workload, as a measurement found it.

    Raises:
        UsageError: A number is out of its range; the message begins with `source`.
    """

    workload: float  # mean number of jobs at the backend, above 0
    rate: float  # of the curve's unit, per second; above 0
    error: float | None  # standard error of `rate`, same unit; None: unknown
    completions: float  # jobs finished; 0: unknown
    seconds: float  # s measured; 0: unknown
    source: str  # where it is from: "bench-8.json", "results.csv, line 3"

    def __post_init__(self) -> None:
        for name, value in (("workload", self.workload), ("rate", self.rate)):
            if not (is_number(value) and math.isfinite(value) and value > 0):
                raise UsageError(
                    f"{self.source}: {name} is {value!r:.40}; give a finite number above 0"
                )
        for name, value in (
            ("error", 0.0 if self.error is None else self.error),
            ("completions", self.completions),
            ("seconds", self.seconds),
        ):
            if not (is_number(value) and math.isfinite(value) and value >= 0):
                raise UsageError(
                    f"{self.source}: {name} is {value!r:.40}; give a finite number, 0 or more"
                )
        if not 1.0 / _GREATEST <= self.rate <= _GREATEST:
            raise UsageError(f"{self.source}: rate is {self.rate:g} per second; correct it")
        if self.workload > LARGEST:
            raise UsageError(
                f"{self.source}: workload is {self.workload:g} jobs; give at most {LARGEST:,}"
            )

    @property
    def counted(self) -> bool:
        """Whether anything says how sure the rate is."""
        return self.error is not None or self.completions > 0

    @property
    def from_counts(self) -> bool:
        """Whether how sure the rate is rests on the number of completions alone."""
        return self.error is None and self.completions > 0

    @property
    def spread(self) -> float:
        """Relative standard error of the rate, at least REPEATABLE; ASSUMED if nothing says it.

        Of counts alone it is that of a Poisson count, which no closed loop of requests exceeds
        unless their durations vary more than exponential ones.
        """
        if not self.counted:
            return ASSUMED
        own = self.completions**-0.5 if self.error is None else self.error / self.rate
        return min(max(own, REPEATABLE), _NOTHING)

    @property
    def weight(self) -> float:
        """Completions of a Poisson count that has this spread."""
        return self.spread**-2


def pooled(points: Iterable[MeasuredPoint]) -> tuple[MeasuredPoint, ...]:
    """The points by ascending workload, those at one workload as one.

    Rates are averaged as counts are: completions over time. Where nothing else says how sure they
    are, the scatter of three or more does.
    """
    groups = by_workload(points)
    return tuple(group[0] if len(group) == 1 else _together(group) for group in groups)


def by_workload(points: Iterable[MeasuredPoint]) -> list[list[MeasuredPoint]]:
    """The points by ascending workload, those at one workload in one list."""
    groups: list[list[MeasuredPoint]] = []
    for point in sorted(points, key=lambda one: one.workload):
        if groups and point.workload <= (1.0 + _ALIKE) * groups[-1][0].workload:
            groups[-1].append(point)
        else:
            groups.append([point])
    return groups


def _together(group: Sequence[MeasuredPoint]) -> MeasuredPoint:
    weight = sum(point.weight for point in group)
    rate = weight / sum(point.weight / point.rate for point in group)
    known = all(point.counted for point in group)
    counts = all(point.completions > 0 for point in group)
    times = all(point.seconds > 0 for point in group)
    names = list(dict.fromkeys(point.source for point in group))
    if counts and all(point.error is None for point in group):
        error = None  # that of the counts together
    else:
        error = rate * weight**-0.5 if known else _scatter([point.rate for point in group])
    return MeasuredPoint(
        workload=sum(point.weight * point.workload for point in group) / weight,
        rate=rate,
        error=error,
        completions=sum(point.completions for point in group) if counts else 0.0,
        seconds=sum(point.seconds for point in group) if times else 0.0,
        source=first_of(names, _MOST_SOURCES),
    )


def _scatter(rates: Sequence[float]) -> float | None:
    """Standard error of the mean of repeated runs; None where they are too few to say it.

    Runs that agree to the last digit are copies of one.
    """
    if len(set(rates)) < _REPEATED:
        return None
    return statistics.stdev(rates) / math.sqrt(len(rates))
