"""Checks of the settings of a `ProcessEngine`'s nodes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from isocline.arguments import at_least, in_one_line, kind_of, require
from isocline.cores import usable_cores
from isocline.dispatch import pickling
from isocline.dispatch.core.resources import Need
from isocline.dispatch.engines.base import Node
from isocline.dispatch.engines.common.chunk_store import Loader
from isocline.dispatch.submission.needs import need_of
from isocline.dispatch.user_code_guard import Caught, guarded, words
from isocline.errors import UsageError

Nodes = int | Sequence[str] | Mapping[str, str | Path]


def nodes_of(nodes: Nodes | None, racks: Mapping[str, str] | None) -> list[Node]:
    """Make nodes, numbered (n0, n1, ...) or named; raises UsageError for invalid names."""
    require("nodes", nodes, kind_of(Nodes | None))
    names = _names(nodes)
    if not names or len(set(names)) < len(names) or not all(names):
        raise UsageError(f"nodes: {nodes!r}; give at least one, each with a unique name")
    require("racks", racks, kind_of(Mapping[str, str] | None))
    racks = racks or {}
    for name in racks:
        if name not in names:
            raise UsageError(f"racks: no node {name!r}; the nodes are {', '.join(names)}")
    return [Node(name, racks.get(name)) for name in names]


def slotted(nodes: Sequence[Node], slots: int, resources: Mapping[str, Any] | None) -> list[Node]:
    """Give nodes resources, and each several slots, which are nodes of one site.

    Args:
        nodes: Nodes.
        slots: Slots of each; with several, they are named NODE/0, NODE/1 and so on.
        resources: Amounts by name, of each node, or such by node.

    Raises:
        UsageError: The resources are invalid, or there are fewer slots than 1.
    """
    require("slots", slots, kind_of(int), at_least(1))
    given = _by_node(nodes, resources)
    if slots == 1:
        return [node._replace(resources=given[node.name]) for node in nodes]
    return [
        Node(f"{node.name}/{slot}", node.rack, node.hosts, node.name, given[node.name])
        for node in nodes
        for slot in range(slots)
    ]


def _by_node(nodes: Sequence[Node], resources: Mapping[str, Any] | None) -> dict[str, Need]:
    names = [node.name for node in nodes]
    if not isinstance(resources, Mapping) or not any(
        isinstance(amounts, Mapping) for amounts in resources.values()
    ):
        return dict.fromkeys(names, need_of(resources))
    for name in resources:
        if name not in names:
            raise UsageError(f"resources: no node {name!r}; the nodes are {', '.join(names)}")
    return {name: need_of(resources.get(name), f"resources: {name}") for name in names}


def roots_of(nodes: Nodes | None) -> dict[str, Path]:
    """Return the nodes' directories, if any; raises UsageError if one is missing."""
    if not isinstance(nodes, Mapping):
        return {}
    for name, root in nodes.items():
        require(f"directory of node {name}:", root, kind_of(str | Path))
        if not Path(root).is_dir():
            raise UsageError(
                f"nodes: {name}: there is no directory {str(root)!r}; create or correct it"
            )
    return {name: Path(root).absolute() for name, root in nodes.items()}


def code_of(loader: Loader | None) -> bytes | None:
    """Pickle a loader; raises UsageError if it is not a function or cannot be pickled."""
    if loader is None:
        return None
    if not callable(loader):
        raise UsageError(
            f"loader {in_one_line(loader)}: give a function from a chunk's name to its value"
        )
    code = guarded(pickling.dumps, loader)
    if isinstance(code, Caught):
        raise UsageError(
            f"loader: it cannot be pickled ({words(code.error)}); open files and connections "
            "inside it"
        ) from code.error
    return code


def _names(nodes: Nodes | None) -> list[str]:
    if nodes is None:
        nodes = usable_cores()
    return [f"n{i}" for i in range(nodes)] if isinstance(nodes, int) else list(nodes)
