"""Validation errors of pydantic, reworded for people who edit YAML: the value and the remedy."""

import difflib
import re
import reprlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NoReturn

from isocline.model import curves
from isocline.model.systemfile.document import Document, Field, value_at
from isocline.model.traffic import sizes

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

# By the key under which a typed record stands.
TYPES: dict[str, Iterable[str]] = {
    "curve": curves.ALL,
    "member": curves.ALL,
    "sizes": sizes.ALL,
    "patience": sizes.ALL,
    "service": (*sizes.ALL, "recorded"),
    "arrivals": ("poisson", "piecewise", "gamma", "weibull", "batch", "mmpp", "trace"),
}
# One for each of them; a test reads them all.
EXAMPLES = {
    "curve": "{type: hyperbolic, peak: 40, half: 12}",
    "member": "{type: hyperbolic, peak: 40, half: 12}",
    "sizes": "{type: lognormal, cv: 2}",
    "patience": "{type: exponential, mean: 2}",
    "service": "{type: lognormal, cv: 1.5}",
    "arrivals": "{type: gamma, rate: 4, cv: 2}",
}
_MAPPING = "give a mapping, as {key: value}"
_REMEDIES = {
    "finite_number": "give a finite number",
    "string_type": "give text; put quotes around what YAML reads as something else",
    "string_too_short": "give at least one character",
    "list_type": "give a list, as [a, b]",
    "dict_type": _MAPPING,
    "model_type": _MAPPING,
    "model_attributes_type": _MAPPING,
}


def report(document: Document, error: "ErrorDetails") -> NoReturn:
    """Raise SystemFileError for an error of pydantic."""
    field = _without_tags(error["loc"], document.data)
    context = error.get("ctx", {})
    match error["type"]:
        case "unknown_key":
            key = context["key"]
            document.fail((*field, key), f"is an unknown key; {choice(key, context['known'])}")
        case "missing":
            document.fail(field, "is missing; add it")
        case "union_tag_not_found":
            known = ", ".join(TYPES[_noun(field)])
            glued = _glued(error["input"])
            document.fail((*field, "type"), f"is missing; {glued or f'add one of: {known}'}")
        case "union_tag_invalid":
            noun, tag = _noun(field), context["tag"]
            known = choice(tag, TYPES[noun])
            own = (
                ""
                if noun in ("service", "patience")
                else "; your own is named package.module:Class"
            )
            document.fail((*field, "type"), f"unknown {noun} type {tag!r}; {known}{own}")
        case "model_type" | "model_attributes_type" if field and _noun(field) in EXAMPLES:
            found = reprlib.repr(error["input"])
            document.fail(field, f"is {found}; give a mapping, as {EXAMPLES[_noun(field)]}")
        case "said":
            # Of values that do not fit together: the message of their group begins with its key.
            document.fail(field, error["msg"].removeprefix(f"{field[-1]}: " if field else ""))
        case _:
            document.fail(field, _plain(error, context, str(field[-1]) if field else ""))


def _glued(found: Any) -> str | None:
    """The remedy for {type:knee}, whose only key YAML takes to be `type:knee`."""
    keys = found if isinstance(found, dict) else ()
    glued = [key for key in keys if isinstance(key, str) and re.match(r"\w+:\S", key)]
    return f"put a space after the colon of {glued[0]!r}, as in {{type: knee}}" if glued else None


def choice(found: object, known: Iterable[str]) -> str:
    """Return the likely intention and the known names."""
    names = list(known)
    near = difflib.get_close_matches(str(found), names, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    more = f", ... ({len(names)} in all)" if len(names) > 12 else ""
    return f"{hint}known: {', '.join(names[:12])}{more}"


def _noun(field: Field) -> str:
    """Return the noun for a field: `member` for members[3]."""
    named = next(part for part in reversed(field) if isinstance(part, str))
    return named if named == field[-1] else named.removesuffix("s")


def _plain(error: "ErrorDetails", context: dict[str, Any], key: str) -> str:
    """Return value and remedy for an error that concerns one value."""
    match error["type"]:
        case "too_short" if key == "backends" and len(error["loc"]) > 1:
            remedy = "the frontend has no backend; name at least one"
        case "too_short" if context["min_length"] == 1:
            remedy = f"give at least one of the {key}"
        case "too_short" | "too_long":
            remedy = "give a pair of two numbers, as [10, 3.5]"
        case "greater_than":
            remedy = f"give a number above {context['gt']:g}"
        case "greater_than_equal":
            remedy = f"give a number of at least {context['ge']:g}"
        case "less_than_equal":
            remedy = f"give a number of at most {context['le']:g}"
        case "float_type":
            remedy = _bare_number(error["input"], "a number")
        case "int_type":
            remedy = _bare_number(error["input"], "a whole number")
        case "string_pattern_mismatch" if context["pattern"] == "^/":
            remedy = "begin it with a slash, as /v1"
        case "string_pattern_mismatch":
            remedy = "give text without control characters"
        case "literal_error":
            remedy = f"give {context['expected']}"
        case kind:
            remedy = _REMEDIES.get(kind, error["msg"])
    return f"is {reprlib.repr(error['input'])}; {remedy}"


_SECONDS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_MULTIPLES = ("k", "K", "M", "G", "T", "Ki", "Mi", "Gi")
_WITH_UNIT = re.compile(r"([-+]?[\d_]*\.?\d+(?:[eE][-+]?\d+)?)\s*([^\d.,].*)?")


def _bare_number(found: object, wanted: str) -> str:
    """Return the remedy for a value that is not a number: the number in it, if it has one."""
    match = _WITH_UNIT.fullmatch(found.strip()) if isinstance(found, str) else None
    if match is None:
        return f"give {wanted}"
    number = match[1].replace("_", "")
    if number == found:
        return f"give {wanted}, without quotes: {number}"
    if (unit := match[2]) in _MULTIPLES:  # of what unit is not known here
        return f"give {wanted} and nothing else, in the unit of the documentation"
    if unit in _SECONDS:
        return f"give {wanted} and nothing else, in s: {float(number) * _SECONDS[unit]:g}"
    return f"give {wanted} and nothing else, in the unit of the documentation: {number}"


def _without_tags(location: Field, data: Any) -> Field:
    """Remove the types' names, which pydantic adds to the location of a record chosen by type."""
    field: list[str | int] = []
    tagged = False  # the record at hand; a field may be called as its type: the knee of a knee
    for part in location:
        is_tag = isinstance(data, dict) and data.get("type") == part
        if is_tag and not tagged:
            tagged = True
            continue
        tagged = False
        field.append(part)
        data = value_at(data, part)
    return tuple(field)
