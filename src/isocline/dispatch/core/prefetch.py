"""Prefetch: servers fetch data for queued tasks while they run others.

With prefetching, no task starts far from its data: a server fetches the data (`kernels.prefetch`)
while the task still waits at its holders, and the task then starts at whichever of them is free
first. A remote task thus occupies a server no longer than a local one.
"""

from typing import final

import numpy as np
import numpy.typing as npt

from isocline.dispatch.core.policy_state import PolicyState
from isocline.policies.scheduling.contract import LOCAL, RACK, REMOTE

FloatArray = npt.NDArray[np.float64]

_MEMORY = 8.0  # fetches over which the failure rate is averaged
_MOST_IN_VAIN = 0.5  # failure rate at which prefetching stops
_NEVER = 1e-15  # factor on the local rate, for levels at which the policy should start nothing


@final
class Prefetch:
    """Fetches under way and done.

    Attributes:
        on: Whether prefetching is turned on.
    """

    def __init__(self, most: int) -> None:
        """Initialise; `most` is the number of fetches of a server at a time, 0: none."""
        self.on = False
        self._most = most
        self._failing = 0.0
        # server -> task -> function, and level of the server for the task
        self._under_way: dict[int, dict[int, tuple[int, int]]] = {}
        self._done: dict[int, set[int]] = {}  # task -> servers

    def apply_rates(
        self, policy_state: PolicyState, rates: FloatArray, gap: float, *, anew: bool
    ) -> None:
        """Turn prefetching on or off by these rates, tasks/s at each level.

        It is off if reading, or a local task, takes no longer than the `gap`, s, between two tasks
        of a server, or if fetches fail. Without `anew`, the policy state already has these rates.
        """
        local, _, remote = rates.tolist()
        task = 1.0 / local  # s
        worth = min(task, 1.0 / remote - task) > gap
        on = self._most > 0 and self._failing <= _MOST_IN_VAIN and worth
        if on == self.on and not anew:
            return
        self.on = on
        near, far = rates[LOCAL] / rates[RACK] - 1.0, rates[LOCAL] / rates[REMOTE] - 1.0
        policy_state.set_fetching(self._most if on else 0, near, far)
        policy_state.set_rates(rates[LOCAL] * np.array([1.0, _NEVER, _NEVER]) if on else rates)

    def begin(self, task: int, server: int, function: int, level: int) -> None:
        """Record the beginning of a fetch by a server at this level for the task."""
        self._under_way.setdefault(server, {})[task] = function, level

    def end(self, task: int, server: int, success: bool, *, counts: bool) -> tuple[int, int] | None:
        """Record the end of a fetch; returns function and level, or None if it is unknown.

        Without `counts`, the outcome is left out of the failure rate.
        """
        known = self._under_way.get(server, {}).pop(task, None)
        if known is not None:
            self._failing += counts * ((not success) - self._failing) / _MEMORY
            if success:
                self._done.setdefault(task, set()).add(server)
        return known

    def has(self, task: int, server: int) -> bool:
        """Whether a server has fetched a task's data, or is fetching it."""
        if self._done and server in self._done.get(task, ()):
            return True
        return server in self._under_way and task in self._under_way[server]

    def servers(self) -> list[int]:
        """Servers of all fetches under way, with repetition."""
        return [server for server, tasks in self._under_way.items() for _ in tasks]

    def forget(self, task: int) -> None:
        """Forget an ended task."""
        self._done.pop(task, None)

    def forget_server(self, server: int) -> list[int]:
        """Forget a lost server; returns the tasks for which it was fetching."""
        for servers in self._done.values():
            servers.discard(server)
        return list(self._under_way.pop(server, ()))
