"""Service rates as learned from tasks that have ended, and as used.

Idle time of a server between two tasks although one waits for it.
"""

from typing import final

import numpy as np
import numpy.typing as npt

from isocline.dispatch.core.policy_state import PolicyState
from isocline.dispatch.core.running_tasks import RunningAttempt
from isocline.dispatch.core.service_times import MeasuredRates
from isocline.model.cluster import Rates
from isocline.policies.scheduling.contract import LOCAL

MEMORY = 50.0  # observations


@final
class IdleGap:
    """The mean of what passes, over the service itself, from a start to the news of its end, s.

    While it is not yet measured, it counts as none: with weight of MEMORY / 5 observations.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._count = MEMORY / 5.0

    def observe(self, seconds: float) -> None:
        """One task's, that was started on an idle server."""
        self._count = min(self._count + 1.0, MEMORY)
        self.seconds += (max(seconds, 0.0) - self.seconds) / self._count


# Between two looks at the rates: observations.
EVERY = 32


@final
class RateLearning:
    """Service times, and the gaps between them.

    Attributes:
        measured: Service times of each function.
        gap: How long servers are idle between two tasks.
        rates: Those that hold now, tasks/s at each level.
        ahead: The gap in local service times while tasks are given ahead, else 0.
    """

    def __init__(self, rates: Rates, ahead_gap: float, *, measures: bool) -> None:
        """With `measures` the rates are those measured, else those given."""
        self.measured = MeasuredRates(rates)
        self.gap = IdleGap()
        self.rates: npt.NDArray[np.float64] = np.array(rates.levels)
        self.ahead = 0.0
        self._ahead_gap = ahead_gap
        self._measures = measures
        self._observed = 0

    def observe(self, attempt: RunningAttempt, now: float, seconds: float) -> bool:
        """A task took `seconds`; whether it is time to `look`."""
        if not attempt.copy and attempt.began == attempt.given:
            self.gap.observe(now - attempt.given - seconds)
        if not self._measures:
            return False
        self.measured.of(attempt.function).observe(attempt.level, seconds)
        self._observed += 1
        return self._observed % EVERY == 0

    def read(self, function: int, level: int, seconds: float) -> None:
        """Fetching the data of a task took `seconds`."""
        if self._measures:
            self.measured.of(function).read(level, seconds)

    def look(self, board: PolicyState) -> bool:
        """Go by what is measured; whether `rates` are others now, which the board is to be told."""
        rates = self.measured.changed()
        if rates is not None:
            self.rates = rates
        for function, seconds in self.measured.local_means():
            board.set_cost(function, seconds)
        gap = self.gap.seconds / (1.0 / float(self.rates[LOCAL]))
        self.ahead = gap if gap > self._ahead_gap else 0.0
        return rates is not None
