"""Learning of service rates, and of the idle time of servers between two tasks."""

from typing import final

import numpy as np
import numpy.typing as npt

from isocline.dispatch.core.attempts import Attempt
from isocline.dispatch.core.policy_state import PolicyState
from isocline.dispatch.core.service_times import MeasuredRates
from isocline.model.cluster import Rates
from isocline.policies.scheduling.contract import LOCAL

MEMORY = 50.0  # observations


@final
class IdleGap:
    """Mean overhead: time from a start to the report of its end, less the service time, s.

    The prior is 0, with the weight of MEMORY / 5 observations.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._count = MEMORY / 5.0

    def observe(self, seconds: float) -> None:
        """Record the overhead of a task that was started on an idle server."""
        if self._count < MEMORY:
            self._count = min(self._count + 1.0, MEMORY)
        self.seconds += (max(seconds, 0.0) - self.seconds) / self._count


# Observations between two updates of the rates. Rates of the first few were tried, and rejected: a
# task that is slow as it is the first far from its data kept idle servers from helping at all.
EVERY = 32


@final
class RateLearning:
    """Learner of service times, and of the gaps between them.

    Attributes:
        measured: Service times of each function.
        gap: Idle time of servers between two tasks.
        rates: Rates in force, tasks/s at each level.
        pipelining_gap: Gap in local service times while pipelining is on, otherwise 0.
    """

    def __init__(self, rates: Rates, least_gap: float, *, measures: bool) -> None:
        """Initialise; `measures`: whether measured rates replace the given ones."""
        self.measured = MeasuredRates(rates)
        self.gap = IdleGap()
        self.rates: npt.NDArray[np.float64] = np.array(rates.levels)
        self.pipelining_gap = 0.0
        self._least_gap = least_gap
        self._measures = measures
        self._observed = 0

    def observe_end(self, attempt: Attempt, now: float) -> None:
        """Record an upper bound on an attempt's running time, measured or not."""
        took = now - attempt.began
        if took > self.measured.longest and self._measures:
            self.measured.longest = took

    def observe(self, attempt: Attempt, now: float, seconds: float) -> bool:
        """Record a task that took `seconds` s; returns whether `update` is due."""
        if not attempt.start.copy and attempt.began == attempt.given:
            self.gap.observe(now - attempt.given - seconds)
        if not self._measures:
            return False
        self.measured.of(attempt.function).observe(attempt.level, seconds)
        self._observed += 1
        return self._observed % EVERY == 0

    def observe_fetch(self, function: int, level: int, seconds: float) -> None:
        """Record a fetch of a task's data that took `seconds` s."""
        if self._measures:
            self.measured.of(function).observe_fetch(level, seconds)

    def update(self, policy_state: PolicyState) -> bool:
        """Update the rates; returns whether the policy state needs the new ones."""
        rates = self.measured.changed()
        if rates is not None:
            self.rates = rates
        for function, seconds in self.measured.local_means():
            policy_state.set_cost(function, seconds)
        gap = self.gap.seconds / (1.0 / float(self.rates[LOCAL]))
        self.pipelining_gap = gap if gap > self._least_gap else 0.0
        return rates is not None
