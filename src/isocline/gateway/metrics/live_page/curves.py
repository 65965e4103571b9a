"""Curves of backends for the live page: rates with intervals, and the present workload."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from isocline.errors import CurveError
from isocline.gateway.metrics.curve_intervals import curve_of, ends_of, known_of
from isocline.gateway.metrics.optimality import Optimality
from isocline.gateway.metrics.snapshot import LiveBackend, Snapshot
from isocline.pages.live import short

_POINTS = 60  # points of a picture 300 pixels wide
_BEYOND = 1.25  # times the highest workload seen: part of the extrapolation is shown, too
MOST = 12  # most backends at a time


def curve_documents(
    snapshot: Snapshot, optimality: Optimality, names: Sequence[str]
) -> list[dict[str, Any]]:
    """One document for each named backend that exists; workloads in jobs, rates in jobs/s."""
    planned = {it.name: it.jobs for it in optimality.backends}
    found = []
    for name in names[:MOST]:
        seen = snapshot.backends.get(name)
        if seen is not None and seen.live is not None:
            found.append({"name": name} | _document(seen.live, planned.get(name)))
    return found


def _document(live: LiveBackend, planned: float | None) -> dict[str, Any]:
    jobs = live.workload / live.workers
    known, ends = known_of(live), ends_of(live)
    head = {
        "learned": live.learned is not None,
        "jobs": short(jobs),
        "planned": short(planned),
        "seen": known.seen if known else None,
        "capacity": [short(ends.capacity), short(ends.capacity_low), short(ends.capacity_high)]
        if ends
        else None,
        "completions": short(live.learned.completions) if live.learned else None,
    }
    try:
        curve = curve_of(live)
    except CurveError:  # nothing has been observed yet
        return head | {"points": []}
    last = _BEYOND * max(jobs, planned or 0.0, known.seen if known else 0.0, 4.0)
    levels = np.linspace(0.0, math.ceil(last), _POINTS + 1)
    rates = [(n, float(curve.rate(n))) for n in levels.tolist()]
    bounds = known.intervals(rates) if known else [(n, rate, rate) for n, rate in rates]
    points = [
        [short(n), short(rate), short(low), short(high)]
        for (n, rate), (_, low, high) in zip(rates, bounds, strict=True)
    ]
    return head | {"at": [short(jobs), short(float(curve.rate(jobs)))], "points": points}
