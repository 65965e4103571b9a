"""The fluid model: against explicit Euler, against the plan, and against what theory says of it."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isocline.errors import InfeasibleError, UsageError
from isocline.model.curves import HyperbolicCurve, KneeCurve, PoolCurve, TableCurve
from isocline.model.fleet import RoutingSystem
from isocline.theory.routing.direction import direction
from isocline.theory.routing.inclusion import fluid
from tests.builders import crowded, fleet, station
from tests.theory.routing.naive_fluid import euler_path
from tests.theory.routing.test_equilibrium import n_model, random_system

SEEDS = st.integers(0, 2**32 - 1)


def state(rng: np.random.Generator, system: RoutingSystem, load: float = 2.0) -> np.ndarray:
    return rng.uniform(0.0, load, len(system.backends)) * (rng.random(len(system.backends)) < 0.8)


@pytest.mark.parametrize("start", [(5.0, 0.0), (0.0, 5.0), (0.0, 0.0), (1.0, 4.0)])
def test_path_is_the_limit_of_explicit_euler(start: tuple[float, float]) -> None:
    system, steps = n_model(), 8000
    naive = euler_path(system, np.array(start), 20.0, steps)[:: steps // 100]
    path = fluid(system, start=start, horizon=20.0, step=0.2, tolerance=1e-4)
    # Chattering and first order are each about one step times all arrivals: 20/8000 jobs.
    assert np.abs(path.workloads - naive).max() < 3 * 20.0 / steps


def test_path_of_random_systems_is_the_limit_of_explicit_euler() -> None:
    for seed in range(4):
        rng = np.random.default_rng(seed)
        system, steps = random_system(seed), 4000
        start = state(rng, system)
        naive = euler_path(system, start, 5.0, steps)[:: steps // 50]
        path = fluid(system, start=start, horizon=5.0, step=0.1, tolerance=1e-4)
        rates = max(float(system.rates.sum()), float(system.capacities.max()))
        assert np.abs(path.workloads - naive).max() < 5 * rates * 5.0 / steps


@settings(max_examples=10, deadline=None)
@given(seed=SEEDS)
def test_rest_is_the_plan_from_any_start(seed: int) -> None:
    """Lemma 4 and Theorem 2, on 20 random systems: the same workloads to 1e-6.

    A path ends where V is at most 1e-9 of all arrivals, whatever its steps: long ones get there in
    half the time.
    """
    rng = np.random.default_rng(seed)
    system = random_system(seed % 1000, load=float(rng.uniform(0.2, 0.85)))
    path = fluid(system, start=state(rng, system, 10.0), tolerance=1e-2)
    assert path.equilibrium is not None
    scale = 1.0 + path.equilibrium
    assert np.abs(path.workloads[-1] - path.equilibrium) / scale == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("start", [[0.0] * 4, [0.0, 200.0, 0.0, 300.0]])
def test_an_overload_ends_as_its_plan_says(start: list[float]) -> None:
    """GMSR paper, version 3: throughput, stable backends and their jobs; and where jobs pile up."""
    system, horizon = crowded(), 4000.0
    path = fluid(system, start=start, horizon=horizon, step=horizon / 4)
    known = path.overload
    assert known is not None
    assert path.equilibrium is None
    served = [
        sum(float(c.rate(n)) for c, n in zip(system.curves, jobs, strict=True))
        for jobs in path.workloads
    ]
    # peak - l = peak half / (N + half), and N = growth t in the end, of the two that grow.
    short = [known.throughput - one for one in served[1:]]
    growing = zip(system.curves, known.backends, strict=True)
    predicted = sum(
        c.peak * c.half / (one.growth * horizon)
        for c, one in growing
        if isinstance(c, HyperbolicCurve) and one.growth
    )
    assert short[-1] == pytest.approx(predicted, rel=0.1)
    assert short[-1] < short[-2] < short[-3]
    middle, last = path.workloads[-2], path.workloads[-1]
    for b, one in enumerate(known.backends):
        if one.jobs is None:
            grown = (last[b] - middle[b]) / (horizon / 4)
            assert grown == pytest.approx(one.growth, rel=0.01)
        else:
            assert last[b] == pytest.approx(one.jobs, rel=1e-4)
    assert path.resting == {"b2": known.backends[2].jobs, "b3": known.backends[3].jobs}


def test_a_backend_that_is_gone_before_the_overload_comes_to_rest_empty() -> None:
    before = fleet([HyperbolicCurve(4.0, 2.0)] * 2, [3.0])
    after = fleet([HyperbolicCurve(4.0, 2.0)], [5.0])
    path = fluid(before, horizon=100.0, changes=[(20.0, after)])
    assert path.resting == {"b1": 0.0}
    assert path.workloads[-1, 1] < 1e-6


def test_half_the_tolerance_half_the_error() -> None:
    """Against a path far more exact: the promise is kept, and errors fall with it."""
    system, start = n_model(), (5.0, 0.0)
    true = fluid(system, start=start, horizon=30.0, step=10.0, tolerance=1e-6)
    errors = []
    for tolerance in (1e-2, 5e-3, 2.5e-3, 1.25e-3, 6.25e-4):
        path = fluid(system, start=start, horizon=30.0, step=10.0, tolerance=tolerance)
        off = np.abs(path.workloads - true.workloads).sum(axis=1)
        assert (off <= tolerance * np.minimum(path.total_jobs, 2 * np.sqrt(2))).all()
        assert path.error <= tolerance * path.total_jobs.max()
        errors.append(path.error)
    # The estimates are what is controlled; over four halvings they fall sixteenfold, or more.
    assert errors[-1] <= errors[0] / 8


def test_estimated_error_covers_the_true_one() -> None:
    for seed in range(6):
        system = random_system(seed)
        start = state(np.random.default_rng(seed), system)
        rough = fluid(system, start=start, horizon=8.0, step=2.0, tolerance=1e-2)
        true = fluid(system, start=start, horizon=8.0, step=2.0, tolerance=1e-5)
        off = np.abs(rough.workloads - true.workloads).sum(axis=1)
        assert (off <= rough.error + true.error).all()


@settings(max_examples=12, deadline=None)
@given(seed=SEEDS)
def test_jobs_are_conserved_and_flows_balance(seed: int) -> None:
    rng = np.random.default_rng(seed)
    system = random_system(seed % 1000)
    path = fluid(system, start=state(rng, system), horizon=3.0, step=0.5)
    assert (path.workloads >= 0.0).all()
    for jobs, inflow, flow, speed in zip(
        path.workloads, path.inflow, path.flow, path.lyapunov, strict=True
    ):
        sent = np.add.reduceat(flow, system.graph.first[:-1])
        assert sent == pytest.approx(system.rates, rel=1e-9)
        arrived = np.bincount(system.graph.sink, flow, system.graph.sinks)
        assert arrived == pytest.approx(inflow, abs=1e-9)
        rates = np.array([float(c.rate(n)) for c, n in zip(system.curves, jobs, strict=True)])
        assert np.abs(inflow - rates).sum() == pytest.approx(speed, abs=1e-6)


@settings(max_examples=12, deadline=None)
@given(seed=SEEDS)
def test_drift_is_the_derivative_of_the_path(seed: int) -> None:
    rng = np.random.default_rng(seed)
    system = random_system(seed % 1000)
    start = state(rng, system)
    moving = direction(system, start)
    short = 1e-4 * (1.0 + start.sum()) / float(system.rates.sum())
    after = fluid(system, start=start, horizon=short, step=short, tolerance=1e-6).workloads[-1]
    rate = float(system.rates.sum()) + float(system.capacities.sum())
    # Two states of second order in the step apart; an empty knee is straight and decides late.
    assert np.abs((after - start) / short - moving.velocity).sum() < 0.05 * rate


def test_empty_backends_that_nobody_prefers_stay_empty() -> None:
    """N = 0 exactly, and a backend that only drains does so like its own curve says."""
    system = fleet([HyperbolicCurve(10.0, 1.0), HyperbolicCurve(0.1, 1.0)], [1.0], [[0, 1]])
    path = fluid(system, horizon=50.0)
    assert (path.workloads[:, 1] == 0.0).all()
    drained = fluid(system, start={"b1": 3.0}, horizon=50.0, tolerance=1e-4)
    n = drained.workloads[:, 1]
    # dN/dt = -0.1 N / (N + 1): ln N + N falls at the rate 0.1.
    left = np.log(n) + n
    assert left == pytest.approx(left[0] - 0.1 * drained.times, abs=1e-2)
    assert (n > 0.0).all()


def test_tiers_change_when_marginal_rates_meet() -> None:
    """N model from (5, 0): b2's marginal rate 2/(N+2)^2 falls to that of b1 once, and stays."""
    path = fluid(n_model(), start=(5.0, 0.0), horizon=30.0)
    assert [len(change.tiers) for change in path.tiers] == [2, 1]
    when = path.tiers[1].time
    before = path.workloads[path.times < when - 0.05][-1]
    after = path.workloads[path.times > when + 0.05]
    gaps = 1.0 / (after[:, 0] + 1.0) ** 2 - 2.0 / (after[:, 1] + 2.0) ** 2
    assert gaps == pytest.approx(0.0, abs=1e-9)
    assert 2.0 / (before[1] + 2.0) ** 2 > 1.0 / (before[0] + 1.0) ** 2


