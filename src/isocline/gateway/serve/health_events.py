"""Events of backends, from the monitor, and from the loader of models, to a core."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from time import monotonic
from typing import final

from isocline.gateway.core.actions import Action
from isocline.gateway.core.core import Core
from isocline.gateway.core.model_memory import ModelCall
from isocline.gateway.serve.data_plane import Bridge
from isocline.gateway.serve.log import LOG
from isocline.structured_log import event

Event = Callable[[Core, int, float], Sequence[Action]]
"""Call of a core: a backend by its number there, and a time, s."""


@final
class CoreHealthEvents:
    """Receiver of health events: passes them to a core, whose actions its bridge carries out.

    After a reload, the new receiver also passes them on to the previous core, until the requests of
    that one are done.

    Attributes:
        bridge: Bridge that carries out the actions; None until it exists, while the core has no
            requests.
    """

    def __init__(
        self,
        core: Core,
        names: Sequence[str],
        before: "CoreHealthEvents | None" = None,
        same: Mapping[int, int] | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Initialise.

        Args:
            core: Core that gets the events.
            names: Names of its backends.
            before: Receiver of the previous core.
            same: Backend numbers of the previous core, by number in this one.
            clock: Clock of the core, s.
        """
        self.bridge: Bridge | None = None
        self._core = core
        self._names = names
        self._before = before
        self._same = same or {}
        self._clock = clock
        if before is not None:
            before._drop_idle_predecessor()

    def backend_up(self, backend: int) -> None:
        name = self._names[backend]
        LOG.info("backend %s is up", name, extra=event("backend.up", backend=name))
        self._deliver(backend, lambda core, b, now: core.backend_up(b, now))

    def backend_down(self, backend: int, known: bool = False) -> None:
        if not known:
            name = self._names[backend]
            LOG.warning("backend %s is down", name, extra=event("backend.down", backend=name))
        self._deliver(backend, lambda core, b, now: core.backend_down(b, now))

    def draining(self, backend: int, begins: bool) -> None:
        """Handle the beginning or end of a backend's drain by an operator."""
        if begins:
            self._deliver(backend, lambda core, b, now: core.backend_drain(b, now))
        else:
            self._deliver(backend, lambda core, b, now: core.backend_undrain(b, now))

    def reported(self, backend: int, jobs: int, measured: float) -> None:
        self._deliver(backend, lambda core, b, now: core.reported(b, now, jobs, measured))

    def round_trip(self, backend: int, seconds: float) -> None:
        self._deliver(backend, lambda core, b, now: core.round_trip(b, seconds, now))

    def models_told(self, backend: int, names: Iterable[str], asked: float, complete: bool) -> None:
        there = list(names)
        self._deliver(
            backend, lambda core, b, now: core.models_told(b, there, asked, now, complete)
        )

    def call_ended(self, backend: int, call: ModelCall) -> None:
        self._deliver(backend, lambda core, b, now: core.call_ended(b, call, now))

    def call_failed(self, backend: int, call: ModelCall, unknown: bool) -> None:
        self._deliver(backend, lambda core, b, now: core.call_failed(b, call, now, unknown))

    def _deliver(self, backend: int, event: Event) -> None:
        """Deliver an event here, and to each predecessor that knows the backend."""
        here: CoreHealthEvents | None = self
        while here is not None:  # no recursion: one stream may outlast a thousand reloads
            actions = event(here._core, backend, here._clock())
            if here.bridge is not None:
                here.bridge.act(actions)
            here._drop_idle_predecessor()
            known = here._same.get(backend)
            here = here._before if known is not None else None
            backend = backend if known is None else known

    def _drop_idle_predecessor(self) -> None:
        """Drop predecessors without requests in flight, but not those before them."""
        before = self._before
        while before is not None and not (before.bridge and before.bridge.exchanges):
            theirs = before._same
            self._same = {b: theirs[number] for b, number in self._same.items() if number in theirs}
            before = self._before = before._before
