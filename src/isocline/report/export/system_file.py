"""Routing systems as system files, which `isocline.load` reads back."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from isocline.model.fleet import RoutingSystem, Work
from isocline.model.systemfile.document import text_of
from isocline.model.traffic import ExponentialSizes, PoissonArrivals


def system_text(system: RoutingSystem) -> str:
    """The text of a system file with this system, whose arrivals are Poisson."""
    return text_of(system_entries(system))


def system_entries(system: RoutingSystem) -> dict[str, Any]:
    """The keys of a system file with this system: backends, frontends with Poisson arrivals."""
    entries: dict[str, Any] = {"kind": "routing", "name": system.name}
    if system.work != Work():
        entries["work"] = {
            "unit": system.work.unit,
            "mean": system.work.mean,
            "prefill": system.work.prefill,
            "decode": system.work.decode,
        }
    if not isinstance(system.sizes, ExponentialSizes):
        entries["sizes"] = {"type": system.sizes.type, **_parameters(system.sizes)}
    entries["backends"] = [
        {
            "name": backend.name,
            "curve": {"type": backend.curve.type, **_plain(backend.curve.parameters())},
        }
        | ({} if backend.url is None else {"url": backend.url})
        for backend in system.backends
    ]
    entries["frontends"] = [
        {
            "name": frontend.name,
            "rate": _rate(frontend.arrivals),
            "backends": [system.backends[b].name for b in system.graph.neighbours(f)],
        }
        for f, frontend in enumerate(system.frontends)
    ]
    return entries


def _rate(arrivals: Any) -> float:
    assert isinstance(arrivals, PoissonArrivals)  # of all that is written here
    return arrivals.rate


def _parameters(made: Any) -> dict[str, Any]:
    return (
        {field.name: getattr(made, field.name) for field in fields(made)}
        if is_dataclass(made)
        else {}
    )


def _plain(value: Any) -> Any:
    """Lists and mappings in place of tuples."""
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value
