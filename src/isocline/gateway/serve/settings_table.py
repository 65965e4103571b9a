"""Tables of the serving settings for the documentation, generated from their definitions.

`python -m isocline.gateway.serve.settings_table docs/settings.md` replaces the tables in that page.
"""

import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import is_dataclass
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from pydantic.fields import FieldInfo

from isocline.errors import UsageError
from isocline.learn import Learning
from isocline.model.systemfile.backend_schema import BackendServing
from isocline.model.systemfile.discovery_schema import (
    AdminEntry,
    DiscoverEntry,
    DnsEntry,
    EndpointMatch,
    FilesEntry,
    KubernetesEntry,
    TemplateEntry,
)
from isocline.model.systemfile.record import Record, record_of
from isocline.model.systemfile.schema import FrontendEntry
from isocline.model.systemfile.serving_schema import (
    CAN_BE_OFF,
    ControlEntry,
    LearnEntry,
    ResidencyEntry,
    ServeEntry,
)

_BEGIN = (
    "<!-- Made by `python -m isocline.gateway.serve.settings_table docs/settings.md` from "
    "isocline.model.serving_settings and systemfile.serving_schema; do not edit it here. -->"
)
_END = "<!-- End of the tables -->"
# Nested records whose keys have rows of their own.
_GROUPS = (
    LearnEntry,
    ControlEntry,
    ResidencyEntry,
    DnsEntry,
    FilesEntry,
    KubernetesEntry,
    AdminEntry,
    EndpointMatch,
)
_OF_TEMPLATES = ("match", "frontends", "name", "url")
_KINDS = {float: "number", int: "whole number", str: "text", bool: "`true` or `false`"}


def replaced(page: str) -> str:
    """Return a page with its tables replaced by current ones.

    Raises:
        UsageError: The page has no such tables.
    """
    before, begin, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        raise UsageError(f"the page has no tables to replace; add the lines {_BEGIN} and {_END}")
    return f"{before}{_BEGIN}\n\n{tables()}\n\n{_END}{after}"


def tables() -> str:
    """Return the tables in Markdown: keys of a backend, a frontend, `serve` and `discover`."""
    parts: list[tuple[str, type[Record], Iterable[str]]] = [
        ("Keys of a backend", BackendServing, BackendServing.model_fields),
        ("Keys of a frontend", FrontendEntry, ("match", "resend_unanswered")),
        ("Keys of `serve`", ServeEntry, ServeEntry.model_fields),
        ("Keys of an entry of `discover`", DiscoverEntry, DiscoverEntry.model_fields),
        ("Keys of a template, beside those of a backend", TemplateEntry, _OF_TEMPLATES),
    ]
    return "\n\n".join(f"{title}:\n\n{_table(record, names)}" for title, record, names in parts)


def _table(record: type[Record], names: Iterable[str]) -> str:
    rows = [("key", "", "value", "default"), ("---",) * 4, *_rows(record, names)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _rows(record: type[Record], names: Iterable[str]) -> Iterator[tuple[str, str, str, str]]:
    hints = get_type_hints(record)
    for name in names:
        field = record.model_fields[name]
        kind = _given_type(hints[name])
        members: Mapping[str, FieldInfo] = {}
        if isinstance(kind, type) and is_dataclass(kind):
            members = record_of(kind).model_fields
        elif kind in _GROUPS:
            members = kind.model_fields
        yield _row(name, field, field.get_default(call_default_factory=True))
        for key, member in members.items():
            default = member.default
            if kind is LearnEntry and default is None:
                default = getattr(Learning(), key, None)
            yield _row(f"{name}.{key}", member, default)


def _row(name: str, field: FieldInfo, default: Any) -> tuple[str, str, str, str]:
    return f"`{name}`", str(field.description), _value(field), _default(name, field, default)


def _given_type(hint: Any) -> Any:
    """Type of a setting's value, without the None of optional ones."""
    kinds = [kind for kind in get_args(hint) if kind is not NoneType]
    return kinds[0] if len(kinds) == 1 and NoneType in get_args(hint) else hint


def _value(field: FieldInfo) -> str:
    """Type, bounds and unit in words."""
    bounds, kind = list(field.metadata), _given_type(field.annotation)
    while get_origin(kind) is Annotated:
        kind, *more = get_args(kind)
        bounds += [each for it in more for each in getattr(it, "metadata", [it])]
    if get_origin(kind) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(kind))
    if kind not in _KINDS:
        return "list" if get_origin(kind) is list else ""
    found = {
        name: getattr(bound, name)
        for bound in bounds
        for name in ("gt", "ge", "lt", "le")
        if hasattr(bound, name)
    }
    what = _unit(field) or _KINDS[kind]
    if found.keys() == {"ge", "le"}:
        return f"{what}, {found['ge']:g} to {found['le']:g}"
    words = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
    return ", ".join([what, *(f"{words[name]} {bound:g}" for name, bound in found.items())])


def _default(name: str, field: FieldInfo, value: Any) -> str:
    if value is None:
        can_be_off = name in CAN_BE_OFF and field is ServeEntry.model_fields[name]
        return "off" if can_be_off else "none"
    if isinstance(value, list | tuple):
        return ", ".join(f"`{getattr(it, 'address', it)}`" for it in value) or "none"
    if isinstance(value, bool | str):
        return f"`{value}`" if isinstance(value, str) else f"`{value}`".lower()
    if isinstance(value, int | float):
        return _amount(value, _unit(field)) if math.isfinite(value) else "none"
    return "needed" if field.is_required() else ""


def _amount(value: float, unit: str) -> str:
    for size, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if unit == "bytes" and value % size == 0:
            return f"{value // size} {name}"
    number = f"{value:.10g}".replace("e-0", "e-")
    return f"{number} s" if unit == "s" else number


def _unit(field: FieldInfo) -> str:
    extra = field.json_schema_extra
    return str(extra.get("unit", "")) if isinstance(extra, dict) else ""


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(replaced(path.read_text(encoding="utf-8")), encoding="utf-8")
