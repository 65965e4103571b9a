"""The forms of `servers`: a number, {count, racks}, or a list of {name, rack}."""

from typing import Any, NamedTuple

import numpy as np

from isocline.model.cluster.cluster import racks_of
from isocline.model.cluster.placement import IntArray
from isocline.model.systemfile.document import Document
from isocline.model.systemfile.near_data.checked import checked
from isocline.model.systemfile.near_data.schema import (
    Count,
    CountedServers,
    ListedServers,
    ServerEntry,
)


class Servers(NamedTuple):
    """M servers in their racks."""

    names: tuple[str, ...]  # M
    rack: IntArray  # (M,)
    racks: tuple[str, ...]  # names


def servers_in(document: Document, value: Any) -> Servers:
    """Read the servers at the key `servers`; raises SystemFileError."""
    if isinstance(value, bool) or not isinstance(value, int | dict | list):
        remedy = "give their number, a list of {name, rack}, or {count: 200, racks: 10}"
        document.fail(("servers",), f"is {value!r:.60}; {remedy}")
    if isinstance(value, list):
        return _listed(document, checked(document, ListedServers, value, "servers"))
    if isinstance(value, int):
        return _counted(document, checked(document, Count, value, "servers"), 1)
    entry: CountedServers = checked(document, CountedServers, value, "servers")
    return _counted(document, entry.count, entry.racks)


def _counted(document: Document, count: int, racks: int) -> Servers:
    with document.blaming("servers", "racks"):
        rack = racks_of(count, racks)
    return Servers(tuple(map(str, range(count))), rack, tuple(map(str, range(racks))))


def _listed(document: Document, entries: list[ServerEntry]) -> Servers:
    example = next((entry for entry in entries if entry.rack is not None), None)
    numbers: dict[str, int] = {}
    racks: dict[str, int] = {}
    for i, entry in enumerate(entries):
        if entry.name in numbers:
            first = numbers[entry.name]
            problem = f"{entry.name!r} is already the name of servers[{first}]; choose another"
            document.fail(("servers", i), problem)
        if example is not None and entry.rack is None:
            problem = f"is missing; add it, as {example.name!r} has rack {example.rack!r}"
            document.fail(("servers", i, "rack"), problem)
        numbers[entry.name] = i
        racks.setdefault(entry.rack or "0", len(racks))
    rack = np.array([racks[entry.rack or "0"] for entry in entries], np.int32)
    return Servers(tuple(numbers), rack, tuple(racks))