def test_parameters_that_change_move_the_equilibrium_and_the_fluid_follows() -> None:
    """Section 1.1: rates, curves and edges change; the fluid chases the optimum of the day."""
    before, after = n_model(), n_model(1.5)
    path = fluid(before, horizon=400.0, changes=[(200.0, after)])
    middle = int(np.searchsorted(path.times, 200.0))
    assert path.times[middle] == path.times[middle + 1] == 200.0
    assert path.workloads[middle] == pytest.approx(np.sqrt([2, 2]), abs=1e-4)
    assert path.lyapunov[middle] < 1e-3 < path.lyapunov[middle + 1]
    assert path.workloads[-1] == pytest.approx(path.equilibrium, rel=1e-2)


def test_backends_come_and_go() -> None:
    old = fleet([HyperbolicCurve(2.0, 1.0), HyperbolicCurve(2.0, 1.0)], [1.0])
    alone = fleet([HyperbolicCurve(2.0, 1.0)], [1.0])
    path = fluid(old, horizon=60.0, changes=[(20.0, alone), (40.0, old)])
    assert path.backends == ("b0", "b1")
    gone = (path.times > 20.0) & (path.times < 40.0)
    assert (path.inflow[gone, 1] == 0.0).all()
    assert np.isnan(path.flow[gone, 1]).all()
    left = path.workloads[gone, 1]
    assert (np.diff(left[left > 1e-9]) < 0.0).all()
    assert path.inflow[-1] == pytest.approx([0.5, 0.5], abs=1e-3)


