"""Systems of the usual keys, read without the schema.

Making pydantic ready for the schema takes a third of a short `isocline plan`, and each of a hundred
thousand frontends ten times as long as here. Read here are backends with a curve, and frontends
with a rate and names, of the right types: what `schema` and `build` make of them, as
`tests/model/test_plain_system.py` sees to. All else is left to these, and so is every mistake.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache, partial
from math import isfinite
from typing import Any, final

from isocline.errors import IsoclineError
from isocline.model.curves import Curve, ExponentialCurve, HyperbolicCurve, KneeCurve, TableCurve
from isocline.model.fleet import Backend, Frontend, RoutingSystem, Work
from isocline.model.graph import CompatibilityGraph
from isocline.model.systemfile import names
from isocline.model.systemfile.document import Document
from isocline.model.traffic import PoissonArrivals

_KEYS = {"kind", "name", "work", "backends", "frontends"}
_OF_BACKEND = {"name", "curve"}
_OF_FRONTEND = {"name", "rate", "backends"}
# Curves whose parameters are numbers.
_CURVES = {it.type: it for it in (HyperbolicCurve, ExponentialCurve, KneeCurve)}
_EXACT = 2**53  # whole numbers up to which a double is exact


@final
class _NotPlainError(Exception):
    """Something that this module does not read."""


def plain_system(document: Document) -> RoutingSystem | None:
    """Build the system that a document of kind routing describes; None if it is not plainly one."""
    try:
        return _system(document.data, document.name)
    except (_NotPlainError, IsoclineError):
        return None


def _system(data: Mapping[str, Any], name: str) -> RoutingSystem:
    _require(data.keys() <= _KEYS)
    backends = tuple(map(_backend, _list(data.get("backends"))))
    numbers = {backend.name: b for b, backend in enumerate(backends)}
    matches = cache(partial(names.matches, numbers))  # frontends tend to share patterns
    frontends, neighbours = [], []
    for entry in _list(data.get("frontends")):
        _require(type(entry) is dict and entry.keys() == _OF_FRONTEND)
        arrivals = PoissonArrivals(_number(entry["rate"]))
        frontends.append(Frontend(_name(entry["name"]), arrivals))
        neighbours.append(_neighbours(_list(entry["backends"]), numbers, matches))
    _require(len(numbers) == len(backends))
    _require(len({frontend.name for frontend in frontends}) == len(frontends))
    return RoutingSystem(
        tuple(frontends),
        backends,
        CompatibilityGraph.from_neighbours(len(backends), neighbours),
        _work(data["work"]) if "work" in data else Work(),
        name=_name(data["name"]) if "name" in data else name,
    )


def _neighbours(
    patterns: list[Any], numbers: Mapping[str, int], matches: Callable[[str], list[int]]
) -> list[int]:
    """Numbers of the backends that a frontend names, each once."""
    try:
        return list(dict.fromkeys([numbers[pattern] for pattern in patterns]))
    except (KeyError, TypeError):  # a pattern, or no text
        found: dict[int, None] = {}
        for pattern in patterns:
            matching = matches(_name(pattern))
            _require(bool(matching))
            found |= dict.fromkeys(matching)
        return list(found)


def _backend(entry: Any) -> Backend:
    _require(type(entry) is dict and entry.keys() == _OF_BACKEND)
    return Backend(_name(entry["name"]), _curve(entry["curve"]))


def _curve(entry: Any) -> Curve:
    _require(type(entry) is dict)
    kind = _name(entry.get("type"))
    if kind == TableCurve.type:
        _require(entry.keys() == {"type", "points"})
        return TableCurve(tuple(map(_point, _list(entry["points"]))))
    _require(kind in _CURVES)
    parameters = [field.name for field in fields(_CURVES[kind])]
    _require(entry.keys() == {"type", *parameters})
    return _CURVES[kind](*(_number(entry[name]) for name in parameters))


def _point(pair: Any) -> tuple[float, float]:
    _require(type(pair) is list and len(pair) == len(("N", "rate")))
    return _number(pair[0]), _number(pair[1])


def _work(entry: Any) -> Work:
    _require(type(entry) is dict and {"unit", "mean"} <= entry.keys())
    _require(entry.keys() <= {"unit", "mean", "prefill", "decode"})
    weights = {key: _number(value) for key, value in entry.items() if key != "unit"}
    return Work(_name(entry["unit"]), **weights)


def _list(value: Any) -> list[Any]:
    _require(type(value) is list and bool(value))
    found: list[Any] = value
    return found


def _name(value: Any) -> str:
    if type(value) is str and value.isprintable() and value:
        return value
    raise _NotPlainError


def _number(value: Any) -> float:
    if (type(value) is float and isfinite(value)) or (type(value) is int and abs(value) < _EXACT):
        return float(value)
    raise _NotPlainError


def _require(is_plain: bool) -> None:
    if not is_plain:
        raise _NotPlainError
