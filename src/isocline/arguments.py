"""Arguments of public functions and classes, checked before anything is done with them.

The annotation of an argument says what kind of thing it is, and a decorator in which range its
number lies:

    @checked(horizon=POSITIVE, replications=at_least(2))
    def simulate(system: RoutingSystem, horizon: float | None = None, replications: int = 10): ...

An annotation that says nothing checkable, such as Any or a callable, is not checked.
"""

import collections.abc
import dataclasses
import difflib
import functools
import inspect
import math
import reprlib
import types
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from os import PathLike
from typing import Any, Literal, NamedTuple, ParamSpec, TypeVar, Union, final, get_args, get_origin

from isocline.errors import UsageError

P = ParamSpec("P")
R = TypeVar("R")


@final
class Range(NamedTuple):
    """Where a number lies."""

    words: str
    holds: Callable[[Any], bool]


POSITIVE = Range("a finite number above 0", lambda value: 0 < value < math.inf)
NOT_NEGATIVE = Range("a finite number, 0 or more", lambda value: 0 <= value < math.inf)
ABOVE_0 = Range("a number above 0", lambda value: value > 0)
SHARE = Range("a number above 0 and below 1, such as 0.01", lambda value: 0 < value < 1)


def at_least(least: int) -> Range:
    """Whole numbers from here on."""
    return Range(f"a whole number, {least} or more", lambda value: value >= least)


def between(least: int, most: int) -> Range:
    """Whole numbers from one to another, both included."""
    words = f"a whole number from {least:,} to {most:,}"
    return Range(words, lambda value: least <= value <= most)


def in_words(words: str) -> Range:
    """Say what to give in other words than the annotation's."""
    return Range(words, lambda _: True)


@final
class Kind(NamedTuple):
    """What an annotation admits."""

    words: str
    holds: Callable[[Any], bool]
    inside: Callable[[str, Any], None] | None = None  # checks the parts, whose names begin so
    is_list: bool = False
    plain: frozenset[type] = frozenset()  # types of which all values are of it, and have no parts


# Where the things come from that a function wants.
_MADE_BY = {
    "RoutingSystem": "a routing system, as isocline.load(path) gives",
    "Cluster": "a system of kind near-data, as isocline.load(path) gives",
    "FleetProblem": "a fleet problem, as isocline.load_fleet(path) gives",
    "Trace": "a trace, as isocline.read_trace(path) gives",
    "BlockTrace": "a trace, as isocline.read_swim(path) gives",
    "FluidPath": "a path, as isocline.fluid(system) gives",
    "Convergence": "constants, as isocline.convergence(system) gives",
    "Failure": "isocline.Failure(backend, time)",
    "Slowdown": "isocline.Slowdown(backend, factor, time)",
    "Delay": "isocline.Delay(travel=..., report=...)",
    "Learning": "isocline.Learning()",
    "RoutingPolicy": "a routing policy",
    "SchedulingPolicy": "a scheduling policy",
    "Rates": "isocline.Rates(local=..., remote=...)",
}