def test_overload_grows_at_the_rate_that_is_too_much() -> None:
    path = fluid(fleet([HyperbolicCurve(1.0, 1.0)], [3.0]), horizon=1000.0)
    assert path.equilibrium is None
    assert path.total_jobs[-1] == pytest.approx(2000.0, rel=0.01)


def test_pools_tables_and_blunt_knees_can_be_followed() -> None:
    curves = [
        PoolCurve((HyperbolicCurve(2.0, 1.0), KneeCurve(1.0, 2.0, 4.0))),
        TableCurve(((1.0, 1.0), (2.0, 1.6), (4.0, 2.0))),
        KneeCurve(2.0, 1.0, 0.7),
    ]
    system = fleet(curves, [2.0, 1.0], [[0, 1], [1, 2]])
    path = fluid(system, start=(0.0, 30.0, 0.0))  # far past the table's last point
    assert path.workloads[-1] == pytest.approx(path.equilibrium, abs=1e-6)


def test_json_has_the_keys_of_the_interface() -> None:
    path = fluid(n_model(), start={"b0": 1.0}, horizon=2.0, step=0.5)
    document = path.to_dict()
    assert document["times"] == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert list(document["workloads"]) == ["b0", "b1"]
    assert {len(document[key]) for key in ("times", "lyapunov", "total_jobs")} == {5}
    assert document["tiers"][0]["time"] == 0.0
    assert set(document["tiers"][0]["tiers"][0]) == {"frontends", "backends", "marginal_rate"}
    assert path.to_frame()["total_jobs"].loc[2.0] == pytest.approx(document["total_jobs"][-1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": {"b7": 1.0}}, "no backend 'b7'; there are b0, b1"),
        ({"start": {"b0": -1.0}}, "start: b0 -1.0: give a finite number, 0 or more"),
        ({"start": [1.0]}, "for each of 2 backends"),
        (
            {"start": {"b1": 1e300}},
            r"start: b1=1e\+300 jobs is beyond what can be .* at most 1e\+60",
        ),
        ({"horizon": 0.0}, "horizon 0.0: give a finite number above 0"),
        ({"horizon": 1.0, "step": 2.0}, "longer than the horizon"),
        ({"step": 1.0}, "needs a horizon"),
        ({"tolerance": 0.0}, "tolerance 0"),
        (
            {"horizon": 9.0, "changes": [(9.0, n_model())]},
            "the horizon is 9 s; give an earlier time",
        ),
    ],
)
def test_bad_arguments_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        fluid(n_model(), **options)


