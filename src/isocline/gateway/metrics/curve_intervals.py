"""Curves from snapshots, with their 95 % intervals."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from pydantic import TypeAdapter

from isocline.gateway.metrics.snapshot import LearnedCurve, LiveBackend
from isocline.learn import Known
from isocline.model.curves import Curve, TableCurve
from isocline.model.systemfile.curve_schema import AnyCurve


def curve_of(live: LiveBackend) -> Curve:
    """Return a backend's curve as known, jobs/s.

    Raises:
        CurveError: The observations give no curve yet.
    """
    if live.learned is not None:
        return _learned(live.learned)
    made: Curve = TypeAdapter(AnyCurve).validate_python(live.given).make()
    return made


def known_of(live: LiveBackend) -> Known | None:
    """Return the workers' joint observations of a learned curve; None for a given one."""
    return None if live.learned is None else _known(live.learned.counts)


class Ends(NamedTuple):
    """95 % intervals of a learned curve, requests/s; None: unbounded."""

    seen: int  # jobs, the highest workload seen: beyond it the curve is extrapolated
    capacity: float | None  # at the peak, as fitted; None where no bend was seen
    capacity_low: float
    capacity_high: float | None
    rate_low: float  # at the workload of now
    rate_high: float | None


def ends_of(live: LiveBackend) -> Ends | None:
    """Return the intervals of a learned curve; None for a given one."""
    known = known_of(live)
    if live.learned is None or known is None:
        return None
    peak = max(rate / weight for rate, weight in live.learned.points.values())
    at = (live.workload / live.workers, live.service_rate / live.workers)
    ((_, low, high),) = known.intervals([at])
    ends = known.capacity.holding(peak)
    return Ends(known.seen, None if ends.high is None else peak, *ends, low, high)


def _known(counts: Mapping[int, tuple[float, float]]) -> Known:
    size = max(counts, default=0) + 1
    done, seconds = np.zeros(size), np.zeros(size)
    for level, (completions, time) in counts.items():
        done[level], seconds[level] = completions, time
    return Known(done, seconds)


def _learned(learned: LearnedCurve) -> TableCurve:
    """Mean of the workers' learned curves, weighted by completions."""
    points = sorted(learned.points.items())
    return TableCurve(tuple((n, rate / weight) for n, (rate, weight) in points))