def checked(**ranges: Range) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Check the arguments of each call of a function.

    Args:
        ranges: Of its numbers, by name.

    Raises:
        UsageError: Of a call: an argument is of another kind than its annotation says, or lies
            outside its range, as nan does; the message names it.
        TypeError: Of a call: an argument is unknown or missing, as without this.
    """

    def decorated(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)
        names = [
            p.name
            for p in signature.parameters.values()
            if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        ]
        kinds = {name: _kind_at_top(signature.parameters[name].annotation) for name in names}

        @functools.wraps(function)
        def call(*arguments: P.args, **named: P.kwargs) -> R:
            try:
                given = signature.bind(*arguments, **named).arguments
            except TypeError as problem:
                raise TypeError(_misnamed(str(problem), function, names, named)) from None
            for name in names:
                if name in given:
                    require(name, given[name], kinds[name], ranges.get(name))
            return function(*arguments, **named)

        return call

    return decorated


def require_fields(instance: Any, label: str, **ranges: Range) -> None:
    """Check the fields of a data class, as `checked` does; messages begin with `label`."""
    cls: Any = type(instance)
    for name, kind in _fields_of(cls):
        require(f"{label}: {name}", getattr(instance, name), kind, ranges.get(name))


@functools.cache
def _fields_of(cls: Any) -> list[tuple[str, Kind | None]]:
    annotations: dict[str, Any] = {field.name: field.type for field in dataclasses.fields(cls)}
    return [(name, kind_of(annotation)) for name, annotation in annotations.items()]


def require(name: str, value: Any, kind: Kind | None, within: Range | None = None) -> None:
    """Raise UsageError unless a value is of a kind, and within a range if it is a number."""
    if kind is None:
        return
    if type(value) in kind.plain and (
        within is None or (type(value) in _NUMBERS and within.holds(value))
    ):
        return  # at once: there may be 10^5 frontends
    words = within.words if within and not kind.is_list else kind.words
    fits = kind.holds(value)
    if fits and within and _is_list(value):
        for i, one in enumerate(value):
            require(f"{name}[{i}]", one, _plain(float), within)
    if not fits or (within and is_number(value) and not within.holds(value)):
        raise UsageError(f"{name} {in_one_line(value)}: give {words}")
    if kind.inside:
        kind.inside(name, value)


_NUMBERS = (int, float)


def in_one_line(value: Any) -> str:
    """A value in one short line, for messages."""
    if isinstance(value, Real):
        return str(value)
    return " ".join(reprlib.repr(value).split())


def _misnamed(problem: str, function: Callable[..., Any], names: list[str], named: Any) -> str:
    """The message of a TypeError, with the name that may have been meant."""
    wrong = [name for name in named if name not in names]
    close = difflib.get_close_matches(wrong[0], names, n=1) if wrong else []
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"{function.__name__}(): {problem}{hint}"


MOST_DIGITS = 300
"""Digits of a whole number in a file or a call; no double has more than 309."""


def whole_number(text: str) -> int:
    """Read a whole number of JSON or YAML.

    Raises:
        UsageError: It has more than `MOST_DIGITS` digits: int() refuses thousands of them with
            advice for programmers.
    """
    if len(text) > MOST_DIGITS:
        raise UsageError(f"a number has {len(text):,} digits; give at most {MOST_DIGITS}")
    return int(text)


def numbers(name: str, values: Any) -> Any:
    """An array of float64 of what is given; raises UsageError where that is no numbers."""
    import numpy as np  # noqa: PLC0415 - not for all that check arguments

    try:
        found = np.asarray(values)
    except ValueError:  # rows of several lengths
        found = np.array(None)
    if found.dtype.kind not in "iuf":
        raise UsageError(f"{name} {in_one_line(values)}: give numbers")
    return found.astype(np.float64)


# Kinds


def _kind_at_top(annotation: Any) -> Kind | None:
    """`kind_of`, and of a function that it is one; a policy that is one is checked elsewhere."""
    if get_origin(annotation) is collections.abc.Callable:
        return Kind("a function", callable)
    return kind_of(annotation)


@functools.cache
def kind_of(annotation: Any) -> Kind | None:
    """What an annotation admits; None: anything, as far as can be told."""
    if isinstance(annotation, str):
        return _named(annotation)
    if annotation is None or annotation is types.NoneType:
        return Kind("None", lambda value: value is None, plain=frozenset({types.NoneType}))
    origin = get_origin(annotation)
    if origin in _COMPOSED:
        return _COMPOSED[origin](get_args(annotation))
    return _plain(annotation) if isinstance(annotation, type) else None


def _plain(kind: type) -> Kind | None:
    if kind in (Any, inspect.Parameter.empty) or getattr(kind, "_is_protocol", False):
        return None
    if kind is bool:
        return Kind("True or False", lambda value: type(value).__name__ in ("bool", "bool_"))
    if kind is int:
        return Kind(
            "a whole number", lambda value: _is_number(value, Integral), plain=frozenset({int})
        )
    if kind is float:
        return Kind(
            "a number", lambda value: _is_number(value, Real), plain=frozenset({int, float})
        )
    if kind is str:
        return Kind("a string", lambda value: isinstance(value, str), plain=frozenset({str}))
    words = _MADE_BY.get(kind.__name__, f"a {kind.__name__}")
    return Kind(words, lambda value: isinstance(value, kind))


def _is_number(value: object, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """Whether a value is a real number; True and False are none."""
    return type(value) in _NUMBERS or _is_number(value, Real)


def _named(annotation: str) -> Kind | None:
    """Of classes that are not imported until they are needed: `"Learning | None"`."""
    names = {name.strip() for name in annotation.split("|")}
    if not all(name == "None" or name in _MADE_BY for name in names):
        return None
    words = " or ".join(_MADE_BY[name] for name in sorted(names - {"None"}))
    return Kind(
        words,
        lambda value: (
            (value is None and "None" in names)
            or not names.isdisjoint(base.__name__ for base in type(value).__mro__)
        ),
    )


def _literal(words: tuple[Any, ...]) -> Kind:
    listed = ", ".join(map(str, words))
    return Kind(f"one of {listed}", lambda value: isinstance(value, str) and value in words)


def _path(_: tuple[Any, ...]) -> Kind:
    return Kind("a path", lambda value: isinstance(value, PathLike))


def _mapping(_: tuple[Any, ...]) -> Kind:
    return Kind("a mapping", lambda value: isinstance(value, Mapping))


def _any_of(annotations: tuple[Any, ...]) -> Kind | None:
    kinds = [kind_of(one) for one in annotations]
    known = [kind for kind in kinds if kind is not None]
    if len(known) < len(kinds):
        return None
    words = " or ".join(kind.words for kind in known if kind.words != "None")

    def inside(name: str, value: Any) -> None:
        for kind in known:
            if kind.holds(value) and kind.inside:
                kind.inside(name, value)

    plain = frozenset[type]().union(*(kind.plain for kind in known))
    return Kind(words, lambda value: any(kind.holds(value) for kind in known), inside, plain=plain)


def _is_list(value: object) -> bool:
    sized = isinstance(value, collections.abc.Iterable) and hasattr(value, "__len__")
    return sized and not isinstance(value, str | bytes | Mapping)


def _list(annotations: tuple[Any, ...]) -> Kind | None:
    of = kind_of(annotations[0])
    if of is None:
        return None

    def inside(name: str, values: Any) -> None:
        for i, value in enumerate(values):
            require(f"{name}[{i}]", value, of)

    return Kind(f"a list, each entry {of.words}", _is_list, inside, is_list=True)


def _row(arguments: tuple[Any, ...]) -> Kind | None:
    kinds = [kind_of(one) for one in arguments]
    if arguments[-1:] == (Ellipsis,):
        return _list(arguments)
    if None in kinds:
        return None
    known = [kind for kind in kinds if kind is not None]

    def inside(name: str, values: Any) -> None:
        for i, (value, kind) in enumerate(zip(values, known, strict=True)):
            require(f"{name}[{i}]", value, kind)

    words = f"a tuple of {' and '.join(kind.words for kind in known)}"
    return Kind(words, lambda value: _is_list(value) and len(value) == len(known), inside)


_COMPOSED: dict[Any, Callable[[tuple[Any, ...]], Kind | None]] = {
    Union: _any_of,
    types.UnionType: _any_of,
    Literal: _literal,
    tuple: _row,
    list: _list,
    collections.abc.Sequence: _list,
    collections.abc.Iterable: _list,
    PathLike: _path,
    collections.abc.Mapping: _mapping,
}
