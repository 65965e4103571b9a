"""Round trips to backends, as measured, and the distances that follow from them.

Of the round trips to a backend within a window the least counts: what is above it is time that the
backend or the router took, not the way. A level's is the median of its backends', so that no single
one moves it, and its distance is by how much that exceeds the nearest level's.
"""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from statistics import median
from typing import final

import numpy as np

from isocline.gateway.core.policy_runtime import PolicyRuntime
from isocline.gateway.core.zones import Zones
from isocline.model.zones import LEVELS

# s; as long as Linux keeps the least round trip of a connection (tcp_min_rtt_wlen). A way that has
# become longer counts after that, one that has become shorter at once.
WINDOW = 300.0


@final
class RoundTrips:
    """Round trips to B backends.

    Attributes:
        least: Least round trip to each backend within the window, s; None: none was measured.
        distances: Distance of each level, s: 0 for the nearest that is known. A level of which
            nothing is known has that of the one before.
    """

    def __init__(self, levels: Sequence[int]) -> None:
        """Initialise, with the level of each backend."""
        self._levels = list(levels)
        # Of each backend (time, round trip), both increasing: the first is the least in the window.
        self._seen: list[deque[tuple[float, float]]] = [deque() for _ in levels]
        self.least: list[float | None] = [None] * len(self._levels)
        self.distances = (0.0,) * LEVELS

    def measured(self, backend: int, seconds: float, now: float) -> bool:
        """Record a round trip, s, that ended now; returns whether a distance has changed.

        Anything but a finite time from 0 on is not counted, as clocks and their readers may err.
        """
        if not 0.0 <= seconds < math.inf:
            return False
        seen = self._seen[backend]
        while seen and seen[-1][1] >= seconds:
            seen.pop()
        seen.append((now, seconds))
        while seen[0][0] < now - WINDOW:
            seen.popleft()
        return self._update(backend)

    def distance(self, backend: int) -> float:
        """Distance of a backend, which is that of its level, s."""
        return self.distances[self._levels[backend]]

    def take_over(self, before: "RoundTrips", same: Mapping[int, int]) -> None:
        """Go on from what was measured before a reload; `same` maps backends to those then."""
        for backend, number in same.items():
            self._seen[backend] = before._seen[number].copy()
            self._update(backend)

    def _update(self, backend: int) -> bool:
        seen = self._seen[backend]
        least = seen[0][1] if seen else None
        if least == self.least[backend]:
            return False
        self.least[backend] = least
        before, self.distances = self.distances, self._by_level()
        return self.distances != before

    def _by_level(self) -> tuple[float, ...]:
        trips: list[list[float]] = [[] for _ in range(LEVELS)]
        for level, least in zip(self._levels, self.least, strict=True):
            if least is not None:
                trips[level].append(least)
        nearest = next((median(of_level) for of_level in trips if of_level), 0.0)
        found: list[float] = []
        for of_level in trips:
            before = found[-1] if found else 0.0
            found.append(max(median(of_level) - nearest, 0.0) if of_level else before)
        return tuple(found)


@final
class MeasuredDistances:
    """Distances of a policy's edges: those that the file gives, and what round trips are longer by.

    Attributes:
        trips: The round trips so far.
    """

    def __init__(self, zones: Zones, runtime: PolicyRuntime) -> None:
        """Initialise; `runtime` has the given distances, and gets all others."""
        self.trips = RoundTrips(zones.levels)
        self._given = np.array(zones.given)
        self._levels = zones.levels_of(runtime.setting.graph)
        self._runtime = runtime

    def measured(self, backend: int, seconds: float, now: float) -> bool:
        """Record a round trip, s; returns whether a distance has changed."""
        changed = self.trips.measured(backend, seconds, now)
        if changed:
            self._apply()
        return changed

    def take_over(self, before: "MeasuredDistances", same: Mapping[int, int]) -> None:
        """Go on from what was measured before a reload; `same` maps backends to those then."""
        self.trips.take_over(before.trips, same)
        self._apply()

    def _apply(self) -> None:
        distances = self._given + np.array(self.trips.distances)
        self._runtime.set_distances(distances[self._levels])
