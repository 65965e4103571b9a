"""Tally of a run of load; tallies of several workers add up."""

from collections import Counter
from typing import Self, final

from isocline.histogram import Histogram, LogBuckets

_BUCKETS = LogBuckets(1024)


@final
class Times:
    """Durations: a histogram, right to 1 in 1000, with their exact sum and maximum."""

    def __init__(self) -> None:
        self._histogram = Histogram()
        self.count = 0
        self.max = 0.0  # s

    def add(self, seconds: float) -> None:
        """Count one."""
        self.count += 1
        self.max = max(self.max, seconds)
        self._histogram.add(_BUCKETS.bucket(seconds), seconds)

    def quantile(self, q: float) -> float:
        """Duration that a share q does not exceed, s, right to 1 in 1000; nan if there is none."""
        bucket = self._histogram.quantile(q)
        return float("nan") if bucket is None else min(_BUCKETS.upper(bucket), self.max)

    @property
    def mean(self) -> float:
        """The mean, s; nan if there is none."""
        return self._histogram.seconds / self.count if self.count else float("nan")

    def __iadd__(self, other: "Times") -> Self:
        self._histogram += other._histogram
        self.count += other.count
        self.max = max(self.max, other.max)
        return self


@final
class Tally:
    """Requests that were due after the warm-up."""

    def __init__(self) -> None:
        self.due = 0
        self.completed = 0
        self.tokens = 0
        self.errors: Counter[str] = Counter()  # by kind
        self.latency = Times()  # due to complete, of completed requests
        self.first_token = Times()  # due to the first token
        self.between_tokens = Times()  # from token to token
        self.lag = Times()  # due to sent: the client's own part, and the wait for a connection
        self.connections = 0  # most that were open at a time
        self.reconnections = 0  # requests sent once more, as their kept connection was closed
        self.ended = 0.0  # s from the start to the last answer
        self.interrupted = False

    def __iadd__(self, other: "Tally") -> Self:
        for name in ("due", "completed", "tokens", "connections", "reconnections"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.errors += other.errors
        for name in ("latency", "first_token", "between_tokens", "lag"):
            setattr(self, name, getattr(self, name).__iadd__(getattr(other, name)))
        self.ended = max(self.ended, other.ended)
        self.interrupted = self.interrupted or other.interrupted
        return self
