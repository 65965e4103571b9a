"""Names, numbers and states of nodes."""

import difflib
import math
from collections import Counter
from collections.abc import Callable, Iterable
from typing import final

from isocline.dispatch.coordinator.hosts import NodesByHost
from isocline.dispatch.core.resources import Need
from isocline.dispatch.engines.base import Node
from isocline.dispatch.log import LOG
from isocline.dispatch.user_code_guard import printable

_SHOWN = 12  # names of nodes per message
_MOST_WARNED = 8  # warnings of unknown names in locations


def _has(node: Node, need: Need) -> bool:
    there = dict(node.resources)
    return all(there.get(name, 0.0) >= amount for name, amount in need)


@final
class Nodes:
    """Registry of all nodes; a lost node keeps its number.

    Attributes:
        names: Names by number.
        known: Nodes that are or were up, by number.
        up: Numbers of the nodes that are up.
        changed: Time at which a node last came up or was lost, s.
        losses: Number of losses by name.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.known: dict[int, Node] = {}
        self.up: set[int] = set()
        self.changed = -math.inf
        self.losses: Counter[str] = Counter()
        self._last_loss: dict[str, str] = {}  # reason for each node's last loss
        self._down: dict[str, str] = {}  # reason, for nodes that are down
        self._returning: set[str] = set()
        self._silent: dict[str, float] = {}  # for silent nodes, the time since when, s
        self._last_silent: dict[str, float] = {}  # time at which each was last found silent, s
        self._warned: set[str] = set()  # unknown names already warned of
        self._number: dict[str, int] = {}
        self._rack: dict[str | None, int] = {}
        self._at = NodesByHost()
        self._site: dict[str, int] = {}

    def came_up(self, node: Node) -> tuple[int, int]:
        """Register a node; returns its number and its rack's. Nodes without a rack share one."""
        server = self._number.setdefault(node.name, len(self.names))
        if server == len(self.names):
            self.names.append(node.name)
        self.up.add(server)
        self._down.pop(node.name, None)
        self._returning.discard(node.name)
        self._silent.pop(node.name, None)
        self.known[server] = node
        self._at.add(node)
        return server, self._rack.setdefault(node.rack, len(self._rack))

    def lost(self, name: str, reason: str = "", *, returns: bool = False) -> int:
        """Register a lost node; returns its number. `returns`: whether it is being restarted."""
        server = self._number[name]
        self.up.discard(server)
        self._down[name] = self._last_loss[name] = reason
        self.losses[name] += 1
        self._silent.pop(name, None)
        if returns:
            self._returning.add(name)
        return server

    def gone(self, name: str, reason: str) -> None:
        """Register that a lost node is no longer expected back."""
        self._down[name] = reason
        self._returning.discard(name)

    def fell_silent(self, name: str, now: float) -> bool:
        """Register a silent node; returns whether this is new."""
        known = name in self._last_silent
        self._silent.setdefault(name, now)
        self._last_silent[name] = now
        return not known

    def answers(self, name: str) -> bool:
        """Register a sign of life of a node; returns whether it was silent."""
        return self._silent.pop(name, None) is not None

    def is_silent(self, name: str) -> bool:
        """Whether a node is silent."""
        return name in self._silent

    def were_silent(self, names: Iterable[str], since: float) -> bool:
        """Whether one of these nodes was found silent since that time, s."""
        return any(self._last_silent.get(name, -math.inf) >= since for name in names)

    def returns(self, names: Iterable[str]) -> bool:
        """Whether one of these nodes is being restarted."""
        return not self._returning.isdisjoint(names)

    def all_up(self, names: Iterable[str]) -> bool:
        """Whether all of these nodes are up; unknown names are ignored."""
        return self._down.keys().isdisjoint(names)

    def resolved(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return names with those of nodes in place of their hosts'; unknown ones as they are."""
        if not self._at:
            return tuple(names)
        found: dict[str, None] = {}
        for name in names:
            at = () if name in self._number else self._at.of(name)
            found.update(dict.fromkeys(at or (name,)))
        return tuple(found)

    def unknown(self, names: Iterable[str]) -> list[str]:
        """Return the names that neither a node nor the host of one has ever had."""
        return [name for name in names if name not in self._number and not self._at.of(name)]

    def warn_of_unknown(self, names: Iterable[str], fate: Callable[[], str]) -> None:
        """Warn once of each name that no node has ever had; `fate` describes its tasks' fate."""
        for name in self.unknown(names):
            if name in self._warned or len(self._warned) > _MOST_WARNED:
                continue
            self._warned.add(name)
            if len(self._warned) > _MOST_WARNED:
                LOG.warning("locations: there are further unknown names of nodes")
            else:
                LOG.warning("locations: %s%s", self.states([name]), fate())

    def states(self, names: Iterable[str]) -> str:
        """Describe the states of these nodes, with a remedy for unknown names."""
        names = self.resolved(names)
        said = [f"{name} is {self._state(name)}" for name in names if name in self._number]
        for name in self.unknown(names):
            near = difflib.get_close_matches(name, self.names, n=1)
            hint = f", did you mean {near[0]!r}?" if near else ""
            said.append(f"there is no node {printable(repr(name))}{hint}")
        if self.unknown(names):
            more = f", ... ({len(self.names)} in all)" if len(self.names) > _SHOWN else ""
            said.append(f"the nodes are {', '.join(self.names[:_SHOWN])}{more}")
        return "; ".join(said)

    def reason(self, name: str) -> str:
        """Return the reason why a node is down or was last lost; empty if unknown."""
        return self._down.get(name) or self._last_loss.get(name, "")

    def _state(self, name: str) -> str:
        reason = self._down.get(name)
        if reason is None:
            return "up, but does not answer" if name in self._silent else "up"
        return f"down ({reason})" if reason else "down"

    def number(self, name: str) -> int:
        """Return the number of a node that is or was up."""
        return self._number[name]

    def by_rack(self, names: Iterable[str], node: str) -> Iterable[str]:
        """Return names with those of nodes in a node's rack first, otherwise in the same order."""
        if len(self._rack) == 1:
            return names
        rack, number = self.rack(node), self._number
        return sorted(names, key=lambda name: name not in number or self.rack(name) != rack)

    def rack(self, name: str) -> int:
        """Return the number of the rack of a node that is or was up."""
        return self._rack[self.known[self._number[name]].rack]

    def site(self, name: str) -> int:
        """Return the number of the site of a node that is or was up."""
        node = self.known[self._number[name]]
        return self._site.setdefault(node.site or node.name, len(self._site))

    def could_hold(self, need: Need) -> bool:
        """Whether a node that is or was up has these resources."""
        return any(_has(node, need) for node in self.known.values())

    def most(self, need: Need) -> str:
        """Describe the nodes with the most of each of these resources."""
        said = []
        for name, _ in need:
            best = max(self.known.values(), key=lambda node: dict(node.resources).get(name, 0.0))
            amount = dict(best.resources).get(name, 0.0)
            said.append(
                f"{name} {amount:g} at {best.site or best.name}" if amount else f"no {name}"
            )
        return ", ".join(said)

    def known_of(self, names: Iterable[str]) -> list[int]:
        """Return the distinct numbers of these nodes, without those that never came up."""
        numbers = [self._number[name] for name in names if name in self._number]
        return list(dict.fromkeys(numbers))