def test_a_budget_that_is_spent_says_how_far_it_came_and_what_to_change() -> None:
    reached = []
    with pytest.raises(UsageError, match="has spent its budget of 60 level flows") as refused:
        fluid(
            n_model(),
            horizon=50.0,
            tolerance=1e-9,
            budget=60,
            progress=lambda now, steps, speed: reached.append((now, steps, speed)),
        )
    now, steps, speed = reached[-1]
    assert f"at {now:.6g} s of 50 s after {steps} steps" in str(refused.value)
    assert "a larger tolerance than 1e-09, a shorter horizon, or a larger budget" in str(
        refused.value
    )
    assert 0 < steps <= 10
    assert speed > 0.0
    with pytest.raises(UsageError, match="a horizon, or a larger budget"):
        fluid(n_model(), budget=60)


def test_more_states_than_the_budget_are_refused_at_once() -> None:
    with pytest.raises(UsageError, match=r"makes 1e\+12 states of a horizon of 1e\+09 s"):
        fluid(n_model(), horizon=1e9, step=1e-3)


def test_a_start_of_more_jobs_than_the_tolerance_can_resolve_comes_to_rest() -> None:
    # A rounding of 1e12 jobs is more than the tolerance of the three jobs at rest.
    path = fluid(n_model(), start={"b0": 1e12})
    assert path.equilibrium is not None
    assert path.workloads[-1] == pytest.approx(path.equilibrium, rel=1e-6)
    drained = path.times[path.total_jobs > 1e6].max()
    assert drained > 1e12  # s; b0 is served at a rate of 1 at most
    assert path.steps < 2000


def test_no_rest_without_capacity_and_no_fluid_without_concavity() -> None:
    with pytest.raises(InfeasibleError):
        fluid(n_model(3.0))
    with pytest.raises(UsageError, match="b0: a servers curve is not strictly concave"):
        fluid(fleet([station()], [0.5]))
    with pytest.raises(UsageError, match="finite numbers of at least 0"):
        direction(n_model(), [1.0])
