"""Members of a Ray cluster: its nodes, and the actors to be started on them."""

import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, final

from isocline.dispatch.engines.base import Node

_DIGITS = 12  # of a node's id, 48 bits of it
_PAUSE, _LONGEST = 0.1, 10.0  # s


class ActorSlot(NamedTuple):
    """Slot of one actor."""

    node: Node
    place: str  # the id of the Ray node


@final
class Membership:
    """Slots of all actors, used under the engine's lock."""

    def __init__(self, slots: int, cpus: float, rack_label: str) -> None:
        self._slots = slots
        self._cpus = cpus
        self._rack_label = rack_label
        self._deaths: Counter[str] = Counter()  # since it last got a task done
        self._due: dict[str, float] = {}  # s, monotonic; of those that died

    def seats(self, nodes: Sequence[Mapping[str, Any]]) -> dict[str, ActorSlot]:
        """Compute slots by name, at live Ray nodes that are large enough; `nodes` is Ray's list."""
        return {
            seat.node.name: seat
            for node in nodes
            if node["Alive"] and node["Resources"].get("CPU", 0.0) >= self._cpus
            for seat in self._at(node)
        }

    def due(self, seats: Mapping[str, ActorSlot], taken: Collection[str]) -> list[str]:
        """Return the slots whose actor is to be started now."""
        now = time.monotonic()
        return [name for name in seats if name not in taken and self._due.get(name, now) <= now]

    def died(self, name: str) -> None:
        """Record the end of an actor: the next one waits."""
        pause = min(_PAUSE * 2.0 ** self._deaths[name], _LONGEST)
        self._deaths[name] += 1
        self._due[name] = time.monotonic() + pause

    def works(self, name: str) -> None:
        """Record a finished task."""
        self._deaths.pop(name, None)

    def _at(self, node: Mapping[str, Any]) -> Iterator[ActorSlot]:
        place = node["NodeID"]
        rack = node["Labels"].get(self._rack_label)
        for slot in range(self._slots):
            name = place[:_DIGITS] + (f"/{slot}" if self._slots > 1 else "")
            yield ActorSlot(Node(name, rack), place)
