"""Layout of a fleet: names of the columns of frames."""

from dataclasses import dataclass
from typing import Any, final

from isocline.gateway.metrics.snapshot import Snapshot


@final
@dataclass(frozen=True)
class Layout:
    """Frontends, backends and edges of the present system, numbered from 0.

    Attributes:
        system: Name of the system.
        policy: Policy in force.
        frontends: Names of frontends.
        backends: Names of backends.
        urls: URLs of backends, without credentials.
        edges: For each frontend, the backends that it may use.
    """

    system: str = ""
    policy: str = ""
    frontends: tuple[str, ...] = ()
    backends: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    edges: tuple[tuple[int, ...], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the backends, whose prices and workloads are in the history."""
        return self.backends

    def to_dict(self, version: int) -> dict[str, Any]:
        """Document for viewers; each frame names the version of its layout."""
        return {
            "version": version,
            "names": self.names,
            "system": self.system,
            "policy": self.policy,
            "frontends": self.frontends,
            "backends": self.backends,
            "urls": self.urls,
            "edges": self.edges,
        }


def layout_of(snapshot: Snapshot) -> Layout:
    """Layout of the system in a snapshot."""
    live = {name: it.live for name, it in snapshot.backends.items() if it.live}
    number = {name: b for b, name in enumerate(live)}
    frontends = {name: it.live for name, it in snapshot.frontends.items() if it.live}
    return Layout(
        snapshot.system,
        snapshot.policy,
        tuple(frontends),
        tuple(live),
        tuple(it.url for it in live.values()),
        tuple(
            tuple(number[name] for name in it.backends if name in number)
            for it in frontends.values()
        ),
    )
