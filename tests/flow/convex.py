"""The same optimum by an independent solver: cvxpy and Clarabel, from the curves' definitions."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from isocline.model.curves import Curve, ExponentialCurve, HyperbolicCurve, KneeCurve, TableCurve
from isocline.model.graph import CompatibilityGraph

if TYPE_CHECKING:
    import cvxpy as cp


def least_jobs(graph: CompatibilityGraph, supply: np.ndarray, curves: Sequence[Curve]) -> float:
    """min sum N_b with the split's inflow a_b <= l_b(N_b), Eq. (1) of the GMSR paper."""
    import cvxpy as cp  # here, as each worker imports all files of tests

    # in units of the mean capacity, or Clarabel's tolerances mean nothing
    unit = float(np.mean([curve.supremum for curve in curves]))
    flow = cp.Variable(graph.edges, nonneg=True)
    first = graph.first
    sent = [cp.sum(flow[first[f] : first[f + 1]]) for f in range(graph.sources)]
    jobs, rules = [], [each == supply[f] / unit for f, each in enumerate(sent)]
    for b, curve in enumerate(curves):
        into = np.flatnonzero(graph.sink == b)
        if into.size:
            workload, more = _jobs(curve.scaled(1.0 / unit), cp.sum(flow[into]))
            jobs.append(workload)
            rules += more
    problem = cp.Problem(cp.Minimize(sum(jobs)), rules)
    problem.solve(solver=cp.CLARABEL)
    return float(problem.value)


def _jobs(curve: Curve, inflow: "cp.Expression") -> tuple["cp.Expression", list["cp.Constraint"]]:
    import cvxpy as cp

    match curve:
        case HyperbolicCurve(peak, half):
            return half * (peak * cp.inv_pos(peak - inflow) - 1.0), []
        case ExponentialCurve(peak, scale):
            return -scale * cp.log(1.0 - inflow / peak), []
        case KneeCurve(peak, knee, sharpness):
            # l/peak = (1 + (N/knee)^-p)^(-1/p), a norm of (1, N/knee) with exponent -p: concave
            share = cp.Variable(nonneg=True)
            rate = peak * cp.pnorm(cp.hstack([1.0, share]), -sharpness)
            return knee * share, [inflow <= rate]
        case TableCurve():
            x, _, slope = curve.knots.T
            parts = cp.Variable(x.size - 1, nonneg=True)
            bend = -np.diff(slope) / np.diff(x)
            rate = slope[:-1] @ parts - 0.5 * cp.sum(cp.multiply(bend, cp.square(parts)))
            return cp.sum(parts), [parts <= np.diff(x), inflow <= rate]
    raise AssertionError(curve)
