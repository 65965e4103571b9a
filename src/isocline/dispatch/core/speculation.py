"""Speculation: copies of stragglers on other servers."""

import math
from collections.abc import Container
from typing import NamedTuple, final

import numpy as np
import numpy.typing as npt

from isocline.dispatch.core.attempts import Attempt, Attempts
from isocline.dispatch.core.policy_state import PolicyState
from isocline.dispatch.core.service_times import WEIGHT, MeasuredRates
from isocline.policies.scheduling.contract import LOCAL, REMOTE

FloatArray = npt.NDArray[np.float64]

# Between two looks: in local service times, and at least, s.
BETWEEN, LEAST = 0.25, 0.01


class Copy(NamedTuple):
    """Copy of an attempt's task to run on another server."""

    server: int
    attempt: Attempt
    remaining: float  # s that it is expected to need
    fresh: float  # s that it takes there


@final
class Speculation:
    """Search for stragglers while a server is idle, in O(servers)."""

    def __init__(self, factor: float):
        self.next_look = 0.0  # s
        self._factor = factor
        self._spread: dict[int, tuple[int, FloatArray, FloatArray]] = {}

    def copies(
        self,
        wanted: Container[int],
        policy_state: PolicyState,
        attempts: Attempts,
        rates: MeasuredRates,
        now: float,
    ) -> list[Copy]:
        """Copies whose gain is positive, each on an idle server; holders of the data first.

        Only tasks that are still `wanted`, with a single attempt, are copied.
        """
        if self._factor == math.inf or now < self.next_look:
            return []
        self.next_look = now + max(BETWEEN / float(policy_state.setting.rate[LOCAL]), LEAST)
        found: list[Copy] = []
        taken: set[int] = set()
        for here in attempts.at.values():
            if not here or here[0].start.task not in wanted:
                continue
            if len(attempts.of[here[0].start.task]) > 1:
                continue
            copy = self._copy(policy_state, here[0], rates, now, taken)
            if copy is not None:
                found.append(copy)
                taken.add(copy.server)
        return found

    def _copy(
        self,
        policy_state: PolicyState,
        attempt: Attempt,
        rates: MeasuredRates,
        now: float,
        taken: set[int],
    ) -> Copy | None:
        measured = rates.of(attempt.function)
        mean = measured.mean(attempt.level)
        run = now - attempt.began
        if measured.observed < WEIGHT or run <= mean:
            return None
        remaining = mean * self._remaining(rates, attempt.function, run / mean)
        holders, _, _ = policy_state.facts(attempt.row)
        for holder in holders:
            if holder not in taken and policy_state.is_idle(holder):
                fresh = measured.mean(LOCAL)
                return self._if_worth(Copy(holder, attempt, remaining, fresh))
        idle = next((s for s in policy_state.idle() if s not in taken), None)
        if idle is None:
            return None
        return self._if_worth(Copy(idle, attempt, remaining, measured.mean(REMOTE)))

    def _if_worth(self, copy: Copy) -> Copy | None:
        return copy if copy.remaining > self._factor * copy.fresh else None

    def _remaining(self, rates: MeasuredRates, function: int, run: float) -> float:
        """Expected remaining time, in means, of a task that has run so many."""
        measured = rates.of(function)
        known = self._spread.get(function)
        if known is None or measured.observed > known[0] + 64:
            known = self._spread[function] = (measured.observed, *measured.remaining())
        return float(np.interp(run, known[1], known[2]))
