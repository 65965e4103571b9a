"""The workload of a backend from its inflow and its price: precise at any load, on any curve."""

import numpy as np
import numpy.typing as npt
import pytest

import isocline
from isocline.model.curves import (
    Curve,
    ExponentialCurve,
    HyperbolicCurve,
    KneeCurve,
    PoolCurve,
    TableCurve,
)
from isocline.model.fleet import Backend, Frontend, RoutingSystem
from isocline.model.graph import CompatibilityGraph
from isocline.model.traffic import PoissonArrivals
from isocline.theory.routing.workloads import workloads

FloatArray = npt.NDArray[np.float64]

# Jobs as shares of the knee, or of the curve's other scale: from nearly empty to nearly full.
AT = np.concatenate([np.geomspace(1e-6, 0.99, 40), np.linspace(1.0, 1.2, 20), [2.0, 10.0, 1e4]])


def recovered(curve: Curve, jobs: FloatArray) -> FloatArray:
    """Workloads found over those that there are, where the price is a number."""
    some = jobs[curve.marginal(jobs) > 1e-290]
    found = workloads([curve] * some.size, curve.rate(some), 1.0 / curve.marginal(some))
    return np.asarray(found / some)


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 2.0, 7.0, 30.0, 100.0, 1e3, 1e4, 1e6])
def test_a_knee_of_any_sharpness_has_its_workload(sharpness: float) -> None:
    found = recovered(KneeCurve(10.0, 4.0, sharpness), 4.0 * AT)
    np.testing.assert_allclose(found, 1.0, rtol=1e-9)


@pytest.mark.parametrize("curve", [HyperbolicCurve(10.0, 4.0), ExponentialCurve(10.0, 4.0)])
def test_closed_forms_have_their_workload(curve: Curve) -> None:
    jobs = 4.0 * AT[AT < 25.0]
    np.testing.assert_allclose(recovered(curve, jobs), 1.0, rtol=1e-9)


@pytest.mark.parametrize("bend", [1e-3, 1e-6, 1e-9, 1e-12])
def test_a_table_that_is_nearly_straight_has_its_workload(bend: float) -> None:
    points = [(n, n - bend * n * n) for n in (1.0, 2.0, 4.0, 8.0)] + [(16.0, 9.0), (32.0, 9.5)]
    jobs = np.linspace(0.1, 30.0, 60)
    np.testing.assert_allclose(recovered(TableCurve(tuple(points)), jobs), 1.0, rtol=1e-9)


def test_a_pool_whose_level_is_that_of_a_sharp_member_has_its_workload() -> None:
    sharp = KneeCurve(10.0, 8.0, 1e4)
    pool = PoolCurve((sharp, TableCurve(((1.0, 3.0), (10.0, 20.0), (12.0, 20.5)))))
    jobs = np.linspace(0.5, 19.0, 40)
    np.testing.assert_allclose(recovered(pool, jobs), 1.0, rtol=1e-9)


@pytest.mark.parametrize("sharpness", [30.0, 100.0, 1e3, 1e4])
@pytest.mark.parametrize("rate", [1.0, 7.0, 9.5, 12.0, 14.9])
def test_the_plan_of_sharp_knees_is_that_of_straight_lines(sharpness: float, rate: float) -> None:
    """In the limit a job takes 0.4 s at the first, up to 10 jobs/s, and 1.6 s at the other."""
    curves = (KneeCurve(10.0, 4.0, sharpness), KneeCurve(5.0, 8.0, sharpness))
    system = RoutingSystem(
        (Frontend("f", PoissonArrivals(rate)),),
        tuple(Backend(name, curve) for name, curve in zip("ab", curves, strict=True)),
        CompatibilityGraph.from_edges(1, 2, [(0, 0), (0, 1)]),
    )
    found = isocline.plan(system)
    straight = 0.4 * min(rate, 10.0) + 1.6 * max(rate - 10.0, 0.0)
    assert found.total_jobs is not None
    assert straight * (1.0 - 1e-9) <= found.total_jobs <= straight * (1.0 + 12.0 / sharpness)
    served = sum(
        float(curve.rate(one.jobs)) for curve, one in zip(curves, found.backends, strict=True)
    )
    assert served == pytest.approx(rate, rel=1e-9)
