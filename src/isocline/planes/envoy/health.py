"""Health of backends: one that several frontends use is checked by each of them."""

from typing import final

from isocline.gateway.serve.config import Serving
from isocline.gateway.serve.log import LOG
from isocline.planes.envoy.clusters import backends_of
from isocline.planes.envoy.statistics import Checked
from isocline.structured_log import event


@final
class Health:
    """Record of what checks say: a backend is up unless those of a frontend deny it."""

    def __init__(self) -> None:
        self._down: dict[str, set[str]] = {}  # frontends, by backend

    def heard(self, checked: Checked) -> bool:
        """Record a check, and log what changes; returns whether that is so."""
        name = checked.backend
        before, down = self.is_up(name), self._down.setdefault(name, set())
        if checked.up:
            down.discard(checked.frontend)
        else:
            down.add(checked.frontend)
        now = self.is_up(name)
        if now and not before:
            LOG.info("backend %s is up", name, extra=event("backend.up", backend=name))
        elif before and not now:
            fields = event("backend.down", backend=name, problem=checked.problem)
            LOG.warning("backend %s is down: %s", name, checked.problem, extra=fields)
        return now != before

    def is_up(self, backend: str) -> bool:
        """Whether a backend is healthy, by its name."""
        return not self._down.get(backend)

    def keep(self, serving: Serving) -> None:
        """Forget checks that are no longer made."""
        checks: dict[str, set[str]] = {}
        if serving.checks.health is not None:
            for f, frontend in enumerate(serving.proxy.frontends):
                for backend in backends_of(serving, f):
                    checks.setdefault(backend.name, set()).add(frontend.name)
        self._down = {name: it & checks.get(name, set()) for name, it in self._down.items()}
