"""Jobs of others at each backend, as expected between two load reports.

A report says how many jobs O others have at a backend at one moment, beyond one's own. A time t
later each of them is still there with probability exp(-t / W), where W is the mean time that a
job spends there, and others have sent new ones. Where they send at a steady rate and their mean
is M,

    E[O(t) | O] = M + (O - M) exp(-t / W).

This is exact for Poisson arrivals and exponential stays (M/M/inf, a birth-death chain), and the
best linear predictor of any stationary process with that correlation. A fresh report counts in
full, and one that is much older than W not at all.

M is the mean of the reports. Reports in responses come only from backends that one sends to, so
that a mean which keeps a frontend away would never be put right: without a new report it fades,
M exp(-t / S), in the time S in which as many reports as it holds used to come.

Nothing is set: W is the mean of one's own stays, as others' jobs are served like one's own
(Little's law: job-seconds over ends). Derivation and figures: docs/delays-and-layers.md.
"""

import math
from typing import final

# Reports in a running mean, whose error is then a quarter of theirs. With 64, latencies are better
# at rest, and worse where arrivals change (see the page).
AVERAGED = 16
# No estimate is brought up to date before its age, with W, has grown by this part.
STEP = 1.0 / 16.0
TINY = 1e-9  # s, or jobs/s
EPSILON = 2.0**-50  # of a time, the least difference that counts


@final
class JobsOfOthers:
    """Estimate for B backends. Times are s of one clock.

    Attributes:
        changes_at: Time from which on `expect` of each may return another number; inf: until its
            next report.
    """

    def __init__(self, backends: int) -> None:
        self.changes_at = [math.inf] * backends
        self._backends = [_Estimate() for _ in range(backends)]

    def reported(self, backend: int, jobs: int, measured: float, held: float, ended: int) -> None:
        """Record that others had so many jobs at a backend at a time.

        Args:
            backend: Its number.
            jobs: Of others.
            measured: When, s; not before that of the last report.
            held: One's own job-seconds there, in total.
            ended: One's own jobs that have left it, in total.
        """
        self._backends[backend].reported(jobs, measured, held, ended)

    def forget(self, backend: int) -> None:
        """Expect none at a backend that has told nothing for long."""
        self._backends[backend].forget()
        self.changes_at[backend] = math.inf

    def at(self, backend: int, now: float) -> float:
        """Jobs of others expected at a backend; 0 without a report."""
        return self._backends[backend].at(now)

    def expect(self, backend: int, now: float) -> int:
        """Jobs of others expected at a backend, rounded; brings `changes_at` up to date."""
        whole, self.changes_at[backend] = self._backends[backend].expect(now)
        return whole


@final
class _Estimate:
    """Estimate of one backend."""

    __slots__ = (
        "_averaged", "_ended", "_ended_before", "_gap", "_held", "_held_before", "_last", "_mean",
        "_measured", "_stay",
    )  # fmt: skip

    def __init__(self) -> None:
        # Job-seconds and ends of one's own, which fade; and the totals at the last report.
        self._held, self._ended = 0.0, 0.0
        self._held_before, self._ended_before = 0.0, 0
        self._stay = math.inf  # s, W
        self.forget()

    def forget(self) -> None:
        self._averaged = 0  # reports in the mean
        self._last, self._mean = 0.0, 0.0
        self._measured = -math.inf
        self._gap = math.inf  # s, mean time between two reports

    def reported(self, jobs: int, measured: float, held: float, ended: int) -> None:
        if self._averaged:
            gap = measured - self._measured
            if self._averaged == 1:
                self._gap = gap
            self._gap += (gap - self._gap) / self._averaged
        self._averaged = min(self._averaged + 1, AVERAGED)
        self._mean += (jobs - self._mean) / self._averaged
        self._last, self._measured = jobs, measured
        kept = 1.0 - 1.0 / AVERAGED
        self._held = kept * self._held + held - self._held_before
        self._ended = kept * self._ended + ended - self._ended_before
        self._held_before, self._ended_before = held, ended
        if self._ended > 0.0:
            self._stay = self._held / self._ended

    def at(self, now: float) -> float:
        age = max(now - self._measured, 0.0)
        if not self._averaged or age == 0.0:
            return self._last
        mean = self._mean * _left(age, AVERAGED * self._gap)
        return mean + (self._last - mean) * _left(age, self._stay)

    def expect(self, now: float) -> tuple[int, float]:
        """Estimate, rounded, and a time before which it is not another.

        Within a step, in which the mean fades by less than STEP, the estimate moves no faster than
        by `slope`.
        """
        stay, last = self._stay, self._last
        if stay == math.inf or (last < 0.5 and self._mean < 0.5):
            return math.floor(self.at(now) + 0.5), math.inf
        age, fading = max(now - self._measured, 0.0), AVERAGED * self._gap + TINY
        stay += TINY
        mean = self._mean * math.exp(-age / fading)
        kept = math.exp(-age / stay)
        estimate = mean + (last - mean) * kept if age else last
        whole = math.floor(estimate + 0.5)
        slope = (abs(last - mean) + STEP * mean) * kept / stay + mean / fading + TINY
        seconds = min((0.5 - abs(estimate - whole)) / slope, STEP * fading)
        return whole, now + max(seconds, STEP * (age + stay), abs(now) * EPSILON)


def _left(age: float, time: float) -> float:
    """Part of a deviation that is left at an age above 0, if it shrinks to 1/e in `time`, s."""
    return math.exp(-age / time) if time > 0.0 else 0.0
