"""Service curves, one per file; `ALL` lists them by their name in system files.

Read `base`, the contract, then any curve; `own` checks those of a user, and `pool` makes one curve
of several.
"""

from isocline.model.curves.base import Curve as Curve
from isocline.model.curves.exponential import ExponentialCurve as ExponentialCurve
from isocline.model.curves.hyperbolic import HyperbolicCurve as HyperbolicCurve
from isocline.model.curves.knee import KneeCurve as KneeCurve
from isocline.model.curves.pool import PoolCurve as PoolCurve
from isocline.model.curves.servers import ServersCurve as ServersCurve
from isocline.model.curves.table import TableCurve as TableCurve

ALL: dict[str, type[Curve]] = {
    curve.type: curve
    for curve in (HyperbolicCurve, ExponentialCurve, KneeCurve, TableCurve, PoolCurve, ServersCurve)
}
