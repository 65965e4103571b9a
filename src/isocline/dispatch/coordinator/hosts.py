"""Nodes by the machines they are on, for locations that name hosts, as those of HDFS do."""

import ipaddress
from typing import final

from isocline.dispatch.engines.base import Node


@final
class NodesByHost:
    """Index of nodes by names and addresses of their machines; a lost node stays in it.

    A machine that only knows the short form of its own name, such as `dn1`, is also found by any
    long one, such as `dn1.example.org`. Case does not matter.
    """

    def __init__(self) -> None:
        self._exactly: dict[str, dict[str, None]] = {}
        self._by_label: dict[str, dict[str, None]] = {}  # of machines that have no long name

    def __bool__(self) -> bool:
        return bool(self._exactly)

    def add(self, node: Node) -> None:
        """Register a node, also under its site's name."""
        hosts = {host.lower().rstrip(".") for host in node.hosts}
        for host in hosts if node.site is None else {*hosts, node.site.lower()}:
            self._exactly.setdefault(host, {})[node.name] = None
        names = {host for host in hosts if not _is_address(host)}
        if not any("." in name for name in names):
            for name in names:
                self._by_label.setdefault(name, {})[node.name] = None

    def of(self, host: str) -> tuple[str, ...]:
        """Return the nodes on a machine, in the order in which they came up."""
        if not self._exactly:
            return ()
        host = host.lower().rstrip(".")
        return tuple(self._exactly.get(host) or self._by_label.get(host.partition(".")[0]) or ())


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
