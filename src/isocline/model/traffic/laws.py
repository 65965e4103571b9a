"""Arrival laws in one word, as on the command line: `gamma:cv=3`, whatever the rate is.

One's own is `package.module:Class:key=value,...`.
"""

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

from isocline.errors import UsageError
from isocline.model.traffic.arrivals import Arrivals, PoissonArrivals
from isocline.model.traffic.batches import BatchArrivals
from isocline.model.traffic.modulated import MarkovModulatedArrivals
from isocline.model.traffic.own import rescaled
from isocline.model.traffic.renewal import GammaArrivals, WeibullArrivals
from isocline.user_code import failures_of, is_name, made, value_of

LawAt = Callable[[float], Arrivals]
"""The process of a law at a rate, jobs/s."""

EXAMPLES = (
    "poisson, gamma:cv=3, weibull:shape=0.5, batch:size=10, batch:size=4,law=fixed, "
    "mmpp:rates=1/10,durations=60/6; your own is named package.module:Class:key=value,..."
)


def arrival_law(text: str) -> LawAt:
    """The law that a word names; rates of `mmpp`, and of one's own class, are relative.

    Raises:
        UsageError: The law is unknown, an option is unknown, missing or no number; the law itself
            checks the options when it is given a rate. Of one's own class: there is none of this
            name, it does not take these options, or has no rate.
    """
    if is_name(":".join(text.split(":", 2)[:2])) and text.partition(":")[0] not in _LAWS:
        return _own(text)
    name, options = options_of("arrivals", text, EXAMPLES)
    if name not in _LAWS:
        raise UsageError(f"arrivals {text!r}: unknown law {name!r}; examples: {EXAMPLES}")
    needed, known, make = _LAWS[name]
    wrong = [key for key in options if key not in known] or [k for k in needed if k not in options]
    if wrong:
        problem = "missing" if wrong[0] in needed else "unknown"
        raise UsageError(f"arrivals {text!r}: {wrong[0]} is {problem}; examples: {EXAMPLES}")
    try:
        return make(options)
    except ValueError as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"arrivals {text!r}: give numbers; examples: {EXAMPLES}") from None


def options_of(what: str, text: str, examples: str) -> tuple[str, dict[str, str]]:
    """The name of a law and its options, from `name:key=value,...`.

    Raises:
        UsageError: An option has no value, or is there twice; the message begins with `what`.
    """
    name, colon, rest = text.partition(":")
    options: dict[str, str] = {}
    for part in rest.split(",") if colon else []:
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not key:
            raise UsageError(f"{what} {text!r}: an option is missing; examples: {examples}")
        if not equals:
            raise UsageError(f"{what} {text!r}: {part!r} has no value; examples: {examples}")
        if key in options:
            raise UsageError(f"{what} {text!r}: {key} is given twice; keep one")
        options[key] = value
    return name.strip(), options


def _own(text: str) -> LawAt:
    """A user's class derived from `Arrivals`, made larger or smaller until it has the rate."""
    module, name, *rest = text.split(":", 2)
    _, given = options_of("arrivals", ":".join((name, *rest)), EXAMPLES)
    values = {key: value_of(word) for key, word in given.items()}
    process = made("arrivals", f"{module}:{name}", Arrivals, values, UsageError)  # type: ignore[type-abstract]
    with failures_of(f"arrivals {text!r}", UsageError):
        usable = isfinite(process.rate) and process.rate > 0
    if not usable:
        raise UsageError(
            f"arrivals {text!r}: rate is {process.rate}; it must be a finite number of jobs/s "
            "above 0, to be scaled to that of each frontend"
        )
    return lambda rate: _at(process, rate, text)


def _at(process: Arrivals, rate: float, text: str) -> Arrivals:
    """A user's process at another rate; raises UsageError where that is not what it gives."""
    return rescaled(f"arrivals {text!r}", process, "enlarged", rate / process.rate)


def _gamma(options: Mapping[str, str]) -> LawAt:
    cv = float(options["cv"])
    return lambda rate: GammaArrivals(rate, cv)


def _weibull(options: Mapping[str, str]) -> LawAt:
    shape = float(options["shape"])
    return lambda rate: WeibullArrivals(rate, shape)


def _batch(options: Mapping[str, str]) -> LawAt:
    size, law = float(options["size"]), options.get("law", "geometric")
    return lambda rate: BatchArrivals(rate, size, law)  # type: ignore[arg-type]  # which it checks


def _mmpp(options: Mapping[str, str]) -> LawAt:
    rates = tuple(float(rate) for rate in options["rates"].split("/"))
    durations = tuple(float(mean) for mean in options["durations"].split("/"))
    relative = MarkovModulatedArrivals(rates, durations)
    return lambda rate: relative.enlarged(rate / relative.rate)


def _poisson(_: Mapping[str, str]) -> LawAt:
    return PoissonArrivals


_LAWS: dict[str, tuple[tuple[str, ...], tuple[str, ...], Callable[[Any], LawAt]]] = {
    "poisson": ((), (), _poisson),
    "gamma": (("cv",), ("cv",), _gamma),
    "weibull": (("shape",), ("shape",), _weibull),
    "batch": (("size",), ("size", "law"), _batch),
    "mmpp": (("rates", "durations"), ("rates", "durations"), _mmpp),
}
"""Options that a law needs, those that it knows, and how it is made."""
