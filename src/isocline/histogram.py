"""Histogram of durations: counts of the buckets in use, which add up, and the exact sum.

Which durations a bucket holds is its owner's rule: the router's buckets end at the bounds that
Prometheus is given (`gateway.metrics.histogram`), the load generator's are all equally narrow on a
logarithmic scale (`LogBuckets`), as the simulator's, whose kernel keeps them in an array.
"""

import math
from dataclasses import dataclass, field
from typing import Self, final

# From the least to one in 10^5, evenly on the scale of nines on which tails are drawn.
_SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, *(1.0 - 0.5 * 10.0 ** (-k / 8.0) for k in range(39)))


def known_shares(count: int) -> list[float]:
    """Shares whose quantiles are drawn of `count` durations: of 1 / (1 - share) one was seen."""
    return [share for share in _SHARES if count * (1.0 - share) >= 1.0]


@final
@dataclass(slots=True)
class Histogram:
    """Durations that were counted.

    Attributes:
        counts: Number of durations by bucket; buckets are numbered in the order of durations.
        seconds: Sum of the durations, s.
    """

    counts: dict[int, int] = field(default_factory=dict)
    seconds: float = 0.0

    def add(self, bucket: int, seconds: float) -> None:
        """Count one duration, s, in its bucket."""
        try:
            self.counts[bucket] += 1
        except KeyError:
            self.counts[bucket] = 1
        self.seconds += seconds

    @property
    def total(self) -> int:
        """Number of durations."""
        return sum(self.counts.values())

    @property
    def mean(self) -> float | None:
        """Mean, s; None if empty."""
        return self.seconds / self.total if self.counts else None

    def quantile(self, share: float) -> int | None:
        """Bucket of the duration that a share of all does not exceed; None if empty."""
        # Less than any count: 0.9 * 10 is not to be more than 9.
        left = max(math.ceil(share * self.total - 1e-9), 1)
        for bucket, count in sorted(self.counts.items()):
            left -= count
            if left <= 0:
                return bucket
        return None

    def copy(self) -> "Histogram":
        """Return one that does not grow with this one."""
        return Histogram(dict(self.counts), self.seconds)

    def __iadd__(self, other: "Histogram") -> Self:
        for bucket, count in other.counts.items():
            self.counts[bucket] = self.counts.get(bucket, 0) + count
        self.seconds += other.seconds
        return self


@final
class LogBuckets:
    """Buckets of equal width between two powers of 2: of the relative width `1 / steps` at most.

    As in an HDR histogram. Bucket 0 holds 0 and less; there is no longest duration.
    """

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._first = 1100 * steps  # the exponent of the least positive float is -1073

    def bucket(self, seconds: float) -> int:
        """Return the bucket of a duration, s."""
        if seconds <= 0.0:
            return 0
        mantissa, exponent = math.frexp(seconds)  # from 0.5 on, below 1
        return self._first + exponent * self._steps + int((2.0 * mantissa - 1.0) * self._steps)

    def upper(self, bucket: int) -> float:
        """Return the least duration, s, that is too long for a bucket; of bucket 0 it is 0."""
        if bucket == 0:
            return 0.0
        exponent, step = divmod(bucket + 1 - self._first, self._steps)
        return math.ldexp(0.5 + 0.5 * step / self._steps, exponent)
