"""Nodes and chunks have names, servers have numbers, and tasks have holders."""

from collections.abc import Iterable
from typing import final

from isocline.dispatch.engines.contract import Node


@final
class Nodes:
    """The numbers of all nodes that were ever heard of; a node keeps its number when it is lost.

    Attributes:
        names: By number.
        known: Those that are or were up, by number.
        up: The numbers of those that are up.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.known: dict[int, Node] = {}
        self.up: set[int] = set()
        self._number: dict[str, int] = {}
        self._rack: dict[str | None, int] = {}

    def came_up(self, node: Node) -> tuple[int, int]:
        """The numbers of a node and of its rack; all whose rack is not known are in one."""
        server = self._number.setdefault(node.name, len(self.names))
        if server == len(self.names):
            self.names.append(node.name)
        self.up.add(server)
        self.known[server] = node
        return server, self._rack.setdefault(node.rack, len(self._rack))

    def lost(self, name: str) -> int:
        """The number of a node that is no longer up."""
        server = self._number[name]
        self.up.discard(server)
        return server

    def number(self, name: str) -> int:
        """That of a node which is or was up."""
        return self._number[name]

    def known_of(self, names: Iterable[str]) -> list[int]:
        """The numbers of those of these nodes that are or were up, each once."""
        numbers = [self._number[name] for name in names if name in self._number]
        return list(dict.fromkeys(numbers))
