"""Changes of a routing system: backends copied or removed, frontends removed, rates changed."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import reduce

from isocline.errors import UsageError
from isocline.model.changes.written import (
    Addition,
    Changes,
    NewRate,
    Removal,
    next_names,
    siblings,
)
from isocline.model.fleet import Backend, Frontend, RoutingSystem
from isocline.model.graph import CompatibilityGraph
from isocline.model.systemfile.problems import choice
from isocline.model.traffic import PoissonArrivals, TraceArrivals
from isocline.plural import stem_of


def changed_fleet(system: RoutingSystem, changes: Changes) -> RoutingSystem:
    """The system after all changes; raises UsageError as `changed`."""
    system = reduce(_with_copies, changes.additions, system)
    system = reduce(_without, changes.removals, system)
    return reduce(_at_rate, changes.rates, system)


def changes_of(system: RoutingSystem, changes: Changes) -> Changes:
    """The changes, with the removals of frontends named as such."""
    names = [backend.name for backend in system.backends]
    frontends = {frontend.name for frontend in system.frontends}
    return changes._replace(
        removals=tuple(
            replace(one, is_frontend=one.name in frontends and not siblings(one.name, names))
            for one in changes.removals
        )
    )


def _with_copies(system: RoutingSystem, addition: Addition) -> RoutingSystem:
    """Copies of a backend behind the last of its kind."""
    said = f"add {addition.name!r}"
    kind = _kind(system, said, addition.name)
    original, users = system.backends[kind[-1]], _users(system)
    taken = [backend.name for backend in system.backends]
    copies = [
        replace(original, name=name, url=None)
        for name in next_names(addition.name, taken, addition.count)
    ]
    whose = users[kind[-1]]
    if addition.frontends:
        whose = _frontends(system, said, addition.frontends)
    at = kind[-1] + 1
    backends = (*system.backends[:at], *copies, *system.backends[at:])
    return _joined(system, backends, [*users[:at], *[whose] * len(copies), *users[at:]])


def _without(system: RoutingSystem, removal: Removal) -> RoutingSystem:
    """The system without some of a kind, or without a frontend."""
    said, names = f"remove {removal.name!r}", [backend.name for backend in system.backends]
    frontends = [frontend.name for frontend in system.frontends]
    if not siblings(removal.name, names) and removal.name in frontends:
        return _without_frontend(system, frontends.index(removal.name), removal.count)
    kind = _kind(system, said, removal.name, frontends)
    if removal.count > len(kind):
        there = ", ".join(names[b] for b in kind[:6]) + (", ..." if len(kind) > 6 else "")
        raise UsageError(f"{said}: there are {len(kind)} of it ({there}); give at most that many")
    gone = set(kind[-removal.count :])
    kept = [b for b in range(len(names)) if b not in gone]
    users = _users(system)
    left = set().union(*(users[b] for b in kept))
    for f, frontend in enumerate(frontends):
        if f not in left:
            raise UsageError(
                f"{said}: frontend {frontend!r} may use no other backend; leave it one, or remove "
                f"{frontend!r}, too"
            )
    return _joined(system, tuple(system.backends[b] for b in kept), [users[b] for b in kept])


def _without_frontend(system: RoutingSystem, f: int, count: int) -> RoutingSystem:
    name = system.frontends[f].name
    if count > 1:
        raise UsageError(f"remove {name!r}: it is one frontend; give no count")
    if len(system.frontends) == 1:
        raise UsageError(f"remove {name!r}: it is the only frontend; a system needs one")
    _require_own_rates(system, f"remove {name!r}")
    rows = [system.graph.neighbours(i) for i in range(len(system.frontends)) if i != f]
    return replace(
        system,
        frontends=(*system.frontends[:f], *system.frontends[f + 1 :]),
        graph=CompatibilityGraph.from_neighbours(len(system.backends), rows),
    )


def _at_rate(system: RoutingSystem, change: NewRate) -> RoutingSystem:
    """The system with the rate of one frontend, of some, or of all changed."""
    said = f"rate {change.text!r}"
    if change.name is None:
        if change.is_factor and system.trace is not None:
            return system.sped_up(change.value)
        if not change.is_factor and len(system.frontends) > 1:
            first = system.frontends[0].name
            raise UsageError(
                f"{said}: there are {len(system.frontends)} frontends; say whose rate it is, as "
                f"{first}={change.value:g}, or give a factor for all, as x1.5"
            )
    _require_own_rates(system, said)
    everybody = range(len(system.frontends))
    those = everybody if change.name is None else _frontends(system, said, [change.name])
    return replace(
        system,
        frontends=tuple(
            _rated(frontend, change) if f in those else frontend
            for f, frontend in enumerate(system.frontends)
        ),
    )


def _rated(frontend: Frontend, change: NewRate) -> Frontend:
    """The frontend at another rate, its law and its changes over the day as they are."""
    rate = frontend.arrivals.rate
    if not change.is_factor and (rate == 0.0 or change.value == 0.0):
        return replace(frontend, arrivals=PoissonArrivals(change.value))
    factor = change.value if change.is_factor else change.value / rate
    if factor == 1.0 or rate == 0.0:
        return frontend
    # The times of a trace cannot become more; they can only come faster.
    is_list = isinstance(frontend.arrivals, TraceArrivals)
    return frontend.rescaled("sped_up" if is_list else "enlarged", factor)


def _require_own_rates(system: RoutingSystem, said: str) -> None:
    if system.trace is not None:
        raise UsageError(
            f"{said}: the requests, and so the rates, are those of trace {system.trace.name}; "
            "give a factor for all, as x1.5, or remove the trace from the file"
        )


def _frontends(system: RoutingSystem, said: str, patterns: Iterable[str]) -> set[int]:
    """Return the numbers of the frontends that names or patterns mean."""
    names = [frontend.name for frontend in system.frontends]
    found: set[int] = set()
    for pattern in patterns:
        exact = [f for f, name in enumerate(names) if name == pattern]
        those = exact or [f for f, name in enumerate(names) if fnmatchcase(name, pattern)]
        if not those:
            raise UsageError(f"{said}: there is no frontend {pattern!r}; {choice(pattern, names)}")
        found.update(those)
    return found


def _kind(
    system: RoutingSystem, said: str, name: str, frontends: Sequence[str] | None = None
) -> list[int]:
    """Return the numbers of the backends that a name means, all alike, by their own numbers.

    Args:
        system: The system.
        said: Change, for messages.
        name: Name of a backend, or what several have in common.
        frontends: Other names that would do; None: frontends cannot be meant.
    """
    names = [backend.name for backend in system.backends]
    found = siblings(name, names)
    if not found:
        if frontends is None and name in (f.name for f in system.frontends):
            raise UsageError(
                f"{said}: it is a frontend, and only backends can be added; for more of its jobs "
                f"give a rate, as {name}=x2"
            )
        stems = dict.fromkeys([*map(stem_of, names), *names, *(frontends or ())])
        raise UsageError(f"{said}: there is no backend {name!r}; {choice(name, stems)}")
    users = _users(system)
    like = [b for b in found if not _difference(system, users, found[0], b)]
    if names[found[0]] == name:
        return like  # a backend of this very name, and those of its siblings that are like it
    if len(like) < len(found):
        other = next(b for b in found if b not in like)
        differ = _difference(system, users, found[0], other)
        raise UsageError(
            f"{said}: {names[found[0]]} and {names[other]} differ in their {differ}; "
            "name one backend"
        )
    return found


def _difference(system: RoutingSystem, users: Sequence[set[int]], one: int, other: int) -> str:
    """In what two backends differ; empty if they are alike."""
    first, second = system.backends[one], system.backends[other]
    if first.curve != second.curve:
        return "curves"
    if first.cache_tokens != second.cache_tokens:
        return "prefix caches"
    if (first.memory, first.resident) != (second.memory, second.resident):
        return "memory for models"
    return "" if users[one] == users[other] else "frontends"


def _users(system: RoutingSystem) -> list[set[int]]:
    """Return the frontends of each backend."""
    users: list[set[int]] = [set() for _ in system.backends]
    graph = system.graph
    for f, b in zip(graph.source.tolist(), graph.sink.tolist(), strict=True):
        users[b].add(f)
    return users


def _joined(
    system: RoutingSystem, backends: tuple[Backend, ...], users: Sequence[set[int]]
) -> RoutingSystem:
    """The system with other backends, each for these frontends."""
    edges = [(f, b) for b, those in enumerate(users) for f in sorted(those)]
    graph = CompatibilityGraph.from_edges(len(system.frontends), len(backends), edges)
    return replace(system, backends=backends, graph=graph)
