"""Layout of a run: names of the columns of frames."""

from dataclasses import dataclass
from typing import Any, final

from isocline.dispatch.live_page.observer import RunSnapshot


@final
@dataclass(frozen=True)
class RunLayout:
    """Nodes that are or were up, numbered from 0.

    Attributes:
        run: Name of the run.
        policy: Name of the policy.
        nodes: Names of the nodes.
        racks: Racks of the nodes; None for a node without.
    """

    run: str = ""
    policy: str = ""
    nodes: tuple[str, ...] = ()
    racks: tuple[str | None, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the nodes, whose work is in the history."""
        return self.nodes

    def to_dict(self, version: int) -> dict[str, Any]:
        """Document for viewers; each frame names the version of its layout."""
        return {
            "version": version,
            "names": self.nodes,
            "run": self.run,
            "policy": self.policy,
            "racks": self.racks,
        }


def layout_of(snapshot: RunSnapshot, run: str, policy: str) -> RunLayout:
    """Layout of the nodes in a snapshot."""
    nodes = snapshot.nodes
    return RunLayout(run, policy, tuple(it.name for it in nodes), tuple(it.rack for it in nodes))
