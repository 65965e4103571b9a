"""Limits on the jobs at each backend: its curve's peak, a slow start, and its own refusals."""

from collections.abc import Sequence
from typing import final

from isocline.gateway.backpressure import Backpressure
from isocline.gateway.candidates import NO_LIMIT, peak_of
from isocline.gateway.rules import Rules
from isocline.model.curves import Curve


@final
class Limits:
    """Limits of B backends.

    Attributes:
        most: Jobs that each may hold now.
        pressure: Limits that backends have named; `settle` applies them.
    """

    def __init__(self, curves: Sequence[Curve], rules: Rules):
        self._rules = rules
        self.pressure = Backpressure(rules.refusals, len(curves))
        self.most = [NO_LIMIT] * len(curves)
        self._peak = [NO_LIMIT] * len(curves)
        self._room = [NO_LIMIT] * len(curves)  # of those that start slowly
        for backend, curve in enumerate(curves):
            self.change(backend, peak_of(curve))

    def __getitem__(self, backend: int) -> int:
        return self.most[backend]

    def change(self, backend: int, peak: int) -> None:
        """A backend has another curve, with its peak at this workload; NO_LIMIT for none."""
        self._peak[backend] = peak if self._rules.stop_at_peak else NO_LIMIT
        self.settle(backend)

    def start_slowly(self, backend: int) -> None:
        """A backend has come back, cold."""
        if self._rules.slow_start:
            self._set_room(backend, 1)

    def ramp(self, backend: int) -> bool:
        """A backend has finished a job; whether that changed its limit."""
        room = self._room[backend]
        if room == NO_LIMIT:
            return False
        self._set_room(backend, room + 1 if room < self._rules.slow_start else NO_LIMIT)
        return True

    def _set_room(self, backend: int, room: int) -> None:
        self._room[backend] = room
        self.settle(backend)

    def settle(self, backend: int) -> None:
        """Apply a limit of a backend that has changed."""
        own = self.pressure.most[backend]
        self.most[backend] = min(self._peak[backend], self._room[backend], own)
