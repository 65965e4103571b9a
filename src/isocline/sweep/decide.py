"""Decisions of a sweep: which concurrency next, for how long, or why to stop. No I/O, no clock.

1. Up, by a factor of 4 at most, so that a server is never hit by much more than it has shown to
   bear: until `most`, until the rate has fallen, or until a level fails. A level that failed bounds
   those after it, and the highest that works is looked for by halving.
2. Then where the curve is known least: where the band between measured levels is widest (`bounds`).
   If it would be wide with exact measurements, too, a level in the middle is measured; else the
   level beside it whose interval is widest, for as long as should make it narrow.
3. Until the band is nowhere wider than asked for, or no further visit fits into the time left.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, final

from isocline.sweep.bounds import Point, band, half_width
from isocline.sweep.rate import Rate, Z

STEP_UP = 4  # greatest factor from the highest level that counted to the next
# Levels nearer than this factor are one: the curve between them is their chord.
_NEAR = 1.25
# Latencies that a visit takes beside its window: requests that begin one after the other over one
# latency, a turnover of all of them, and the end of those that the window cut.
OVERHEAD = 3.0
_FIRST, _FIRST_EACH = 30.0, 4.0  # completions of a first visit, and of each client in it
_LEAST, _LEAST_EACH = 5.0, 1.0  # fewest for which a visit is worth its overhead
_EACH = 4.0  # completions of each client in a further visit, at least
_SHORTEST = 0.3  # s
# Of the half-width asked for, what a level's own error may use: the rest is for what is between.
_SHARE = 0.7
# A visit takes no more than this share of the time left, so that others have theirs.
_PART = 0.25
_WORTH = 0.2  # share of the time spent at a level that a further visit must add
# A rate has fallen if it is lower by this share and by so many standard deviations (1 in 160).
_FALL, _SURE = 0.03, 2.5
_STRIKES = 2  # failures where the server had worked, after which it is taken to be gone
_PLACES = 8  # at which a band is looked at between two levels


@final
@dataclass(frozen=True)
class Aims:
    """Goals of a sweep."""

    most: int  # highest concurrency
    precision: float  # half-width of the 95 % interval over its middle, everywhere


@final
class Level(NamedTuple):
    """A concurrency that counts, all visits together."""

    workload: int
    rate: Rate

    @property
    def per_second(self) -> float:
        """Requests per second, whatever the rate's unit."""
        return self.rate.completions / self.rate.seconds

    @property
    def point(self) -> Point:
        """Its 95 % interval."""
        half = Z * self.rate.error
        return Point(self.workload, max(self.rate.rate - half, 0.0), self.rate.rate + half)


@final
class Visit(NamedTuple):
    """Measure at a level."""

    workload: int
    seconds: float  # length of the window
    latency: float  # s, as is expected there

    @property
    def cost(self) -> float:
        """Time that it takes in all, as far as is known before, s."""
        return self.seconds + OVERHEAD * self.latency


class Why(Enum):
    """Reasons to stop."""

    NARROW = "the curve is known as well as was asked"
    LIMIT = "the time is used up"
    NOTHING = "no workload could be measured"
    GONE = "the server failed where it had worked before"


@final
class Stop(NamedTuple):
    """Measure no more."""

    why: Why
    width: float = math.nan  # widest half-width, relative, of what is between measured levels
    where: float = math.nan  # workload at which it is
    unreached: int | None = None  # a level above all others, for which there was no time


def next_visit(
    levels: Sequence[Level], failed: Sequence[int], aims: Aims, left: float, latency: float
) -> Visit | Stop:
    """Decide what comes next.

    Args:
        levels: Those that count, in any order, each once.
        failed: Workloads of visits that did not count.
        aims: Goals.
        left: Time left, s.
        latency: Of a request alone, s, as a probe found it.
    """
    known = sorted(levels)
    if not known:
        first = _first_visit(1, 1.0 / latency, left / 3.0)
        return Stop(Why.NOTHING) if failed else _affordable(first, left, Stop(Why.LIMIT))
    widest = _widest(known)
    stop = Stop(Why.LIMIT, widest.width, widest.where)
    if sum(one <= known[-1].workload for one in failed) >= _STRIKES:
        return stop._replace(why=Why.GONE)
    visit = _wanted(known, failed, widest, aims, left)
    if visit is not None and visit.workload > known[-1].workload:
        stop = stop._replace(unreached=visit.workload)
    return stop._replace(why=Why.NARROW) if visit is None else _affordable(visit, left, stop)


def _wanted(
    known: Sequence[Level], failed: Sequence[int], widest: "_Widest", aims: Aims, left: float
) -> Visit | None:
    """The visit that helps most; None if all is known well enough."""
    higher = _higher(known, failed, aims.most)
    if higher is not None:
        budget = left / (_steps(known[-1].workload, aims.most) + 2)
        return _first_visit(higher, _per_second(known, higher), budget)
    if widest.width <= aims.precision:
        return None
    level = known[widest.at]
    if widest.between is not None:
        seconds = _needed(level, aims) * level.per_second / _per_second(known, widest.between)
        return _sized(widest.between, known, seconds, left)
    spent = level.rate.seconds
    more = _needed(level, aims) - spent
    return _sized(level.workload, known, more, left, least=_WORTH * spent)


