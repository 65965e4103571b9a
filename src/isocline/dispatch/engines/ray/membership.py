"""Membership of a Ray cluster: its nodes, and the actors to start on them."""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, final

from isocline.dispatch.engines.base import Node
from isocline.subprocesses.supervise import Backoff

_DIGITS = 12  # hexadecimal digits of a node's id that are used: 48 bits
_PAUSE, _LONGEST = 0.1, 10.0  # s, pauses before an actor is replaced


class ActorSlot(NamedTuple):
    """Slot of one actor."""

    node: Node
    site: str  # id of the Ray node
    reserved: Mapping[str, float] = {}  # what Ray reserves for the actor, beside CPUs


@final
class Membership:
    """Slots of all actors; used under the engine's lock."""

    def __init__(
        self, actors: int, cpus: float, rack_label: str, resources: Sequence[str] = ()
    ) -> None:
        self._actors = actors
        self._resources = resources
        self._cpus = cpus
        self._rack_label = rack_label
        self._backoffs: dict[str, Backoff] = {}  # of slots that died since a task was done
        self._due: dict[str, float] = {}  # start times of replacements, s, monotonic

    def slots(self, nodes: Sequence[Mapping[str, Any]]) -> dict[str, ActorSlot]:
        """Return slots by name, at live and large enough Ray nodes; `nodes` is Ray's list."""
        return {
            slot.node.name: slot
            for node in nodes
            if node["Alive"] and node["Resources"].get("CPU", 0.0) >= self._cpus
            for slot in self._at(node)
        }

    def due(self, slots: Mapping[str, ActorSlot], taken: Collection[str]) -> list[str]:
        """Return the slots whose actor should be started now."""
        now = time.monotonic()
        return [name for name in slots if name not in taken and self._due.get(name, now) <= now]

    def died(self, name: str) -> None:
        """Record the end of an actor, whose replacement must wait."""
        backoff = self._backoffs.setdefault(name, Backoff(_PAUSE, _LONGEST))
        self._due[name] = time.monotonic() + backoff.pause()

    def works(self, name: str) -> None:
        """Record a finished task."""
        self._backoffs.pop(name, None)

    def _at(self, node: Mapping[str, Any]) -> Iterator[ActorSlot]:
        site = node["NodeID"]
        rack = node["Labels"].get(self._rack_label)
        hosts = (node["NodeManagerHostname"], node["NodeManagerAddress"])
        there = {name: node["Resources"].get(name, 0.0) for name in self._resources}
        amounts = tuple((name, amount) for name, amount in there.items() if amount)
        several = self._actors > 1
        for number in range(self._actors):
            name = site[:_DIGITS] + (f"/{number}" if several else "")
            shared = Node(name, rack, hosts, site[:_DIGITS] if several else None, amounts)
            reserved = {of: part(amount, self._actors, number) for of, amount in amounts}
            yield ActorSlot(shared, site, reserved)


def part(amount: float, parts: int, number: int) -> float:
    """Part of an amount, of which Ray reserves a whole number or less than 1."""
    if amount < parts:
        return amount / parts
    whole, more = divmod(int(amount), parts)
    return whole + (number < more)
