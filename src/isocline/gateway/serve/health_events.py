"""Health events of backends, from the monitor to a core."""

from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import final

from isocline.gateway.core.actions import Action
from isocline.gateway.core.core import Core
from isocline.gateway.proxy.core_bridge import CoreBridge
from isocline.gateway.serve.log import LOG

Event = Callable[[Core, int, float], Sequence[Action]]
"""Call of a core: a backend by its number there, and a time, s."""


@final
class CoreHealthEvents:
    """Receiver of health events: passes them to one core and has its actions carried out.

    After a reload the previous core gets them through its successor until its requests are done.

    Attributes:
        bridge: Carries out the actions; None before there is one, when the core has no requests.
    """

    def __init__(
        self,
        core: Core,
        names: Sequence[str],
        before: "CoreHealthEvents | None" = None,
        same: Mapping[int, int] | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Initialise; `before` is the predecessor, `same` maps a backend's number here to there.

        `clock` is the core's, s.
        """
        self.bridge: CoreBridge | None = None
        self._core = core
        self._names = names
        self._before = before
        self._same = same or {}
        self._clock = clock
        if before is not None:
            before._drop_idle_predecessor()

    def backend_up(self, backend: int) -> None:
        LOG.info("backend %s is up", self._names[backend])
        self._deliver(backend, lambda core, b, now: core.backend_up(b, now))

    def backend_down(self, backend: int) -> None:
        LOG.warning("backend %s is down", self._names[backend])
        self._deliver(backend, lambda core, b, now: core.backend_down(b, now))

    def reported(self, backend: int, jobs: int, measured: float) -> None:
        self._deliver(backend, lambda core, b, now: core.reported(b, now, jobs, measured))

    def _deliver(self, backend: int, event: Event) -> None:
        actions = event(self._core, backend, self._clock())
        if self.bridge is not None:
            self.bridge.act(actions)
        self._drop_idle_predecessor()
        if self._before is not None and backend in self._same:
            self._before._deliver(self._same[backend], event)

    def _drop_idle_predecessor(self) -> None:
        """Drop the predecessor once it has no requests under way."""
        before = self._before
        if before is not None and not (before.bridge and before.bridge.exchanges):
            self._before = None
