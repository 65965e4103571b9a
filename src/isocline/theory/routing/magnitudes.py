"""Magnitudes that double precision cannot plan with: a refusal that names the two ends.

A certificate compares prices to 1e-8 and flows to 1e-12. Numbers that differ by more than twelve
decades leave nothing of the smaller one once they are added, so that no certificate may come of it.
Most such systems are solved all the same; those that are not have a mistake in a unit.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from isocline.errors import NumericalError, UsageError
from isocline.model.fleet import RoutingSystem

_LEAST, _GREATEST = 1e-60, 1e60  # squares of their ratios are still numbers: 1e240
_APART = 1e12  # what a conservation of 1e-12 can still tell apart
_BUSY = 0.9  # of the capacity: about where a curve has bent


class _Value(NamedTuple):
    value: float
    place: str
    unit: str


@contextmanager
def extremes_named(system: RoutingSystem) -> Iterator[None]:
    """Refuse magnitudes beyond what can be squared; blame a failure on those too far apart.

    Raises:
        UsageError: Names what is too large or too small; or, in place of the failure, the two
            that are furthest apart.
    """
    with np.errstate(all="ignore"):
        _require_in_range(system)
    try:
        with np.errstate(all="ignore"):  # the certificate judges
            yield
    except (NumericalError, UsageError, ArithmeticError) as problem:
        if found := _furthest_apart(system):
            low, high = found
            raise UsageError(
                f"{high.place} is {high.value:.3g} {high.unit}, and {low.place} {low.value:.3g}: "
                "too far apart to plan with in double precision; is one of them in another unit, "
                "or a point of a table a mistake?"
            ) from problem
        raise


def _require_in_range(system: RoutingSystem) -> None:
    rates = system.rates[system.rates > 0.0]
    # Of frontends, there may be 10^5.
    usual = bool(((rates >= _LEAST) & (rates <= _GREATEST)).all())
    found_rates = _capacities(system) if usual else _rates(system)
    for found in found_rates + _first_slopes(system):
        if not _LEAST <= found.value <= _GREATEST:
            raise UsageError(
                f"{found.place} is {found.value:.3g} {found.unit}: beyond what can be planned "
                f"with, {_LEAST:g} to {_GREATEST:g}; give it in another unit, or mend it"
            )


def _furthest_apart(system: RoutingSystem) -> tuple[_Value, _Value] | None:
    """The lowest and the highest of the rates, or of the slopes, if too far apart."""
    with np.errstate(all="ignore"):
        pairs = [_ends(values) for values in (_rates(system), _slopes(system)) if values]
    # Also true where a number has overflowed.
    wide = [(low, high) for low, high in pairs if not high.value <= _APART * low.value]
    return wide[0] if wide else None


def _ends(values: list[_Value]) -> tuple[_Value, _Value]:
    return min(values), max(values)


def _capacities(system: RoutingSystem) -> list[_Value]:
    return [
        _Value(backend.curve.supremum, f"the capacity of backend {backend.name}", "jobs/s")
        for backend in system.backends
    ]


def _rates(system: RoutingSystem) -> list[_Value]:
    return _capacities(system) + [
        _Value(float(rate), f"the rate of frontend {frontend.name}", "jobs/s")
        for frontend, rate in zip(system.frontends, system.rates, strict=True)
        if rate > 0.0
    ]


def _slopes(system: RoutingSystem) -> list[_Value]:
    """Jobs/s per job of each backend: of the first job, and on average when it is busy."""
    found = _first_slopes(system)
    for backend in system.backends:
        busy = _BUSY * backend.curve.supremum
        per_job = float(busy / backend.curve.workload(busy))
        found.append(_Value(per_job, f"the rate per job of backend {backend.name} when busy", "/s"))
    return found


def _first_slopes(system: RoutingSystem) -> list[_Value]:
    return [
        _Value(
            float(backend.curve.marginal(0.0)),
            f"the marginal rate of the first job of backend {backend.name}",
            "/s",
        )
        for backend in system.backends
    ]
