"""Outlier detection: ejection of backends that failed too often lately, from requests alone.

As Envoy's outlier detection, with two changes. An interval doubles, in place of growing by a fixed
step, and starts anew once a backend has stayed in for as long as it was last out. And a backend
that was let in again is on trial until it succeeds: its first failure ejects it at once.
"""

import math
from dataclasses import dataclass, field, replace
from typing import final

from isocline.model.serving_settings import EjectionRule
from isocline.plural import counted


@final
@dataclass(slots=True)
class Record:
    """Recent history of one backend."""

    in_a_row: int = 0  # failures since the last success
    since: float = -math.inf  # s, the start of the window
    requests: int = 0  # in the window
    failed: int = 0  # of them
    until: float = math.inf  # s, when it is let in again; inf if it is in
    length: float = 0.0  # s, its last time out
    back: float = -math.inf  # s, when that ended
    on_trial: bool = False
    times: int = 0  # ejected, since these records began

    @property
    def out(self) -> bool:
        """Whether the backend is ejected."""
        return self.until < math.inf


@final
@dataclass
class OutlierDetection:
    """Records of B backends. The caller makes sure that enough other backends remain."""

    rule: EjectionRule
    backends: int
    records: list[Record] = field(init=False)
    next_end: float = math.inf  # s, when the next one is let in; inf if all are in

    def __post_init__(self) -> None:
        self.records = [Record() for _ in range(self.backends)]

    def succeeded(self, backend: int, now: float) -> None:
        """Record a good response, at `now`, s."""
        self.records[backend].on_trial = False
        self.answered(backend, now)

    def answered(self, backend: int, now: float) -> None:
        """Record a response that is no failure, but no proof for a backend on trial either."""
        record = self.records[backend]
        record.in_a_row = 0
        if now - record.since > self.rule.window:
            record.since, record.requests, record.failed = now, 0, 0
        record.requests += 1

    def failed(self, backend: int, now: float) -> str:
        """Record a failure; returns the reason to eject the backend, empty if there is none."""
        rule, record = self.rule, self.records[backend]
        if now - record.since > rule.window:
            record.since, record.requests, record.failed = now, 0, 0
        record.requests += 1
        record.failed += 1
        record.in_a_row += 1
        if record.out:
            return ""
        if record.on_trial:
            return "it failed again as soon as it was let in"
        if record.in_a_row >= rule.failures:
            return f"{counted(record.in_a_row, 'failure')} in a row"
        if record.requests >= rule.least and record.failed >= rule.rate * record.requests:
            return f"{record.failed} of {record.requests} requests within {rule.window:g} s failed"
        return ""

    def eject(self, backend: int, now: float) -> None:
        """Eject a backend."""
        rule, record = self.rule, self.records[backend]
        settled = now - record.back > record.length
        length = rule.first if settled else 2.0 * record.length
        record.length = min(length, rule.longest)
        record.until = now + record.length
        record.times += 1
        self.next_end = min(self.next_end, record.until)

    def readmit(self, backend: int, now: float) -> None:
        """Let a backend in, as its time is over or it is needed."""
        record = self.records[backend]
        record.until = math.inf
        record.back = now
        record.on_trial = True
        record.in_a_row, record.requests, record.failed = 0, 0, 0
        self.next_end = min(record.until for record in self.records)

    def adopt(self, backend: int, record: Record) -> None:
        """Take over another record of the backend; `times` counts those that are to come."""
        self.records[backend] = replace(record, times=0)
        self.next_end = min(self.next_end, record.until)

    def over(self, now: float) -> list[int]:
        """Return the backends whose ejection is over."""
        if now < self.next_end:
            return []
        return [b for b, record in enumerate(self.records) if record.until <= now]
