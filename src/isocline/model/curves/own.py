"""Curves of a user's own: made by name, checked against Assumption 1, and tabulated for solvers.

A user's class is plain Python, and solvers are compiled; so they read it as a spline through its
own values, close enough that total jobs at the optimum agree to 1e-8.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from isocline.errors import CurveError
from isocline.model.curves.base import Curve, FloatArray
from isocline.user_code import failures_of, made

# Workloads relative to that of half the capacity. Between the knots the marginal rate is a straight
# line. With 1 % from one workload to the next, and a knot between, it is off by a quarter of
# 0.01^2 / 8 times the relative bend of the marginal rate, which is 6 for a hyperbolic curve: 2e-5,
# and the jobs at the optimum are off by the square of that.
_MAIN = np.geomspace(1e-3, 1e3, 1401)
_TAIL = np.geomspace(1e3, 1e9, 181)[1:]
_LAST = 1e-6  # share of the capacity that the last piece brings
_BEND = 1e-9  # relative: marginal rates this close are one, for a strict bend must survive rounding
_FAR = 1e30  # workload: what is beyond is never reached
_INVERSE = 1e-3  # relative: what an inverse may be off
_SLACK = 1e-6  # relative: what a derivative may be off


def own_curve(name: str, parameters: Mapping[str, Any]) -> Curve:
    """The curve of a user's class `package.module:Class`.

    Raises:
        CurveError: There is no such class, it does not take these parameters, or its functions are
            not those of a service curve.
    """
    curve = made("curve", name, Curve, parameters, CurveError)  # type: ignore[type-abstract]
    require_usable(curve)
    return curve


def require_usable(curve: Curve) -> None:
    """Check a curve of a user's; one that has been checked is not checked again.

    Raises:
        CurveError: It cannot be hashed, or as `require_sound`.
    """
    try:
        hash(curve)
    except TypeError:
        raise CurveError(
            f"curve {curve.type} cannot be hashed; make its class @dataclass(frozen=True)"
        ) from None
    _require_sound_once(curve)


def require_sound(curve: Curve) -> None:
    """Check what can be checked of a curve's functions at sampled workloads.

    Raises:
        CurveError: supremum is no finite number above 0; rate or marginal do not take arrays, or
            are not finite; l(0) is not 0; and of curves that say that they are strictly concave:
            what `knots_of` finds.
    """
    with failures_of(f"curve {curve}: supremum", CurveError):
        top: object = curve.supremum
    if not (isinstance(top, int | float) and 0.0 < top < np.inf):
        raise CurveError(
            f"curve {curve}: supremum is {top!r}; make it a @property, a finite number above 0"
        )
    n = np.array([0.0, 0.5, 1.0, 2.0, 100.0])
    for name in ("rate", "marginal"):
        values = _evaluated(curve, name, n)
        good = np.isfinite(values) & (values >= 0.0)
        if not good.all():
            at = int(np.argmin(good))
            raise CurveError(
                f"curve {curve}: {name}({n[at]:g}) is {values[at]}; it must be finite and >= 0"
            )
    if empty := float(_evaluated(curve, "rate", n[:1])[0]):
        raise CurveError(f"curve {curve}: rate(0) is {empty:g}; an empty backend serves nothing")
    _require_inverses(curve, float(curve.supremum))
    if curve.strictly_concave:
        knots_of(curve)


_require_sound_once = lru_cache(maxsize=1024)(require_sound)


def _require_inverses(curve: Curve, top: float) -> None:
    """`workload` and `workload_at`, where the class has its own, undo `rate` and `marginal`."""
    n = float(Curve.workload(curve, top / 2.0))
    if not (0.0 < n < _FAR and curve.strictly_concave):
        return  # `knots_of` says what is wrong
    for name, known in (("workload", "rate"), ("workload_at", "marginal")):
        if getattr(type(curve), name) is getattr(Curve, name):
            continue
        value = _evaluated(curve, known, np.array([n]))
        found = _evaluated(curve, name, value)[0]
        if not abs(found - n) <= _INVERSE * n:
            raise CurveError(
                f"curve {curve}: {name}({value[0]:g}) is {found:g}, but {known}({n:g}) is "
                f"{value[0]:g}; {name} must be the inverse of {known}, or be left out"
            )


def knots_of(curve: Curve) -> FloatArray:
    """(K, 3) N, rate and marginal rate at the knots of a concave quadratic spline.

    It has the curve's own rates and marginal rates at sampled workloads, and an inner knot between
    two of them, where the marginal rate is the slope of the chord (Schumaker, as in `table`).

    Raises:
        CurveError: rate does not rise to supremum, or marginal does not fall or is not the
            derivative of rate; the message names the workload.
    """
    half = float(curve.workload(curve.supremum / 2.0))
    if not 0.0 < half < _FAR:
        raise CurveError(
            f"curve {curve}: rate never reaches half of supremum, {curve.supremum:g}; "
            "supremum must be the least upper bound of rate"
        )
    x = np.concatenate(([0.0], half * _MAIN, half * _TAIL))
    r, g = _evaluated(curve, "rate", x), _evaluated(curve, "marginal", x)
    if r.max() > curve.supremum * (1.0 + _SLACK):
        raise CurveError(
            f"curve {curve}: rate({x[r.argmax()]:.4g}) is {r.max():g}, above supremum, "
            f"{curve.supremum:g}"
        )
    rises = g[1:] > g[:-1] * (1.0 + _SLACK)
    if rises.any():
        at = int(np.argmax(rises))
        raise CurveError(
            f"curve {curve}: marginal rises from {g[at]:g} at N = {x[at]:.4g} to {g[at + 1]:g} at "
            f"N = {x[at + 1]:.4g}; a service curve is concave (Assumption 1)"
        )
    kept = _kept(r, g, curve.supremum)
    return _spline(curve, x[kept], r[kept], g[kept])


def _kept(r: FloatArray, g: FloatArray, top: float) -> list[int]:
    """The samples that bend, up to where next to nothing of the capacity is missing."""
    kept = [0]
    for i in range(1, r.size):
        if g[i] <= 0.0 or r[i] >= top * (1.0 - _LAST):
            break
        if g[i] < g[kept[-1]] * (1.0 - _BEND):
            kept.append(i)
    return kept


def _spline(curve: Curve, x: FloatArray, r: FloatArray, g: FloatArray) -> FloatArray:
    chord = np.diff(r) / np.diff(x)
    wrong = (chord > g[:-1] * (1.0 + _SLACK)) | (chord < g[1:] * (1.0 - _SLACK))
    if wrong.any():
        at = int(np.argmax(wrong))
        raise CurveError(
            f"curve {curve}: between N = {x[at]:.4g} and {x[at + 1]:.4g} rate grows by "
            f"{chord[at]:g} per job, and marginal says {g[at]:g} to {g[at + 1]:g}; marginal must "
            "be the derivative of rate"
        )
    part = np.clip((chord - g[1:]) / (g[:-1] - g[1:]), 0.05, 0.95)
    inner_x = x[:-1] + part * np.diff(x)
    inner_g = g[1:] + part * (g[:-1] - g[1:])
    inner_r = r[:-1] + part * np.diff(x) * (g[:-1] + inner_g) / 2.0
    # The last piece is one parabola up to the capacity, where its marginal rate is 0.
    missing = curve.supremum - r[-1]
    end = (x[-1] + 2.0 * missing / g[-1], curve.supremum, 0.0)
    knots = np.column_stack((np.r_[x, inner_x], np.r_[r, inner_r], np.r_[g, inner_g]))
    return np.vstack((knots[np.lexsort((-knots[:, 2], knots[:, 0]))], end))


def _evaluated(curve: Curve, name: str, n: FloatArray) -> FloatArray:
    """(n,) a function of the curve at an array."""
    try:
        with failures_of(f"curve {curve}: {name}", CurveError, passing=(TypeError, ValueError)):
            values = np.asarray(getattr(curve, name)(n), dtype=np.float64)
    except (TypeError, ValueError) as problem:
        raise CurveError(
            f"curve {curve}: {name} fails for an array of workloads: {problem}; write it with numpy"
        ) from problem
    if values.shape != n.shape:
        raise CurveError(
            f"curve {curve}: {name} gives shape {values.shape} for {n.size} workloads; it must "
            "give one number for each; write it with numpy"
        )
    return values
