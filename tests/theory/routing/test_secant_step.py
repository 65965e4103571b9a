"""The fluid of `gmsr_secant`: where it rests, and how a burst drains on the way."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isocline.errors import UsageError
from isocline.model.curves import Curve, ExponentialCurve, HyperbolicCurve, KneeCurve
from isocline.model.systemfile import load
from isocline.theory.routing.equilibrium import fluid_optimum
from isocline.theory.routing.inclusion import fluid
from isocline.theory.routing.secant_step import SecantStepper
from tests.builders import fleet

EXAMPLES = Path(__file__).parents[3] / "examples"

curves = st.one_of(
    st.builds(HyperbolicCurve, st.floats(5.0, 50.0), st.floats(1.0, 20.0)),
    st.builds(ExponentialCurve, st.floats(5.0, 50.0), st.floats(2.0, 20.0)),
    st.builds(KneeCurve, st.floats(5.0, 50.0), st.floats(2.0, 20.0), st.floats(1.0, 3.0)),
)


@given(st.lists(curves, min_size=2, max_size=4), st.floats(0.1, 0.9))
@settings(max_examples=30)
def test_it_rests_at_the_optimum_and_nowhere_else(found: list[Curve], load_: float) -> None:
    """Where m is N prices are 1 / l', which tie at the optimum of Eq. (1) alone."""
    system = fleet(found, [load_ * sum(curve.supremum for curve in found)])
    best = fluid_optimum(system)
    stepper = SecantStepper(system.graph, system.rates, system.curves)
    served = np.array([float(c.rate(n)) for c, n in zip(found, best.workloads, strict=True)])
    at_best = stepper.begin(best.workloads, served)
    gain = stepper.gain(at_best)
    used = best.workloads > 1e-3
    assert gain[used] == pytest.approx(gain.max(), rel=1e-4)
    # Prices of any other split with the same throughput do not tie.
    moved = served.copy()
    moved[0] *= 0.9
    moved[1] += 0.1 * served[0]
    if served.min() > 1e-3 and all(
        a < 0.999 * c.supremum for a, c in zip(moved, found, strict=True)
    ):
        jobs = np.array([float(c.workload(a)) for c, a in zip(found, moved, strict=True)])
        other = stepper.gain(stepper.begin(jobs, moved))
        assert other.min() < other.max() * (1.0 - 1e-4)


@pytest.mark.parametrize("start", [None, {"b1": 5.0}, {"b2": 30.0}])
def test_from_any_start_it_comes_to_the_optimum(start: dict[str, float] | None) -> None:
    path = fluid(load(EXAMPLES / "n_model.yaml"), start=start, policy="gmsr_secant")
    assert path.equilibrium is not None
    assert path.workloads[-1] == pytest.approx(path.equilibrium, rel=1e-3, abs=1e-3)


def test_a_burst_drains_sooner_than_under_gmsr() -> None:
    # Far above rest GMSR prefers the first, whose rate still grows, to the second, twice as fast.
    pair = [HyperbolicCurve(20.0, 50.0), HyperbolicCurve(40.0, 5.0)]
    calm, rush = fleet(pair, [12.0]), fleet(pair, [150.0])
    left = {
        policy: np.trapezoid(path.total_jobs, path.times)
        for policy in ("gmsr", "gmsr_secant")
        for path in [
            fluid(calm, horizon=20.0, step=0.5, policy=policy, changes=[(5.0, rush), (7.0, calm)])
        ]
    }
    assert left["gmsr_secant"] < 0.97 * left["gmsr"]


def test_a_lower_tolerance_is_nearer_to_the_path() -> None:
    """With one state at the end: many make steps so short that no tolerance matters."""
    system = fleet([HyperbolicCurve(20.0, 50.0), HyperbolicCurve(40.0, 5.0)], [12.0])
    paths = [
        fluid(system, horizon=1.0, step=1.0, policy="gmsr_secant", tolerance=tolerance)
        for tolerance in (1e-1, 1e-3, 1e-4)
    ]
    assert paths[0].steps < paths[1].steps < paths[2].steps
    true = paths[2].workloads[-1]
    coarse, usual = (float(np.abs(it.workloads[-1] - true).sum()) for it in paths[:2])
    assert usual <= 1e-3 * true.sum()
    assert coarse <= 1e-1 * true.sum()
    assert usual < coarse


def test_a_policy_without_a_fluid_is_refused() -> None:
    with pytest.raises(UsageError, match="policy 'jsq' has no fluid here; give one of gmsr"):
        fluid(load(EXAMPLES / "n_model.yaml"), policy="jsq")
