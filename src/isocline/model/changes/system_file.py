"""System file of a changed system: that of the system before, with what changed.

All else stays, settings of `isocline serve` among it; comments and YAML anchors do not. The text is
read again, and refused where it does not describe the changed system: nothing is written that is
not what was planned.
"""

import math
from collections.abc import Sequence
from typing import Any

from isocline.errors import UsageError
from isocline.model.fleet import Backend, Frontend, RoutingSystem
from isocline.model.systemfile import names
from isocline.model.systemfile.document import Document, parsed, text_of
from isocline.model.systemfile.load import built
from isocline.model.traffic import PoissonArrivals

_COPIED = ("curve", "prefix_cache", "memory", "resident")  # keys of a backend that its copies have
_ALIKE = 1e-9  # relative difference of rates that rounding leaves
_DIGITS = 12  # of rates, so that 57 x 1.2 is 68.4


def changed_file(document: Document, before: RoutingSystem, after: RoutingSystem) -> str:
    """Text of the system file of `after`.

    Args:
        document: File of the system before.
        before: The system that it describes.
        after: That system, changed.

    Raises:
        UsageError: The change cannot be written so, such as another speed of a recorded trace.
    """
    data = dict(document.data)
    data["name"] = after.name
    old = {entry["name"]: entry for entry in data["backends"]}
    data["backends"] = [
        old[backend.name] if backend.name in old else _copy(backend, before, old)
        for backend in after.backends
    ]
    known = {entry["name"]: entry for entry in data["frontends"]}
    first = {frontend.name: frontend for frontend in before.frontends}
    places = {backend.name: b for b, backend in enumerate(after.backends)}
    users = _names_of(after)
    data["frontends"] = [
        _frontend(known[one.name], first[one.name], one, places, users[one.name])
        for one in after.frontends
    ]
    text = text_of(data)
    again = built(parsed(document.path, text))
    if not (isinstance(again, RoutingSystem) and _same(again, after)):
        raise UsageError(
            "--write: this change has no form in a system file; write it into the file by hand"
        )
    return text


def _copy(backend: Backend, before: RoutingSystem, old: dict[str, Any]) -> dict[str, Any]:
    """The entry of a copy: that of a backend which is like it."""
    original = next(one.name for one in reversed(before.backends) if _kind(one) == _kind(backend))
    entry = old[original]
    return {"name": backend.name} | {key: entry[key] for key in _COPIED if key in entry}


def _kind(backend: Backend) -> tuple[Any, ...]:
    """All that a backend has in common with its copies."""
    return backend.curve, backend.cache_tokens, backend.memory, backend.resident


def _frontend(
    entry: dict[str, Any],
    before: Frontend,
    after: Frontend,
    places: dict[str, int],
    users: Sequence[str],
) -> dict[str, Any]:
    """A frontend's entry with its backends and its rate."""
    entry = dict(entry)
    kept = [pattern for pattern in entry["backends"] if names.matches(places, pattern)]
    reached = {number for pattern in kept for number in names.matches(places, pattern)}
    wanted = {places[name] for name in users}
    if reached <= wanted:  # patterns stay, with the names that they lack
        kept += [name for name in users if places[name] not in reached]
    else:
        kept = list(users)
    entry["backends"] = kept
    if before.arrivals != after.arrivals:
        _set_rate(entry, before, after)
    return entry


def _set_rate(entry: dict[str, Any], before: Frontend, after: Frontend) -> None:
    """Set the rate, as a number or within a law of arrivals."""
    if isinstance(after.arrivals, PoissonArrivals):
        entry.pop("arrivals", None)
        entry["rate"] = _rounded(after.arrivals.rate)
        return
    factor = after.arrivals.rate / before.arrivals.rate
    law = dict(entry["arrivals"])
    if "rate" in law:
        law["rate"] = _rounded(law["rate"] * factor)
    if "rates" in law:
        law["rates"] = [_rounded(rate * factor) for rate in law["rates"]]
    if "steps" in law:
        law["steps"] = [[start, _rounded(rate * factor)] for start, rate in law["steps"]]
    entry["arrivals"] = law


def _rounded(rate: float) -> float:
    return float(f"{rate:.{_DIGITS}g}")


def _names_of(system: RoutingSystem) -> dict[str, list[str]]:
    """Names of the backends of each frontend."""
    return {
        frontend.name: [system.backends[b].name for b in system.graph.neighbours(f).tolist()]
        for f, frontend in enumerate(system.frontends)
    }


def _same(one: RoutingSystem, other: RoutingSystem) -> bool:
    """Whether two systems are alike but for addresses, and for what rounding leaves of rates."""
    return (
        [(b.name, _kind(b)) for b in one.backends] == [(b.name, _kind(b)) for b in other.backends]
        and {name: set(of) for name, of in _names_of(one).items()}
        == {name: set(of) for name, of in _names_of(other).items()}
        and all(
            type(mine.arrivals) is type(its.arrivals)
            and math.isclose(mine.arrivals.rate, its.arrivals.rate, rel_tol=_ALIKE)
            for mine, its in zip(one.frontends, other.frontends, strict=True)
        )
    )
