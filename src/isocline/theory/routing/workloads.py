"""Workload at which a backend serves a given inflow."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from isocline.model.curves import ALL, Curve
from isocline.model.curves import ExponentialCurve as Exponential
from isocline.model.curves import HyperbolicCurve as Hyperbolic
from isocline.model.curves import KneeCurve as Knee
from isocline.model.curves import PoolCurve as Pool
from isocline.model.curves import TableCurve as Table

FloatArray = npt.NDArray[np.float64]
MaskArray = npt.NDArray[np.bool_]

_HALF = 0.5  # share of the capacity up to which the inflow tells N of any smooth curve well
_ROUNDING = 1e-9  # relative: far above that of doubles, and far below what is visible


def workloads(curves: Sequence[Curve], inflow: FloatArray, price: FloatArray) -> FloatArray:
    """(B,) jobs N with l(N) = inflow and 1/l'(N) = price, which must agree.

    From the inflow or from the price, whichever tells N more precisely: at a load of 1 - 1e-9 the
    inflow tells N to seven digits only, and near an empty backend the price tells nothing. Where a
    curve is straight, as that of `servers` is, a sharp knee below its bend or a table of points on
    one line, one price holds for many N: the inflow tells N at any load. So it does in a pool while
    its level is that of such a member.

    Args:
        curves: The service curves.
        inflow: (B,) jobs/s.
        price: (B,) seconds.
    """
    found = np.empty(len(curves))
    for kind in {type(curve) for curve in curves}:
        at = np.array([b for b, curve in enumerate(curves) if type(curve) is kind])
        some = [curves[b] for b in at]
        capacity = np.array([curve.supremum for curve in some])
        q = np.minimum(inflow[at] / capacity, 1.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            by_share = _by_share(kind, some, q)
            # A user's own: prices are those of its spline.
            if kind not in ALL.values() or not some[0].strictly_concave:
                found[at] = by_share
            else:
                by_price = _by_price(kind, some, price[at])
                found[at] = np.where(_price_tells_more(kind, some, q), by_price, by_share)
    return np.maximum(found, 0.0)


def _column(curves: Sequence[Curve], name: str) -> FloatArray:
    return np.array([getattr(curve, name) for curve in curves])


def _price_tells_more(kind: type[Curve], curves: Sequence[Curve], q: FloatArray) -> MaskArray:
    """(B,) whether a rounding of the price moves N by less than one of the inflow does, about.

    By dN = d(1/price) / l'' and dN = d(inflow) / l', relative errors alike, that is l'^2 < l |l''|,
    which holds from a share q of the capacity on: 1/3 for hyperbolic curves, 1/2 for exponential
    ones. For a knee, with z - 1 = (N/knee)^p, it is z - 1 > 1/p or so, and q^p = (z - 1)/z. A table
    has one l'' for each piece.
    """
    if kind is Knee:
        p = _column(curves, "sharpness")
        return np.asarray(p * np.log(q) > -np.log1p(p))
    if kind is Table:
        return np.array([_bends(curve, share) for curve, share in zip(curves, q, strict=True)])
    if kind is Pool:
        return np.array([_moves_less(curve, share) for curve, share in zip(curves, q, strict=True)])
    return q > _HALF


def _bends(curve: Curve, share: float) -> bool:
    """Whether l'^2 < l |l''| where a table serves this share of its peak."""
    assert isinstance(curve, Table)
    x, r, g = curve.knots.T
    rate = share * curve.supremum
    i = min(int(np.searchsorted(r, rate, side="right")) - 1, x.size - 2)
    bend = (g[i] - g[i + 1]) / (x[i + 1] - x[i])
    square = max(g[i] ** 2 - 2.0 * bend * (rate - r[i]), 0.0)  # of l' there
    return bool(square < rate * bend)


def _moves_less(curve: Curve, share: float) -> bool:
    """Whether N moves less with the price than with the inflow where a curve serves this share."""
    if share <= _HALF:
        return False
    around = np.array([1.0 - _ROUNDING, 1.0 + _ROUNDING])
    rate = share * curve.supremum
    marginal = float(curve.marginal(curve.workload(rate)))
    by_price, by_share = curve.workload_at(marginal * around), curve.workload(rate * around)
    return bool(np.ptp(by_price) < np.ptp(by_share))


def _by_share(kind: type[Curve], curves: Sequence[Curve], q: FloatArray) -> FloatArray:
    if kind is Hyperbolic:
        return np.asarray(_column(curves, "half") * q / (1.0 - q))
    if kind is Exponential:
        return np.asarray(-_column(curves, "scale") * np.log1p(-q))
    if kind is Knee:
        p = _column(curves, "sharpness")
        return np.asarray(_column(curves, "knee") * q * (-np.expm1(p * np.log(q))) ** (-1.0 / p))
    pairs = zip(curves, q, strict=True)
    return np.array([float(curve.workload(share * curve.supremum)) for curve, share in pairs])


def _by_price(kind: type[Curve], curves: Sequence[Curve], price: FloatArray) -> FloatArray:
    if kind is Hyperbolic:
        half, peak = _column(curves, "half"), _column(curves, "peak")
        return np.asarray(np.sqrt(peak * half * price) - half)
    if kind is Exponential:
        scale, peak = _column(curves, "scale"), _column(curves, "peak")
        return np.asarray(scale * np.log(peak / scale * price))
    if kind is Knee:
        p, knee, peak = (_column(curves, name) for name in ("sharpness", "knee", "peak"))
        over = np.log(peak / knee * price) * p / (p + 1.0)
        return np.asarray(knee * np.expm1(np.maximum(over, 0.0)) ** (1.0 / p))
    pairs = zip(curves, price, strict=True)
    return np.array([float(curve.workload_at(1.0 / each)) for curve, each in pairs])
