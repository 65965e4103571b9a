"""Resources of sites, and tasks that need some: which may start, and where.

A task that needs resources waits here, not in the policy's queues, and starts directly at a server
whose site has enough left. Tasks without needs, and the policy, see none of this.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, final

from isocline.dispatch.core.unplaceable import TaskSpec

Need = tuple[tuple[str, float], ...]
"""Names and amounts of what a task needs while it runs, sorted; empty: nothing but a server."""

_LOOKED_AT = 64  # waiting tasks that are considered for a server, the oldest first
_ROUNDING = 1e-9  # share of a capacity, so that ten times 0.1 are 1


class Reserved(NamedTuple):
    """Waiting task with needs, and the servers that are up and hold its data."""

    spec: TaskSpec
    local: tuple[int, ...]


@final
class Resources:
    """Resources of all sites; servers of one site share them.

    Attributes:
        needs: Needs of the wanted tasks that have any.
        waiting: Those that wait for room, in order.
    """

    def __init__(self) -> None:
        self.needs: dict[int, Need] = {}
        self.waiting: dict[int, Reserved] = {}
        self._kinds: Counter[Need] = Counter()  # needs of the waiting ones
        self._site: dict[int, int] = {}  # by server; those without resources are missing
        self._capacity: dict[int, Mapping[str, float]] = {}  # by site
        self._free: dict[int, dict[str, float]] = {}
        self._taken: dict[int, tuple[int, Need]] = {}  # attempt -> site and what it has

    def equip(self, server: int, site: int, capacity: Mapping[str, float]) -> None:
        """Set the resources of a server's site, less what running attempts have."""
        self._site[server] = site
        self._capacity[site] = dict(capacity)
        self._free[site] = dict(capacity)
        for at, need in self._taken.values():
            if at == site:
                self._add(site, need, -1.0)

    def servers(self) -> Iterable[int]:
        """Return all servers with resources."""
        return self._site

    def neighbours(self, server: int) -> list[int]:
        """Return the servers of a server's site, itself included."""
        site = self._site.get(server)
        return [] if site is None else [other for other, at in self._site.items() if at == site]

    def could_hold(self, server: int, need: Need) -> bool:
        """Whether a server's site has enough for a task if nothing else runs there."""
        return self._has(self._capacity, server, need)

    def has_room(self, server: int, need: Need) -> bool:
        """Whether a server's site has enough left for a task."""
        return self._has(self._free, server, need)

    def take(self, attempt: int, server: int, need: Need) -> None:
        """Take what an attempt needs."""
        site = self._site[server]
        self._taken[attempt] = site, need
        self._add(site, need, -1.0)

    def give_back(self, attempt: int) -> None:
        """Give back what an attempt took, if anything."""
        if self._taken and (taken := self._taken.pop(attempt, None)):
            self._add(*taken, 1.0)

    def wait(self, spec: TaskSpec, local: tuple[int, ...], *, first: bool) -> None:
        """Let a task wait, after all others or, if `first`, before them."""
        if spec.task in self.waiting:
            self.leave(spec.task)
        entry = {spec.task: Reserved(spec, local)}
        self.waiting = entry | self.waiting if first else self.waiting | entry
        self._kinds[self.needs[spec.task]] += 1

    def leave(self, task: int) -> Reserved:
        """Let a task wait no longer."""
        need = self.needs[task]
        self._kinds[need] -= 1
        if not self._kinds[need]:
            del self._kinds[need]
        return self.waiting.pop(task)

    def wants(self, server: int) -> bool:
        """Whether a task waits that a server could hold."""
        return any(self.could_hold(server, need) for need in self._kinds)

    def fitting(self, server: int) -> Iterator[Reserved]:
        """Waiting tasks that a server has room for, the oldest first."""
        if not any(self.has_room(server, need) for need in self._kinds):
            return
        for _, one in zip(range(_LOOKED_AT), self.waiting.values(), strict=False):
            if self.has_room(server, self.needs[one.spec.task]):
                yield one

    def _has(self, there: Mapping[int, Mapping[str, float]], server: int, need: Need) -> bool:
        site = self._site.get(server)
        if site is None:
            return False
        amounts, capacity = there[site], self._capacity[site]
        return all(
            amounts.get(name, 0.0) >= amount - _ROUNDING * capacity.get(name, 0.0)
            for name, amount in need
        )

    def _add(self, site: int, need: Need, sign: float) -> None:
        free = self._free[site]
        for name, amount in need:
            free[name] = free.get(name, 0.0) + sign * amount
