"""Jobs of others at each backend, as expected between two load reports.

A report says how many jobs O others have at a backend at one moment, beyond one's own. A time t
later each of them is still there with probability exp(-t / W), where W is the mean time that a
job spends there, and others have sent new ones. Where they send at a steady rate and their mean
is M,

    E[O(t) | O] = M + (O - M) exp(-t / W).

This is exact for Poisson arrivals and exponential stays (M/M/inf, a birth-death chain), and the
best linear predictor of any stationary process with that correlation. A fresh report counts in
full, and one that is much older than W not at all.

Others do not send at a steady rate where they have the same reports: then all follow them at once,
to the same backends, and one's own jobs tell what theirs do. So the expectation moves by
r (H(t) - E[H(t)]), where H are one's own jobs there, E[H(t)] relaxes like that of others, and r,
the response, is what fits best at the reports (least squares, all backends alike): 0 where others
are independent, and nearly their number where they all act as oneself does.

M is the mean of the reports. Reports in responses come only from backends that one sends to, so
that a mean which keeps a frontend away would never be put right: without a new report it fades,
M exp(-t / S), in the time S in which as many reports as it holds used to come.

Nothing is set: W is the mean of one's own stays, as others' jobs are served like one's own
(Little's law: job-seconds over ends). Derivation and figures: docs/delays-and-layers.md.
"""

import math
from heapq import heapify, heappop, heappush
from typing import final

# Reports in a running mean, whose error is then a quarter of theirs. With 64, latencies are better
# at rest, and worse where arrivals change (see the page).
AVERAGED = 16
# No estimate is brought up to date before its age, with W, has grown by this part.
STEP = 1.0 / 16.0
FEW = 64  # times in a heap that hold no more are not worth removing
TINY = 1e-9  # s, or jobs/s
EPSILON = 2.0**-50  # of a time, the least difference that counts


@final
class JobsOfOthers:
    """Estimate for B backends. Times are s of one clock.

    Attributes:
        changes_at: Time from which on `expect` of each may return another number, if one's own
            jobs there stay the same; inf: until its next report.
    """

    def __init__(self, backends: int) -> None:
        self.changes_at = [math.inf] * backends
        self._changes: list[tuple[float, int]] = []  # heap of these and some that hold no more
        self._response = _Response(AVERAGED * max(backends, 1))
        self._backends = [_Estimate() for _ in range(backends)]

    @property
    def response(self) -> float:
        """Jobs of others for each of one's own, beyond those expected of either."""
        return self._response.value

    def reported(
        self, backend: int, jobs: int, own: int, measured: float, held: float, ended: int
    ) -> None:
        """Record that others had so many jobs at a backend at a time.

        Args:
            backend: Its number.
            jobs: Of others.
            own: One's own at that time.
            measured: When, s; not before that of the last report.
            held: One's own job-seconds there, in total.
            ended: One's own jobs that have left it, in total.
        """
        estimate = self._backends[backend]
        if jobs or estimate.expects_any:  # nothing is learned where there never are others
            self._response.seen(*estimate.surprise(jobs, own, measured))
        estimate.reported(jobs, own, measured, held, ended)

    def forget(self, backend: int) -> None:
        """Expect none at a backend that has told nothing for long."""
        self._backends[backend].forget()
        self.changes_at[backend] = math.inf

    def at(self, backend: int, own: int, now: float) -> float:
        """Jobs of others expected at a backend with `own` of one's own; 0 without a report."""
        return self._backends[backend].at(own, now, self._response.value)

    def expect(self, backend: int, own: int, now: float) -> int:
        """Jobs of others expected at a backend, rounded; brings `changes_at` up to date."""
        estimate = self._backends[backend]
        whole, until = estimate.expect(own, now, self._response.value)
        self.changes_at[backend] = until
        if until < math.inf:
            heappush(self._changes, (until, backend))
            if len(self._changes) > FEW + 4 * len(self.changes_at):
                self._changes = [(t, b) for b, t in enumerate(self.changes_at) if t < math.inf]
                heapify(self._changes)
        return whole

    def next_change(self) -> tuple[float, int]:
        """The least of `changes_at`, and its backend; inf and -1 if none changes."""
        changes = self._changes
        while changes:
            at, backend = changes[0]
            if self.changes_at[backend] == at:
                return at, backend
            heappop(changes)
        return math.inf, -1


