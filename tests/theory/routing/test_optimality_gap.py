"""The optimality gap and its parts."""

from dataclasses import replace

import numpy as np
import pytest

from isocline.errors import InfeasibleError, UsageError
from isocline.model.curves import HyperbolicCurve
from isocline.theory.routing.equilibrium import fluid_optimum, plan
from isocline.theory.routing.optimality_gap import Measured, optimality_gap
from tests.builders import fleet, mixed

SYSTEM = mixed()
BEST = fluid_optimum(SYSTEM)
RATES = SYSTEM.rates
INFLOWS = np.array([float(c.rate(n)) for c, n in zip(SYSTEM.curves, BEST.workloads, strict=True)])
OPTIMUM = BEST.total_jobs / RATES.sum()
IDEAL = Measured(RATES, INFLOWS, BEST.workloads, OPTIMUM)


def test_at_the_optimum_there_is_no_gap() -> None:
    gap = optimality_gap(SYSTEM, IDEAL)
    assert gap.ratio == pytest.approx(1.0)
    parts = [gap.misrouted, gap.fluctuation, gap.held, gap.outside, gap.optimum_error]
    assert parts == pytest.approx([0.0] * 5, abs=1e-9)
    assert gap.optimum == pytest.approx(plan(SYSTEM).mean_latency)


def test_parts_add_up_and_each_has_its_cause() -> None:
    shift = np.array([-1.0, 1.0])
    inflows = INFLOWS + shift
    needed = [float(c.workload(a)) for c, a in zip(SYSTEM.curves, inflows, strict=True)]
    measured = Measured(RATES, inflows, np.array(needed) + np.array([0.5, 0.25]), 2.0, held=0.125)
    gap = optimality_gap(SYSTEM, measured)
    total = gap.optimum + gap.misrouted + gap.fluctuation + gap.held + gap.outside
    assert total == pytest.approx(2.0)
    assert gap.misrouted == pytest.approx(sum(needed) / RATES.sum() - OPTIMUM)
    assert gap.misrouted > 0.001
    assert gap.fluctuation == pytest.approx(0.75 / RATES.sum())
    assert gap.ratio == pytest.approx(2.0 / OPTIMUM)


def test_uncertain_curves_make_the_optimum_uncertain() -> None:
    """As finite differences have it: all of one backend's curve, 0.1 % slower."""
    errors = np.array([0.001, 0.0])
    gap = optimality_gap(SYSTEM, replace(IDEAL, curve_errors=errors))
    first, second = SYSTEM.backends
    slower = replace(SYSTEM, backends=(replace(first, curve=first.curve.scaled(0.999)), second))
    changed = fluid_optimum(slower).total_jobs / RATES.sum() - OPTIMUM
    assert gap.optimum_error == pytest.approx(changed, rel=0.02)


def test_stale_counts_cost_more_where_curves_bend() -> None:
    assert optimality_gap(SYSTEM, IDEAL).stale_counts is None
    fresh = optimality_gap(SYSTEM, replace(IDEAL, count_errors=np.zeros(2)))
    stale = optimality_gap(SYSTEM, replace(IDEAL, count_errors=np.array([2.0, 0.0])))
    staler = optimality_gap(SYSTEM, replace(IDEAL, count_errors=np.array([4.0, 0.0])))
    assert fresh.stale_counts == 0.0
    assert stale.stale_counts is not None
    assert staler.stale_counts is not None
    assert 0.0 < 2.0 * stale.stale_counts < staler.stale_counts


def test_an_idle_frontend_is_left_out() -> None:
    system = fleet([HyperbolicCurve(10.0, 5.0)], [1.0, 1.0])
    measured = Measured(np.array([4.0, 0.0]), np.array([4.0]), np.array([10.0 / 3.0]), 1.0)
    assert optimality_gap(system, measured).optimum == pytest.approx(10.0 / 3.0 / 4.0)


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(UsageError, match="no request came"):
        optimality_gap(SYSTEM, replace(IDEAL, rates=np.zeros(2)))
    with pytest.raises(UsageError, match="workloads has shape"):
        optimality_gap(SYSTEM, replace(IDEAL, workloads=np.zeros(3)))
    with pytest.raises(InfeasibleError):
        optimality_gap(SYSTEM, replace(IDEAL, rates=np.array([100.0, 1.0])))


def test_a_peak_that_is_a_little_too_low_makes_no_part_of_any_size() -> None:
    """Of a curve that is doubted, an inflow needs at most the jobs that there were."""
    low = fleet([HyperbolicCurve(20.5, 1.0), HyperbolicCurve(40.0, 4.0)], [30.0])
    measured = Measured(
        np.array([30.0]), np.array([20.4995, 9.5005]), np.array([20.0, 1.25]), 21.25 / 30.0
    )
    believed, doubted = (
        optimality_gap(low, measured, doubtful=doubtful) for doubtful in (False, True)
    )
    assert believed.misrouted > 10.0 > -10.0 > believed.fluctuation
    assert 0.0 <= doubted.fluctuation < doubted.misrouted < measured.latency
    assert doubted.misrouted + doubted.fluctuation == pytest.approx(
        believed.misrouted + believed.fluctuation
    )
