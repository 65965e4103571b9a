"""News of backends, from the watch to a core."""

from collections.abc import Sequence
from time import monotonic
from typing import final

from isocline.gateway.actions import Action
from isocline.gateway.core import Core
from isocline.gateway.proxy.router import Router
from isocline.gateway.serving.log import LOG


@final
class CoreTeller:
    """Tells one core, and has done what it then decides.

    Attributes:
        router: Does it; None before there is one, when the core holds nothing that could be sent.
    """

    def __init__(self, core: Core, names: Sequence[str]) -> None:
        self.router: Router | None = None
        self._core = core
        self._names = names

    def backend_up(self, backend: int) -> None:
        LOG.info("backend %s is up", self._names[backend])
        self._act(self._core.backend_up(backend, monotonic()))

    def backend_down(self, backend: int) -> None:
        LOG.warning("backend %s is down", self._names[backend])
        self._act(self._core.backend_down(backend, monotonic()))

    def reported(self, backend: int, jobs: int, measured: float) -> None:
        self._act(self._core.reported(backend, monotonic(), jobs, measured))

    def _act(self, actions: Sequence[Action]) -> None:
        if self.router is not None:
            self.router.act(actions)
