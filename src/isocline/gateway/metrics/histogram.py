"""Buckets of the router's histograms, less than a tenth apart, so that sums keep their percentiles.

Each decade has the bounds 1, 2.5, 5 and 10 that Prometheus shows, and between them 10, 8 and 8
steps of one ratio, at most 2.5^(1/10) = 1.096. A percentile is the geometric middle of its bucket:
off by 4.7 % at most, however many histograms were added up.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

from isocline.histogram import Histogram

_FIRST, _LAST = -4, 4  # 0.1 ms, below which no request is answered, to 10 000 s, beyond any limit
_STEPS = ((1.0, 2.5, 10), (2.5, 5.0, 8), (5.0, 10.0, 8))


def _bounds() -> Iterable[float]:
    for decade in range(_FIRST, _LAST):
        for low, high, steps in _STEPS:
            for step in range(steps):
                # Rounded, so that 2.5e-3 is the number that a person writes.
                yield float(f"{low * (high / low) ** (step / steps) * 10.0**decade:.6g}")
    yield 10.0**_LAST


BOUNDS: Sequence[float] = tuple(_bounds())
"""Bucket i holds times in (BOUNDS[i - 1], BOUNDS[i]], s; one more holds what is longer."""
SHOWN: Sequence[float] = (
    *(float(f"{low}e{decade}") for decade in range(-3, 3) for low, _, _ in _STEPS),
    1000.0,
)
"""The bounds that Prometheus is given, s."""
_SHOWN_AT = tuple(bisect_left(BOUNDS, bound) for bound in SHOWN)


def add(histogram: Histogram, seconds: float) -> None:
    """Count a time, which may be below 0, as a clock is read before an event or after it."""
    histogram.add(bisect_left(BOUNDS, seconds), seconds)


def percentile(histogram: Histogram, share: float) -> float | None:
    """Time, s, that a share of all does not exceed, to 4.7 %; None if empty."""
    bucket = histogram.quantile(share)
    return None if bucket is None else _middle(bucket)


def cumulative(histogram: Histogram) -> list[tuple[str, float]]:
    """Pairs (bound, number not above it) as in Prometheus, the last bound `+Inf`."""
    below = _below(histogram.counts)
    return [*zip(map(str, SHOWN), below, strict=True), ("+Inf", histogram.total)]


def _middle(bucket: int) -> float:
    """Representative of all times in a bucket, s."""
    if bucket == 0:
        return BOUNDS[0]
    if bucket == len(BOUNDS):
        return BOUNDS[-1]
    return math.sqrt(BOUNDS[bucket - 1] * BOUNDS[bucket])


def _below(counts: Mapping[int, int]) -> list[float]:
    return [sum(n for bucket, n in counts.items() if bucket <= last) for last in _SHOWN_AT]
