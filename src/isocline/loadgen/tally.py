"""Tally of a run of load; tallies of several workers add up."""

import math
from collections import Counter
from typing import Any, Self, final

from hdrh.histogram import HdrHistogram

_LONGEST = 2 * 3600 * 10**6  # µs: twice the longest timeout
_DIGITS = 3  # a value in the histogram is right to 1 in 1000


@final
class Times:
    """Durations: an HDR histogram of microseconds, and their exact sum."""

    def __init__(self) -> None:
        self.histogram = HdrHistogram(1, _LONGEST, _DIGITS)
        self.count = 0
        self.sum = 0.0  # s
        self.max = 0.0  # s

    def add(self, seconds: float) -> None:
        """Count one."""
        self.count += 1
        self.sum += seconds
        self.max = max(self.max, seconds)
        self.histogram.record_value(int(seconds * 1e6 + 0.5))

    def quantile(self, q: float) -> float:
        """What a share q does not exceed, s, right to 1 in 1000; nan if there is none."""
        if not self.count:
            return float("nan")
        # The histogram would round q * count to the nearest rank, and so tell too little of a tail.
        rank = min(max(math.ceil(q * self.count - 1e-9), 1), self.count)
        value: int = self.histogram.get_value_at_percentile(100.0 * rank / self.count)
        return min(value * 1e-6, self.max)  # it is the upper end of a bucket

    @property
    def mean(self) -> float:
        """The mean, s; nan if there is none."""
        return self.sum / self.count if self.count else float("nan")

    def __iadd__(self, other: "Times") -> Self:
        self.histogram.add(other.histogram)
        self.count += other.count
        self.sum += other.sum
        self.max = max(self.max, other.max)
        return self

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"histogram": self.histogram.encode()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.histogram = HdrHistogram.decode(state["histogram"])


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
