"""Requests that ended between two snapshots, and latencies over the last few intervals."""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar, final

from isocline.gateway.metrics.snapshot import Pair, Snapshot
from isocline.histogram import Histogram

Counted = TypeVar("Counted")
Key = tuple[str, str]
"""Names of a frontend and a backend; empty stands for all."""

_NONE = Pair()


@final
@dataclass
class Ended:
    """Requests of a frontend, a backend or a pair that ended in an interval.

    Attributes:
        count: All requests.
        failed: Those without a complete response, by reason.
        errors: Those with a status of 500 or above.
        retries: Attempts after the first.
        duration: Latencies, s.
        first_token: Times to the first token of streams, s.
    """

    count: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    errors: int = 0
    retries: int = 0
    duration: Histogram = field(default_factory=Histogram)
    first_token: Histogram = field(default_factory=Histogram)

    def __iadd__(self, other: "Ended") -> "Ended":
        self.count += other.count
        for reason, count in other.failed.items():
            self.failed[reason] = self.failed.get(reason, 0) + count
        self.errors += other.errors
        self.retries += other.retries
        self.duration += other.duration
        self.first_token += other.first_token
        return self


def ended_between(before: Snapshot, after: Snapshot) -> Iterator[tuple[str, str, Ended]]:
    """Yield (frontend, backend, requests) for each pair with requests that ended in between.

    Counts fall when a worker is killed, as those since its last report are lost; such an interval
    shows fewer requests, never a negative number.
    """
    for frontend, row in after.pairs.items():
        earlier = before.pairs.get(frontend, {})
        for backend, now in row.items():
            then = earlier.get(backend, _NONE)
            if now is then:
                continue
            count = sum(now.codes.values()) - sum(then.codes.values())
            if count > 0:
                yield frontend, backend, _ended(then, now, count)


def _ended(then: Pair, now: Pair, count: int) -> Ended:
    errors = sum(n - then.codes.get(status, 0) for status, n in now.codes.items() if status >= 500)
    return Ended(
        count,
        rise(then.failed, now.failed),
        max(errors, 0),
        max(now.retries - then.retries, 0),
        _more(then.duration, now.duration),
        _more(then.first_token, now.first_token),
    )


def rise(then: Mapping[Counted, int], now: Mapping[Counted, int]) -> dict[Counted, int]:
    """Increases of the counts that have grown."""
    return {key: more for key, n in now.items() if (more := n - then.get(key, 0)) > 0}


def _more(then: Histogram, now: Histogram) -> Histogram:
    if now.seconds == then.seconds:
        return Histogram()
    return Histogram(rise(then.counts, now.counts), max(now.seconds - then.seconds, 0.0))


@final
class Recent:
    """Latencies summed over the intervals that ended within the last `seconds` s, by key."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._kept: deque[tuple[float, Mapping[Key, Histogram]]] = deque()
        self._sums: dict[Key, Histogram] = {}

    def add(self, now: float, interval: Mapping[Key, Histogram]) -> None:
        """Add the interval that ends at `now`, s, and forget old ones."""
        self._kept.append((now, interval))
        for key, histogram in interval.items():
            if histogram.counts:
                total = self._sums.setdefault(key, Histogram())
                total += histogram
        while self._kept[0][0] <= now - self._seconds:
            self._forget(self._kept.popleft()[1])

    def of(self, key: Key) -> Histogram:
        """Sum for a key; empty if no request ended."""
        return self._sums.get(key) or Histogram()

    def _forget(self, interval: Mapping[Key, Histogram]) -> None:
        for key, old in interval.items():
            found = self._sums.get(key)
            if found is None:
                continue
            for bucket, count in old.counts.items():
                found.counts[bucket] -= count
                if not found.counts[bucket]:
                    del found.counts[bucket]
            found.seconds = found.seconds - old.seconds if found.counts else 0.0
            if not found.counts:
                del self._sums[key]
