"""Nodes by name and number, and their states."""

import difflib
import math
from collections.abc import Callable, Iterable
from typing import final

from isocline.dispatch.engines.base import Node
from isocline.dispatch.log import LOG
from isocline.dispatch.user_code_guard import printable

_SHOWN = 12  # names of nodes in one message
_MOST_WARNED = 8  # names in locations that no node has


@final
class Nodes:
    """Numbers of all nodes ever seen; a lost node keeps its number.

    Attributes:
        names: Names by number.
        known: Nodes that are or were up, by number.
        up: Numbers of the nodes that are up.
        changed: Time at which a node last came up or was lost, s.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.known: dict[int, Node] = {}
        self.up: set[int] = set()
        self.changed = -math.inf
        self._down: dict[str, str] = {}  # why, of those that are not up
        self._returning: set[str] = set()
        self._warned: set[str] = set()  # names that no node had
        self._number: dict[str, int] = {}
        self._rack: dict[str | None, int] = {}

    def came_up(self, node: Node) -> tuple[int, int]:
        """Register a node; returns its number and its rack's. Nodes without rack share one."""
        server = self._number.setdefault(node.name, len(self.names))
        if server == len(self.names):
            self.names.append(node.name)
        self.up.add(server)
        self._down.pop(node.name, None)
        self._returning.discard(node.name)
        self.known[server] = node
        return server, self._rack.setdefault(node.rack, len(self._rack))

    def lost(self, name: str, reason: str = "", *, returns: bool = False) -> int:
        """Register a lost node; returns its number. `returns`: it is being started again."""
        server = self._number[name]
        self.up.discard(server)
        self._down[name] = reason
        if returns:
            self._returning.add(name)
        return server

    def gone(self, name: str, reason: str) -> None:
        """Register that a lost node is not expected any more."""
        self._down[name] = reason
        self._returning.discard(name)

    def returns(self, names: Iterable[str]) -> bool:
        """Whether one of these nodes is being started again."""
        return not self._returning.isdisjoint(names)

    def all_up(self, names: Iterable[str]) -> bool:
        """Whether all of these nodes are up; unknown ones do not count."""
        return self._down.keys().isdisjoint(names)

    def unknown(self, names: Iterable[str]) -> list[str]:
        """Return the names that no node has or had."""
        return [name for name in names if name not in self._number]

    def warn_of_unknown(self, names: Iterable[str], fate: Callable[[], str]) -> None:
        """Warn once of each name that no node has or had; `fate` describes that of its tasks."""
        for name in self.unknown(names):
            if name in self._warned or len(self._warned) > _MOST_WARNED:
                continue
            self._warned.add(name)
            if len(self._warned) > _MOST_WARNED:
                LOG.warning("locations: there are more names that no node has")
            else:
                LOG.warning("locations: %s%s", self.states([name]), fate())

    def states(self, names: Iterable[str]) -> str:
        """Describe the states of these nodes, with a remedy for names that no node has."""
        said = [f"{name} is {self._state(name)}" for name in names if name in self._number]
        for name in self.unknown(names):
            near = difflib.get_close_matches(name, self.names, n=1)
            hint = f", did you mean {near[0]!r}?" if near else ""
            said.append(f"there is no node {printable(repr(name))}{hint}")
        if self.unknown(names):
            more = f", ... ({len(self.names)} in all)" if len(self.names) > _SHOWN else ""
            said.append(f"the nodes are {', '.join(self.names[:_SHOWN])}{more}")
        return "; ".join(said)

    def _state(self, name: str) -> str:
        reason = self._down.get(name)
        if reason is None:
            return "up"
        return f"down ({reason})" if reason else "down"

    def number(self, name: str) -> int:
        """Return the number of a node that is or was up."""
        return self._number[name]

    def known_of(self, names: Iterable[str]) -> list[int]:
        """Return the numbers of those of these nodes that are or were up, each once."""
        numbers = [self._number[name] for name in names if name in self._number]
        return list(dict.fromkeys(numbers))
