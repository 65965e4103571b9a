"""Checks of a user's own arrival processes and job sizes, in which anything may be wrong."""

from functools import cache
from math import isclose, isfinite
from typing import Literal

import numpy as np
import numpy.typing as npt

from isocline.errors import UsageError
from isocline.model.traffic.arrivals import Arrivals
from isocline.model.traffic.sizes import Sizes
from isocline.user_code import failures_of, is_own

FloatArray = npt.NDArray[np.float64]

_is_own = cache(is_own)  # of classes: there may be 10^5 frontends


def require_arrivals(label: str, arrivals: object) -> None:
    """Check what can be checked of an arrival process without sampling it.

    Raises:
        UsageError: It is none, or its rate is no finite number of jobs/s, 0 or more.
    """
    if not isinstance(arrivals, Arrivals):
        raise UsageError(
            f"{label}: arrivals is {arrivals!r}; give a process, such as "
            "isocline.PoissonArrivals(8.0)"
        )
    if not _is_own(type(arrivals)):
        return
    name = f"{label}: {type(arrivals).__name__}.rate"
    with failures_of(name, UsageError):
        rate = arrivals.rate
    if not (isinstance(rate, int | float) and isfinite(rate) and rate >= 0):
        raise UsageError(
            f"{name} is {rate!r}; make it a @property, a finite number of jobs/s, 0 or more"
        )


def rescaled(
    label: str, arrivals: Arrivals, how: Literal["sped_up", "enlarged"], factor: float
) -> Arrivals:
    """`arrivals.sped_up(factor)` or `.enlarged(factor)`.

    Raises:
        UsageError: The process is a user's, and gives something else than arrivals of `factor`
            times its rate.
    """
    if not is_own(type(arrivals)):
        return arrivals.sped_up(factor) if how == "sped_up" else arrivals.enlarged(factor)
    words = "sped_up" if how == "sped_up" else "sped_up (or enlarged)"
    with failures_of(label, UsageError):
        rate = factor * arrivals.rate
        found: object = getattr(arrivals, how)(factor)
        right = isinstance(found, Arrivals) and isclose(found.rate, rate, rel_tol=1e-6)
    if not (right and isinstance(found, Arrivals)):
        gave = f"rate {found.rate:g}" if isinstance(found, Arrivals) else repr(found)
        raise UsageError(
            f"{label}: {words} by {factor:g} gives {gave}; it must give arrivals of rate "
            f"{rate:g} jobs/s"
        )
    return found


def times_of(label: str, arrivals: Arrivals, rng: np.random.Generator, until: float) -> FloatArray:
    """`arrivals.sample(rng, until)`.

    Raises:
        UsageError: It raises, or gives something else than increasing times in [0, until).
    """
    name = f"{label}: {type(arrivals).__name__}.sample"
    with failures_of(name, UsageError):
        times = np.asarray(arrivals.sample(rng, until), dtype=np.float64)
    in_order = times.ndim == 1 and bool((np.diff(times) >= 0.0).all())
    if not in_order or (times.size and not 0.0 <= times[0] <= times[-1] < until):
        raise UsageError(f"{name}(rng, {until:g}) must give increasing times in [0, until), in s")
    return times


def sizes_of(sizes: Sizes, rng: np.random.Generator, count: int) -> FloatArray:
    """`sizes.sample(rng, count)`.

    Raises:
        UsageError: It is a user's, and raises, or gives something else than `count` finite sizes
            above 0.
    """
    if not is_own(type(sizes)):
        return sizes.sample(rng, count)
    name = f"{type(sizes).__name__}.sample"
    with failures_of(f"sizes: {name}", UsageError):
        found = np.asarray(sizes.sample(rng, count), dtype=np.float64)
    if found.shape != (count,) or not (np.isfinite(found) & (found > 0.0)).all():
        raise UsageError(
            f"sizes: {name}(rng, {count}) must give {count} finite sizes above 0, of mean 1"
        )
    return np.ascontiguousarray(found)
