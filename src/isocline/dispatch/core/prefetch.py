"""Prefetch: servers fetch data for queued tasks while they run others.

With prefetching no task starts far from its data: the data is fetched (`kernels.prefetch`) while
the task still waits at its holders too, and then it starts wherever a server is free first. A
remote task thus occupies a server no longer than a local one.
"""

from typing import final

import numpy as np
import numpy.typing as npt

from isocline.dispatch.core.policy_state import PolicyState
from isocline.policies.scheduling.contract import LOCAL, REMOTE

FloatArray = npt.NDArray[np.float64]

_MEMORY = 8.0  # attempts to fetch
_MOST_IN_VAIN = 0.5  # of these, before nothing is fetched any more
_NEVER = 1e-15  # of the local rate: in place of those at which a policy would start far tasks


@final
class Prefetch:
    """Fetches under way and done.

    Attributes:
        on: Whether prefetching is in force.
    """

    def __init__(self, most: int) -> None:
        """Initialise, for so many fetches at a time at one server; 0: none, ever."""
        self.on = False
        self._most = most
        self._failing = 0.0
        # server -> task -> function, and level of the server for the task
        self._under_way: dict[int, dict[int, tuple[int, int]]] = {}
        self._done: dict[int, set[int]] = {}  # task -> servers

    def apply_rates(
        self, policy_state: PolicyState, rates: FloatArray, gap: float, *, anew: bool
    ) -> None:
        """Turn prefetching on or off, as is worth it by these rates, tasks/s at each level.

        It is not worth it if reading, or a local task, takes no longer than the `gap`, s, between
        two tasks of a server, nor if fetches fail. Without `anew` the policy state has these rates
        already.
        """
        task = 1.0 / rates[LOCAL]  # s
        reading = 1.0 / rates[REMOTE] - task
        worth = bool(min(task, reading) > gap)
        on = self._most > 0 and self._failing <= _MOST_IN_VAIN and worth
        if on == self.on and not anew:
            return
        self.on = on
        policy_state.set_fetching(self._most if on else 0, reading * rates[LOCAL])
        policy_state.set_rates(rates[LOCAL] * np.array([1.0, _NEVER, _NEVER]) if on else rates)

    def begin(self, task: int, server: int, function: int, level: int) -> None:
        """Record the begin of a fetch by a server, which is at this level for the task."""
        self._under_way.setdefault(server, {})[task] = function, level

    def end(self, task: int, server: int, success: bool) -> tuple[int, int] | None:
        """Record the end of a fetch; returns function and level, None for an unknown one."""
        known = self._under_way.get(server, {}).pop(task, None)
        if known is not None:
            self._failing += ((not success) - self._failing) / _MEMORY
            if success:
                self._done.setdefault(task, set()).add(server)
        return known

    def has(self, task: int, server: int) -> bool:
        """Whether a server has fetched for a task, or does so now."""
        return server in self._done.get(task, ()) or task in self._under_way.get(server, ())

    def servers(self) -> list[int]:
        """Servers that fetch, as often as they do."""
        return [server for server, tasks in self._under_way.items() for _ in tasks]

    def forget(self, task: int) -> None:
        """Forget a task that has ended."""
        self._done.pop(task, None)

    def forget_server(self, server: int) -> list[int]:
        """Forget a lost server; returns the tasks that it was fetching for."""
        for servers in self._done.values():
            servers.discard(server)
        return list(self._under_way.pop(server, ()))
