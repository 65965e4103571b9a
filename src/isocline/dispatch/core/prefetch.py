"""Help without being kept busy: servers fetch data for tasks to come while they run others.

With this a task is not started far from its data at all: it is fetched for (`kernels.fetch`), waits
on where its data was, too, and once the data has come is taken wherever a server is free first. A
remote task so takes a server no longer than a local one.
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
    """What is under way, and what has come.

    Attributes:
        on: The board fetches.
    """

    def __init__(self, most: int) -> None:
        """At most so many at once at one server; 0: none, ever."""
        self.on = False
        self._most = most
        self._failing = 0.0
        # server -> task -> what the caller wants to know of it
        self._coming: dict[int, dict[int, tuple[int, int]]] = {}
        self._came: dict[int, set[int]] = {}  # task -> servers

    def go_by(self, board: PolicyState, rates: FloatArray, gap: float, *, anew: bool) -> None:
        """Have the board fetch, if that is worth it, by these rates, tasks/s at each level.

        It is not while reading, or a local task, takes no longer than the `gap`, s, in which a
        server waits to hear what to do next, nor where fetching fails. Without `anew` the board
        goes by these rates already.
        """
        task = 1.0 / rates[LOCAL]  # s
        reading = 1.0 / rates[REMOTE] - task
        worth = bool(min(task, reading) > gap)
        on = self._most > 0 and self._failing <= _MOST_IN_VAIN and worth
        if on == self.on and not anew:
            return
        self.on = on
        board.set_fetching(self._most if on else 0, reading * rates[LOCAL])
        board.set_rates(rates[LOCAL] * np.array([1.0, _NEVER, _NEVER]) if on else rates)

    def begins(self, task: int, server: int, function: int, level: int) -> None:
        """A server begins to fetch for a task of a function, whose data is so far away."""
        self._coming.setdefault(server, {})[task] = function, level

    def ended(self, task: int, server: int, came: bool) -> tuple[int, int] | None:
        """A server has fetched, or could not; function and level, None if it was not told to."""
        known = self._coming.get(server, {}).pop(task, None)
        if known is not None:
            self._failing += ((not came) - self._failing) / _MEMORY
            if came:
                self._came.setdefault(task, set()).add(server)
        return known

    def at(self, task: int, server: int) -> bool:
        """Whether a server has fetched for a task, or is about to have."""
        return server in self._came.get(task, ()) or task in self._coming.get(server, ())

    def coming(self) -> list[int]:
        """The servers that fetch, as often as they do."""
        return [server for server, tasks in self._coming.items() for _ in tasks]

    def leave(self, task: int) -> None:
        """A task has ended."""
        self._came.pop(task, None)

    def lost(self, server: int) -> list[int]:
        """A server is gone; the tasks that it was fetching for."""
        for servers in self._came.values():
            servers.discard(server)
        return list(self._coming.pop(server, ()))
