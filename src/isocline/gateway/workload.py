"""N as a frontend knows it: the last report, and what it sent and got back since.

With H(t) the requests that this core has in flight at a backend, a report of n jobs measured at
time t says that others have n - H(t) there. Until the next one

    N = max(n - H(t), 0) + H(now),

which is the report + own sends since - own completions since, and never below H(now): what was on
its way at t is not in the report. Without a report, or with one that is too old, N = H(now).
"""

import math
from collections import deque
from typing import final

from isocline.policies.contract import IntArray

# How many own sends and completions a report may be behind. At 10 000 requests/s at one backend it
# is 13 ms, ten times the delay on one network.
REMEMBERED = 256
# No backend holds more; a report of more is taken for so many.
LARGEST = 1 << 24


@final
class Workloads:
    """Kept for B backends in the array that policies read."""

    def __init__(self, shown: IntArray, oldest: float):
        self._shown = shown.data  # a memoryview: writes four times as fast as the array itself
        self._oldest = oldest
        count = shown.size
        self.own = [0] * count  # H(now)
        self._others = [0] * count
        self._measured = [-math.inf] * count
        self._past = [deque([(-math.inf, 0)], maxlen=REMEMBERED) for _ in range(count)]
        self.stale_at = math.inf  # s, no report becomes too old before this
        self.surprises = [0.0] * count  # sum of |N - n| over reports
        self.reports = [0] * count

    def __getitem__(self, backend: int) -> int:
        return self._shown[backend]

    def sent(self, backend: int, now: float, jobs: int = 1) -> None:
        """Jobs of this core went there, or came back (`jobs` < 0)."""
        own = self.own[backend] + jobs
        self.own[backend] = own
        self._past[backend].append((now, own))
        self._shown[backend] += jobs

    def reported(self, backend: int, jobs: int, measured: float) -> bool:
        """The backend held `jobs` at time `measured`, s; False if a later report is known."""
        if measured < self._measured[backend]:
            return False
        others = max(min(jobs, LARGEST) - self._own_at(backend, measured), 0)
        if self._measured[backend] > -math.inf:
            self.surprises[backend] += abs(others - self._others[backend])
            self.reports[backend] += 1
        self._measured[backend] = measured
        self._set_others(backend, others)
        self.stale_at = min(self.stale_at, measured + self._oldest)
        return True

    def age(self, backend: int, now: float) -> float:
        """How old the report is that an estimate rests on, s; inf if there is none."""
        return now - self._measured[backend]

    def expire(self, now: float) -> list[int]:
        """Forget reports that are too old; whose."""
        if now < self.stale_at:
            return []
        gone = [
            b for b, at in enumerate(self._measured) if -math.inf < at and at + self._oldest <= now
        ]
        for backend in gone:
            self._measured[backend] = -math.inf
            self._set_others(backend, 0)
        known = [at for at in self._measured if at > -math.inf]
        self.stale_at = min(known) + self._oldest if known else math.inf
        return gone

    def _set_others(self, backend: int, others: int) -> None:
        self._others[backend] = others
        self._shown[backend] = self.own[backend] + others

    def _own_at(self, backend: int, time: float) -> int:
        past = self._past[backend]
        for when, own in reversed(past):
            if when <= time:
                return own
        return past[0][1]
