"""Frontends of a log, and which backends each of them may use.

A log does not say which backend a request could have gone to. Requests of one origin (the router's
own name for it, or host and path) went to some backends; two origins whose requests used the same
ones are one frontend to the router. An origin with few requests reached few backends by chance, so
it joins the frontend with the fewest backends among which its requests would have hit no others
more often than once in a thousand times.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal, final

import numpy as np
import numpy.typing as npt

from isocline.audit.records import AccessRecords
from isocline.errors import UsageError
from isocline.model.fleet import RoutingSystem
from isocline.model.graph import CompatibilityGraph
from isocline.plural import first_of

IndexArray = npt.NDArray[np.int64]

_BY_CHANCE = 1e-3
_SHOWN = 5


@final
@dataclass(frozen=True, eq=False)
class LoggedFrontends:
    """F frontends, and the origins that each stands for."""

    names: tuple[str, ...]
    origins: tuple[tuple[str, ...], ...]
    of: IndexArray  # (N,) frontend of each request
    graph: CompatibilityGraph  # of frontends and backends
    source: Literal["log", "edges", "system"]  # of what each may use


def frontends_of_log(records: AccessRecords) -> LoggedFrontends:
    """Group origins by the backends that their requests used."""
    used = _used(records)
    groups: list[list[int]] = []
    for origin in np.argsort(-used.sum(axis=1), kind="stable").tolist():
        group = _like(used, groups, origin)
        if group is None:
            groups.append([origin])
        else:
            groups[group].append(origin)
    sets = [np.flatnonzero(used[members].sum(axis=0)) for members in groups]
    return _made(records, groups, sets, "log")


def frontends_by_edges(records: AccessRecords, edges: Sequence[str]) -> LoggedFrontends:
    """Frontends by the user's words, each ORIGIN=BACKEND,...; both sides are shell-style patterns.

    Raises:
        UsageError: One is not written so, matches nothing, or a request's origin or backend is not
            among them.
    """
    groups: list[list[int]] = []
    sets: list[IndexArray] = []
    taken: set[int] = set()
    for text in edges:
        origin, equals, listed = text.partition("=")
        patterns = [part.strip() for part in listed.split(",") if part.strip()]
        if not equals or not patterns:
            raise UsageError(f"--edges {text!r}: give ORIGIN=BACKEND,..., as in '/chat=gpu-*'")
        found = [o for o in _matching(records.frontends, origin.strip()) if o not in taken]
        if not found:
            raise UsageError(
                f"--edges {text!r}: no request came in at {origin.strip()!r} that an earlier one "
                f"does not take; there are {_named(records.frontends)}"
            )
        backends: set[int] = set()
        for pattern in patterns:
            matched = _matching(records.backends, pattern)
            if not matched:
                raise UsageError(
                    f"--edges {text!r}: {pattern!r} matches no backend; there are "
                    f"{_named(records.backends)}"
                )
            backends.update(matched)
        taken.update(found)
        groups.append(found)
        sets.append(np.array(sorted(backends)))
    left = [name for o, name in enumerate(records.frontends) if o not in taken]
    if left:
        raise UsageError(
            f"--edges: requests came in at {_named(left)}, too; add '*=...' for all others"
        )
    return _allowed(records, _made(records, groups, sets, "edges"), "--edges")


def frontends_by_system(
    records: AccessRecords, system: RoutingSystem, matches: Mapping[str, str]
) -> LoggedFrontends:
    """Frontends of a system file, whose backends are those of the log by name or address.

    An origin is that of the frontend of its name; else of the one with the longest path in
    `matches` that begins as its own does; else of the only one.

    Raises:
        UsageError: A backend or an origin of the log is not in the system.
    """
    place = {name: b for b, name in enumerate(records.backends)}
    in_log: list[int | None] = []
    for backend in system.backends:
        address = (backend.url or "").rpartition("//")[2].rstrip("/")
        in_log.append(place.get(backend.name, place.get(address)))
    unknown = [name for b, name in enumerate(records.backends) if b not in in_log]
    if unknown:
        raise UsageError(
            f"--system {system.name}: has no backend with the name or url {_named(unknown)}, where "
            "requests of the log went; add them, or leave --system out"
        )
    names = [frontend.name for frontend in system.frontends]
    groups: list[list[int]] = [[] for _ in names]
    for origin, name in enumerate(records.frontends):
        groups[_frontend(system, matches, names, name)].append(origin)
    kept = [f for f, group in enumerate(groups) if group]
    sets = []
    for f in kept:
        found = [in_log[b] for b in system.graph.neighbours(f).tolist()]
        sets.append(np.array(sorted(b for b in found if b is not None), np.int64))
    for f, backends in zip(kept, sets, strict=True):
        if not backends.size:
            raise UsageError(
                f"--system {system.name}: no backend of frontend {names[f]!r} is in the log"
            )
    made = _made(records, [groups[f] for f in kept], sets, "system", [names[f] for f in kept])
    return _allowed(records, made, f"--system {system.name}")


def _frontend(
    system: RoutingSystem, matches: Mapping[str, str], names: Sequence[str], origin: str
) -> int:
    if origin in names:
        return names.index(origin)
    path = origin[origin.find("/") :] if "/" in origin else ""
    fits = [
        (len(prefix), f)
        for f, name in enumerate(names)
        if (prefix := matches.get(name, "")) and path.startswith(prefix.rstrip("/") or "/")
    ]
    if fits and path:
        return max(fits)[1]
    if len(names) == 1:
        return 0
    raise UsageError(
        f"--system {system.name}: requests came in at {origin!r}, which is neither the name nor "
        f"the path of a frontend; there are {_named(names)}. Rename one, or give --edges"
    )


def _used(records: AccessRecords) -> IndexArray:
    """(O, B) attempts of each origin at each backend."""
    tried = records.attempts
    shape = len(records.frontends), len(records.backends)
    cell = records.frontend[tried.request] * shape[1] + tried.backend
    return np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape)


def _like(used: IndexArray, groups: Sequence[Sequence[int]], origin: int) -> int | None:
    """The group that an origin belongs to, the one with the fewest backends; None if to none."""
    own = used[origin]
    best: tuple[int, int] | None = None
    for number, members in enumerate(groups):
        together = used[members].sum(axis=0)
        if (own[together == 0] > 0).any():
            continue
        missed = float(together[own == 0].sum() / together.sum())
        if (1.0 - missed) ** int(own.sum()) < _BY_CHANCE:
            continue
        size = int((together > 0).sum())
        if best is None or size < best[0]:
            best = size, number
    return None if best is None else best[1]


def _made(
    records: AccessRecords,
    groups: Sequence[Sequence[int]],
    sets: Sequence[IndexArray],
    source: Literal["log", "edges", "system"],
    names: Sequence[str] | None = None,
) -> LoggedFrontends:
    group_of = np.zeros(len(records.frontends), np.int64)
    for number, members in enumerate(groups):
        group_of[list(members)] = number
    of = group_of[records.frontend]
    seen = np.flatnonzero(np.bincount(of, minlength=len(groups)))
    renamed = np.zeros(len(groups), np.int64)
    renamed[seen] = np.arange(seen.size)
    kept = [groups[g] for g in seen.tolist()]
    origins = tuple(tuple(records.frontends[o] for o in members) for members in kept)
    called = [origin[0] for origin in origins]
    if names is not None:
        called = [names[g] for g in seen.tolist()]
    if names is None and len(kept) == 1 and len(origins[0]) > 1:
        called = ["all"]
    graph = CompatibilityGraph.from_neighbours(
        len(records.backends), [sets[g] for g in seen.tolist()]
    )
    return LoggedFrontends(tuple(called), origins, renamed[of], graph, source)


def _allowed(records: AccessRecords, made: LoggedFrontends, where: str) -> LoggedFrontends:
    """The same; raises UsageError where a request went to a backend that it may not use."""
    tried = records.attempts
    pair = np.unique(made.of[tried.request] * len(records.backends) + tried.backend)
    for f, b in zip(*np.divmod(pair, len(records.backends)), strict=True):
        if not made.graph.has_edge(int(f), int(b)):
            raise UsageError(
                f"{where}: requests of {made.names[f]!r} went to {records.backends[b]!r}, which it "
                "may not use there; add the edge"
            )
    return made


def _matching(names: Sequence[str], pattern: str) -> list[int]:
    return [i for i, name in enumerate(names) if name == pattern or fnmatchcase(name, pattern)]


def _named(names: Sequence[str]) -> str:
    return first_of([repr(name) for name in names], _SHOWN)
