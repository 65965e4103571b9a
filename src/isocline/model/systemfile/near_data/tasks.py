"""The forms of `tasks`: a list of {servers, rate}, or a sampler."""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from isocline.model.cluster import ExplicitTasks, SampledTasks, popular_tasks, zipf_weights
from isocline.model.cluster.explicit import FloatArray
from isocline.model.cluster.swim import read_swim
from isocline.model.graph import CompatibilityGraph
from isocline.model.systemfile.document import Document, Field
from isocline.model.systemfile.near_data.checked import checked
from isocline.model.systemfile.near_data.schema import (
    ListedTypes,
    PopularityEntry,
    SampledEntry,
    TypeEntry,
)
from isocline.model.systemfile.near_data.servers import Servers
from isocline.model.systemfile.problems import choice

_POPULARITY = ("tasks", "popularity")


def tasks_in(document: Document, value: Any, servers: Servers) -> ExplicitTasks | SampledTasks:
    """Read the tasks at the key `tasks`; raises SystemFileError."""
    if not isinstance(value, dict | list):
        remedy = "give a list of {servers, rate}, or a sampler as {replicas: 3, rate: 700}"
        document.fail(("tasks",), f"is {value!r:.60}; {remedy}")
    if isinstance(value, list):
        return _listed(document, checked(document, ListedTypes, value, "tasks"), servers)
    return _sampled(document, checked(document, SampledEntry, value, "tasks"), servers)


def _listed(document: Document, entries: list[TypeEntry], servers: Servers) -> ExplicitTasks:
    """Return the types with a positive rate; one at rate 0 is only checked."""
    numbers = {name: m for m, name in enumerate(servers.names)}
    local = [
        _local(document, ("tasks", i, "servers"), entry.servers, numbers)
        for i, entry in enumerate(entries)
    ]
    asked = [i for i, entry in enumerate(entries) if entry.rate > 0]
    if not asked:
        document.fail(("tasks",), "every rate is 0; give at least one type a rate above 0")
    graph = CompatibilityGraph.from_neighbours(len(numbers), [local[i] for i in asked])
    return ExplicitTasks(graph, np.array([entries[i].rate for i in asked]))


def _local(
    document: Document, field: Field, words: list[str], numbers: dict[str, int]
) -> Iterable[int]:
    """Return the numbers of the servers that a type names, each once."""
    found: dict[int, None] = {}
    for i, word in enumerate(words):
        matches = _matches(word, numbers)
        if not matches:
            unnamed = all(name == str(m) for name, m in numbers.items())
            known = f"there are {len(numbers)}, from 0" if unnamed else choice(word, numbers)
            document.fail((*field, i), f"{word!r} matches no server; {known}")
        found.update(dict.fromkeys(matches))
    return found


def _matches(word: str, numbers: dict[str, int]) -> list[int]:
    """Return the servers of a name, a number or a pattern, tried in this order."""
    if word in numbers:
        return [numbers[word]]
    if word.isdecimal():
        return [int(word)] if int(word) < len(numbers) else []
    return [m for name, m in numbers.items() if fnmatchcase(name, word)]


def _sampled(
    document: Document, entry: SampledEntry, servers: Servers
) -> ExplicitTasks | SampledTasks:
    with document.blaming("tasks", "hotspot"):
        hotspot = entry.hotspot.make() if entry.hotspot else None
    with document.blaming("tasks"):
        tasks = SampledTasks(entry.replicas, entry.rate, hotspot, entry.placement)
        placement = tasks.on(servers.rack)
    if entry.popularity is None:
        return tasks
    weights = _weights(document, entry.popularity)
    count, seed = len(servers.names), entry.popularity.seed
    return popular_tasks(placement, count, entry.rate, weights, seed)


def _weights(document: Document, entry: PopularityEntry) -> FloatArray:
    """Return the popularities of the chunks, up to a factor."""
    if entry.trace is not None and entry.zipf is None and entry.chunks is None:
        with document.blaming(*_POPULARITY, "trace"):
            trace = read_swim(document.path.parent / entry.trace)
        return trace.accesses.astype(np.float64)
    if entry.zipf is None or entry.chunks is None or entry.trace is not None:
        remedy = "give either zipf and chunks, as {zipf: 1.1, chunks: 10000}, or trace"
        given = [key for key in ("zipf", "chunks", "trace") if getattr(entry, key) is not None]
        document.fail(_POPULARITY, f"has {' and '.join(given) or 'neither'}; {remedy}")
    return zipf_weights(entry.chunks, entry.zipf)