@final
class _Response:
    """Slope of others' surprises over one's own, by least squares through 0."""

    __slots__ = ("_kept", "_products", "_squares", "value")

    def __init__(self, averaged: int) -> None:
        self._kept = 1.0 - 1.0 / averaged
        self._products, self._squares = 0.0, 0.0
        self.value = 0.0

    def seen(self, own: float, others: float) -> None:
        """Take in one's own jobs and others' at a report, beyond those expected."""
        self._products = self._kept * self._products + own * others
        self._squares = self._kept * self._squares + own * own
        if self._squares > 0.0:
            self.value = self._products / self._squares


@final
class _Estimate:
    """Estimate of one backend."""

    __slots__ = (
        "_averaged", "_ended", "_ended_before", "_gap", "_held", "_held_before", "_last", "_mean",
        "_measured", "_own", "_own_mean", "_stay",
    )  # fmt: skip

    def __init__(self) -> None:
        # Job-seconds and ends of one's own, which fade; and the totals at the last report.
        self._held, self._ended = 0.0, 0.0
        self._held_before, self._ended_before = 0.0, 0
        self._stay = math.inf  # s, W
        self.forget()

    def forget(self) -> None:
        self._averaged = 0  # reports in the means
        self._last, self._mean = 0.0, 0.0  # jobs of others
        self._own, self._own_mean = 0.0, 0.0  # one's own at those times
        self._measured = -math.inf
        self._gap = math.inf  # s, mean time between two reports

    @property
    def expects_any(self) -> bool:
        return self._mean > 0.0

    def surprise(self, jobs: int, own: int, measured: float) -> tuple[float, float]:
        """One's own jobs at a report, and others', beyond those expected before it."""
        if self._averaged < 2 or self._stay == math.inf:
            return 0.0, 0.0
        left = _left(max(measured - self._measured, 0.0), self._stay)
        return (
            own - self._own_mean - (self._own - self._own_mean) * left,
            jobs - self._mean - (self._last - self._mean) * left,
        )

    def reported(self, jobs: int, own: int, measured: float, held: float, ended: int) -> None:
        if self._averaged:
            gap = measured - self._measured
            if self._averaged == 1:
                self._gap = gap
            self._gap += (gap - self._gap) / self._averaged
        self._averaged = min(self._averaged + 1, AVERAGED)
        self._mean += (jobs - self._mean) / self._averaged
        self._own_mean += (own - self._own_mean) / self._averaged
        self._last, self._own, self._measured = float(jobs), float(own), measured
        kept = 1.0 - 1.0 / AVERAGED
        self._held = kept * self._held + held - self._held_before
        self._ended = kept * self._ended + ended - self._ended_before
        self._held_before, self._ended_before = held, ended
        if self._ended > 0.0:
            self._stay = self._held / self._ended

    def at(self, own: int, now: float, response: float) -> float:
        return max(self._estimated(own, max(now - self._measured, 0.0), response)[0], 0.0)

    def expect(self, own: int, now: float, response: float) -> tuple[int, float]:
        """Estimate, rounded, and a time before which it is not another.

        Within a step, in which the mean fades by less than STEP, the estimate moves no faster than
        by `slope`.
        """
        age, stay = max(now - self._measured, 0.0), self._stay
        estimate, mean, deviation = self._estimated(own, age, response)
        whole = max(math.floor(estimate + 0.5), 0)
        highest = self._mean + response * (own - self._own_mean)  # that it relaxes to
        if stay == math.inf or (whole == 0 and highest < 0.5):
            return whole, math.inf
        fading, stay = AVERAGED * self._gap + TINY, stay + TINY
        slope = (abs(deviation) + STEP * mean) / stay + mean / fading + TINY
        seconds = min((0.5 - abs(estimate - whole)) / slope, STEP * fading)
        return whole, now + max(seconds, STEP * (age + stay), abs(now) * EPSILON)

    def _estimated(self, own: int, age: float, response: float) -> tuple[float, float, float]:
        """Estimate, perhaps below 0; the mean; and the deviation from what it relaxes to."""
        mean, left = self._mean, 1.0
        if age and self._averaged:
            mean *= _left(age, AVERAGED * self._gap)
            left = _left(age, self._stay)
        level = mean + response * (own - self._own_mean)
        deviation = (self._last + response * (own - self._own) - level) * left
        return level + deviation, mean, deviation


def _left(age: float, time: float) -> float:
    """Part of a deviation that is left at an age above 0, if it shrinks to 1/e in `time`, s."""
    return math.exp(-age / time) if time > 0.0 else 0.0
