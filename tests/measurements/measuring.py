"""Measurements of known curves, exact or with the noise of counts."""

from collections.abc import Iterable

import numpy as np

from isocline.measurements import MeasuredPoint
from isocline.model.curves import (
    Curve,
    ExponentialCurve,
    HyperbolicCurve,
    KneeCurve,
    ServersCurve,
)

DOUBLINGS = (1, 2, 4, 8, 16, 32, 64, 128)
CURVES: dict[str, Curve] = {
    "hyperbolic": HyperbolicCurve(40.0, 12.0),
    "exponential": ExponentialCurve(40.0, 12.0),
    "knee": KneeCurve(40.0, 12.0, 3.0),
    "sharp knee": KneeCurve(40.0, 12.0, 10.0),
    "servers": ServersCurve(5.0, 8),
}


def exact(curve: Curve, workloads: Iterable[float] = DOUBLINGS) -> list[MeasuredPoint]:
    return [MeasuredPoint(n, float(curve.rate(n)), None, 0, 0, f"N = {n}") for n in workloads]


def counted(
    curve: Curve, completions: float, seed: int, workloads: Iterable[float] = DOUBLINGS
) -> list[MeasuredPoint]:
    """Poisson counts of so many completions on average at each workload."""
    rng = np.random.default_rng(seed)
    points = []
    for n in workloads:
        seconds = completions / float(curve.rate(n))
        done = max(int(rng.poisson(completions)), 1)
        points.append(MeasuredPoint(n, done / seconds, None, done, seconds, f"N = {n}"))
    return points
