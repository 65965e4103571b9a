"""The two phases of Theorem 3: fits of made-up paths whose slopes are known, and of real ones."""

import dataclasses
import json
import math

import numpy as np
import pytest

from isocline.errors import UsageError
from isocline.model.curves import HyperbolicCurve
from isocline.theory.routing.convergence import convergence
from isocline.theory.routing.convergence_phases import approach, time_to
from isocline.theory.routing.fluid_path import FluidPath
from isocline.theory.routing.inclusion import fluid
from tests.builders import fleet, mixed

RATE = 0.3  # 1/s


def single() -> tuple[FluidPath, float]:
    """Backend b0 with N* = 1: jobs above it fall at 2 jobs/s to 5, then exponentially."""
    system = fleet([HyperbolicCurve(2.0, 1.0)], [1.0])
    times = np.concatenate((np.linspace(0.0, 10.0, 21), 10.0 + np.geomspace(0.01, 60.0, 200)))
    above = np.where(times <= 10.0, 25.0 - 2.0 * times, 5.0 * np.exp(-RATE * (times - 10.0)))
    path = fluid(system, horizon=1.0)
    made = dataclasses.replace(
        path, times=times, workloads=1.0 + above[:, None], lyapunov=above, tolerance=1e-9
    )
    return made, 10.0


def test_time_to_is_read_off_the_path() -> None:
    path, turn = single()
    expected = [turn, turn + math.log(5.0 / 0.5) / RATE]
    assert time_to(path, [5.0, 0.5]) == pytest.approx(expected, rel=1e-6)
    assert time_to(path, 100.0) == 0.0
    assert time_to(path, 1e-12) == math.inf


def test_time_to_is_the_last_crossing_not_the_first() -> None:
    path, _ = single()
    total = path.workloads.copy()
    total[5] = 1.0  # crosses the optimum on its way
    crossing = dataclasses.replace(path, workloads=total)
    assert time_to(crossing, 0.5) == pytest.approx(float(time_to(path, 0.5)))


def test_both_phases_are_fitted_with_their_slopes() -> None:
    path, turn = single()
    system = fleet([HyperbolicCurve(2.0, 1.0)], [1.0])
    constants = convergence(system)
    # l' = 2/(N+1)^2 is 1/2 at N* = 1; kappa is 1/4, where N~ = sqrt 8 - 1: 1.83 above N*
    found = approach(path, constants)
    inside = turn + math.log(5.0 / (math.sqrt(8.0) - 2.0)) / RATE
    assert found.entered == pytest.approx(inside, rel=0.05)
    assert found.exponential is not None
    assert found.exponential.slope == pytest.approx(-RATE, rel=1e-9)
    assert found.exponential.r_squared == pytest.approx(1.0)
    assert found.delta == pytest.approx(25.0)
    start = approach(
        dataclasses.replace(path, times=path.times[:21], workloads=path.workloads[:21],
                            lyapunov=path.lyapunov[:21]), constants,
    )  # fmt: skip
    assert start.linear is not None
    assert start.linear.slope == pytest.approx(-2.0, rel=1e-9)
    assert start.linear.r_squared == pytest.approx(1.0)
    assert start.exponential is None
    assert start.entered == math.inf


def test_a_real_path_drains_at_the_spare_capacity_and_ends_at_the_lowest_marginal_rate() -> None:
    system = fleet([HyperbolicCurve(2.0, 1.0)], [1.0])
    constants = convergence(system)
    path = fluid(system, start=[500.0], tolerance=1e-4)
    found = approach(path, constants)
    assert found.linear is not None
    assert found.exponential is not None
    # far out l = 2, so 1 job/s is spare; on average over the phase a little less
    assert found.linear.slope == pytest.approx(-1.0, rel=0.03)
    assert found.linear.r_squared > 0.999
    assert constants.kappa <= -found.exponential.slope <= 1.001 * constants.kappa_largest
    assert (found.gap <= found.bound * (1.0 + 1e-9) + 1e-9).all()


def test_record_knows_its_json_frame_and_picture() -> None:
    system = mixed()
    constants = convergence(system)
    found = approach(fluid(system, start=[200.0, 30.0]), constants)
    document = json.loads(found.to_json())
    assert document["delta"] == pytest.approx(found.gap[0])
    assert found.to_frame()["gap"].tolist() == pytest.approx(document["gap"])
    assert len(found.plot().axes) == 2
    assert constants.plot().axes[0].get_xlabel().startswith("κ")


def test_what_makes_no_sense_is_refused() -> None:
    path, _ = single()
    with pytest.raises(UsageError, match="other backends"):
        approach(path, convergence(mixed()))
    with pytest.raises(UsageError, match="give jobs, above 0"):
        time_to(path, [1.0, 0.0])
    with pytest.raises(UsageError, match="no equilibrium"):
        time_to(dataclasses.replace(path, equilibrium=None), 1.0)
