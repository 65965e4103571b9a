"""Speculation: search for stragglers, and choice of copies of them on other servers."""

import math
from collections.abc import Container
from typing import NamedTuple, final

import numpy as np
import numpy.typing as npt

from isocline.dispatch.core.attempts import Attempt, Attempts
from isocline.dispatch.core.policy_state import PolicyState
from isocline.dispatch.core.service_times import WEIGHT, MeasuredRates
from isocline.policies.scheduling.contract import LOCAL

FloatArray = npt.NDArray[np.float64]

# Time between two looks for stragglers: in local service times; and at least, in s.
BETWEEN, LEAST = 0.25, 0.01
# Observations after which a function's expected remaining times are recomputed, unless its
# observations have doubled before.
_ANEW = 64


class Late(NamedTuple):
    """Attempt that has run for longer than expected."""

    attempt: Attempt
    remaining: float  # s that it is expected to need


class Copy(NamedTuple):
    """Copy of an attempt's task to run on another server."""

    server: int
    attempt: Attempt
    remaining: float  # s that it is expected to need
    fresh: float  # s that it takes there


@final
class Speculation:
    """Search for stragglers while a server is idle, in O(servers).

    Attributes:
        next_look: Time of the next look, s.
        late: Late attempts at the last look, by server.
    """

    def __init__(self, factor: float):
        self.next_look = 0.0
        self.late: dict[int, Late] = {}
        self._factor = factor
        self._spread: dict[int, tuple[int, FloatArray, FloatArray]] = {}

    def look(
        self, policy_state: PolicyState, attempts: Attempts, rates: MeasuredRates, now: float
    ) -> bool:
        """Find the late attempts, if it is time to; returns whether it was."""
        if now < self.next_look:
            return False
        self.next_look = now + max(BETWEEN / float(policy_state.setting.rate[LOCAL]), LEAST)
        self.late = {}
        for server, here in attempts.at.items():
            running = bool(here) and not here[0].withdrawn
            remaining = self._remaining(here[0], rates, now) if running else 0.0
            if remaining > 0.0:
                self.late[server] = Late(here[0], remaining)
        return True

    def copies(
        self,
        wanted: Container[int],
        policy_state: PolicyState,
        attempts: Attempts,
        rates: MeasuredRates,
        now: float,
    ) -> list[Copy]:
        """Copies whose gain is positive, each on an idle server; holders of the data first.

        Only tasks that are still `wanted`, with a single attempt, are copied; again, after a copy
        that has given way, once the attempt has run for twice as long as at the last: so the copies
        of one that hangs are few, however often others need the servers.
        """
        if self._factor == math.inf:
            return []
        found: list[Copy] = []
        # A server where a copy that was withdrawn has not ended yet is not free.
        taken = {server for server, here in attempts.at.items() if here}
        for late in self.late.values():
            attempt, task = late.attempt, late.attempt.start.task
            again = now - attempt.began < 2.0 * attempt.copied
            if task not in wanted or len(attempts.of.get(task, ())) != 1 or again:
                continue
            copy = self._copy(policy_state, late, rates, taken)
            if copy is not None:
                found.append(copy)
                taken.add(copy.server)
        return found

    def _copy(
        self, policy_state: PolicyState, late: Late, rates: MeasuredRates, taken: set[int]
    ) -> Copy | None:
        attempt, remaining = late
        measured = rates.of(attempt.function)
        if measured.observed < WEIGHT:
            return None
        holders = policy_state.holders(attempt.row)
        if not holders:  # it could not read its data there
            return None
        for holder in holders:
            if holder not in taken and policy_state.is_idle(holder):
                fresh = measured.mean(LOCAL)
                return self._if_worth(Copy(holder, attempt, remaining, fresh))
        idle = [server for server in policy_state.idle() if server not in taken]
        if not idle:
            return None
        server = min(idle, key=lambda server: policy_state.far_level(holders, server))
        fresh = measured.mean(policy_state.far_level(holders, server))
        return self._if_worth(Copy(server, attempt, remaining, fresh))

    def _if_worth(self, copy: Copy) -> Copy | None:
        return copy if copy.remaining > self._factor * copy.fresh else None

    def _remaining(self, attempt: Attempt, rates: MeasuredRates, now: float) -> float:
        """Expected remaining time of an attempt that runs for longer than expected, s; else 0."""
        mean = rates.expected(attempt.function, attempt.level)
        run = now - attempt.began
        if not 0.0 < mean < run:
            return 0.0
        measured = rates.of(attempt.function)
        known = self._spread.get(attempt.function)
        if known is None or measured.observed > known[0] + min(known[0], _ANEW):
            known = measured.observed, *measured.remaining()
            self._spread[attempt.function] = known
        return mean * float(np.interp(run / mean, known[1], known[2]))
