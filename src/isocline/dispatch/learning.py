"""Service rates as learned from tasks that have ended, and as used."""

from typing import final

import numpy as np
import numpy.typing as npt

from isocline.dispatch.board import Board
from isocline.dispatch.gap import Gap
from isocline.dispatch.rates import MeasuredRates
from isocline.dispatch.servers import Attempt
from isocline.model.cluster import Rates
from isocline.policies.scheduling.contract import LOCAL

# Between two looks at the rates: observations.
EVERY = 32


@final
class Learning:
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
        self.gap = Gap()
        self.rates: npt.NDArray[np.float64] = np.array(rates.levels)
        self.ahead = 0.0
        self._ahead_gap = ahead_gap
        self._measures = measures
        self._observed = 0

    def observe(self, attempt: Attempt, now: float, seconds: float) -> bool:
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

    def look(self, board: Board) -> bool:
        """Go by what is measured; whether `rates` are others now, which the board is to be told."""
        rates = self.measured.changed()
        if rates is not None:
            self.rates = rates
        for function, seconds in self.measured.local_means():
            board.set_cost(function, seconds)
        gap = self.gap.seconds / (1.0 / float(self.rates[LOCAL]))
        self.ahead = gap if gap > self._ahead_gap else 0.0
        return rates is not None