def peak_end(levels: Sequence[Level]) -> int | None:
    """The lowest level at which the rate has fallen for sure; None if it has not."""
    known = sorted(levels)
    top = max(range(len(known)), key=lambda i: known[i].rate.rate, default=0)
    for level in known[top + 1 :]:
        best, here = known[top].rate, level.rate
        fall = best.rate - here.rate
        if fall > _FALL * best.rate and fall > _SURE * math.hypot(best.error, here.error):
            return level.workload
    return None


# Upwards


def _higher(known: Sequence[Level], failed: Sequence[int], most: int) -> int | None:
    """The next level above all that count; None if there is no need for one, or no hope."""
    top = known[-1].workload
    if top >= most or peak_end(known) is not None:
        return None
    bound = min((one for one in failed if one > top), default=None)
    if bound is None:
        return min(most, STEP_UP * top)
    middle = round(math.sqrt(top * bound))
    return middle if top < middle < bound and bound > _NEAR * top else None


def _steps(top: int, most: int) -> int:
    """Levels that are still to come on the way up."""
    steps = 0
    while top < most:
        top *= STEP_UP
        steps += 1
    return steps


def _first_visit(workload: int, per_second: float, budget: float) -> Visit:
    latency = workload / per_second
    wanted = max(_FIRST / per_second, _FIRST_EACH * latency, _SHORTEST)
    seconds = min(wanted, budget - OVERHEAD * latency)
    return Visit(workload, max(seconds, _least_seconds(workload, per_second)), latency)


def _least_seconds(workload: int, per_second: float) -> float:
    return max(_LEAST / per_second, _LEAST_EACH * workload / per_second, 0.5 * _SHORTEST)


def _affordable(visit: Visit, left: float, stop: Stop) -> Visit | Stop:
    return visit if visit.cost <= left else stop


def _per_second(known: Sequence[Level], workload: int) -> float:
    """Requests/s to be expected: by the chord, or above all that count a little more than there."""
    above = [one for one in known if one.workload >= workload]
    if not above:
        return known[-1].per_second * math.sqrt(workload / known[-1].workload)
    right = above[0]
    left = max((one for one in known if one.workload < workload), default=None)
    if left is None:
        return right.per_second * workload / right.workload
    share = (workload - left.workload) / (right.workload - left.workload)
    return (1.0 - share) * left.per_second + share * right.per_second


# Between


@final
class _Widest(NamedTuple):
    """Where the curve is known least, and what helps."""

    width: float
    where: float
    at: int  # number of the level to measure longer
    between: int | None = None  # or rather this new level


def _widest(known: Sequence[Level]) -> _Widest:
    end = peak_end(known)
    known = [one for one in known if end is None or one.workload <= end]
    points = [Point(0.0, 0.0, 0.0), *(one.point for one in known)]
    widest = max(
        (_Widest(one.width, one.workload, i) for i, one in enumerate(points[1:])),
        key=lambda one: one.width,
    )
    exact = [Point(one.workload, *2 * ((one.low + one.high) / 2,)) for one in points]
    for after in range(1, len(points) - 1):
        left, right = int(points[after].workload), int(points[after + 1].workload)
        if right < left + 2 or right <= _NEAR * left:
            continue
        width, where = _width_between(points, after)
        if width <= widest.width:
            continue
        beside = [i for i in range(after - 1, after + 3) if 0 < i < len(points)]
        loosest = max(beside, key=lambda i: points[i].width)
        middle = min(max(round(math.sqrt(left * right)), left + 1), right - 1)
        splits = _width_between(exact, after)[0] > 0.5 * width or points[loosest].width < width / 3
        widest = _Widest(width, where, loosest - 1, middle if splits else None)
    return widest


def _width_between(points: Sequence[Point], after: int) -> tuple[float, float]:
    """Greatest half-width between two neighbours, and the workload at which it is."""
    left, right = points[after].workload, points[after + 1].workload
    places = (left * (right / left) ** (i / (_PLACES + 1)) for i in range(1, _PLACES + 1))
    return max((half_width(*band(points, after, n)), n) for n in places)


def _needed(level: Level, aims: Aims) -> float:
    """Seconds in all that should make a level's interval narrow enough."""
    return level.rate.seconds * (level.point.width / (_SHARE * aims.precision)) ** 2


def _sized(
    workload: int, known: Sequence[Level], seconds: float, left: float, least: float = 0.0
) -> Visit:
    """A visit of about so many seconds, worth its overhead and leaving time for others."""
    per_second = _per_second(known, workload)
    latency = workload / per_second
    least = max(least, _least_seconds(workload, per_second), _SHORTEST, _EACH * latency)
    most = max(_PART * left - OVERHEAD * latency, least)
    return Visit(workload, min(max(seconds, least), most), latency)
