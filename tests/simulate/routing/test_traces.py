"""A trace is followed until its last job has left, and its figures fit together, at any load."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isocline.errors import PolicyError, UsageError
from isocline.model.curves import ExponentialCurve, HyperbolicCurve, KneeCurve, ServersCurve
from isocline.model.traffic import Trace
from isocline.report.tables.comparison import warnings
from isocline.simulate.routing.compare import simulate, sweep
from isocline.simulate.routing.lower_bound import least_job_seconds, least_mean_jobs
from isocline.simulate.routing.results import Comparison
from isocline.simulate.routing.slowdown import Slowdown
from tests.builders import fleet, mixed
from tests.simulate.routing.test_holding import Never

POLICIES = ["gmsr", "jsq", "random", "gmsr_hold"]


def trace_of(times: npt.ArrayLike, work: npt.ArrayLike) -> Trace:
    times = np.asarray(times, np.float64)
    return Trace("made.csv", times - times[0], np.zeros(times.size), np.asarray(work, np.float64))


def bursty(rng: np.random.Generator, jobs: int) -> Trace:
    """Gaps and sizes that vary by orders of magnitude."""
    return trace_of(np.cumsum(rng.lognormal(0.0, 2.0, jobs)), rng.lognormal(0.0, 1.5, jobs))


curves = st.one_of(
    st.builds(HyperbolicCurve, st.floats(0.5, 50.0), st.floats(0.5, 20.0)),
    st.builds(ExponentialCurve, st.floats(0.5, 50.0), st.floats(0.5, 20.0)),
    st.builds(KneeCurve, st.floats(0.5, 50.0), st.floats(0.5, 20.0), st.floats(1.5, 4.0)),
    st.builds(ServersCurve, st.floats(0.5, 10.0), st.integers(1, 4)),
)


@st.composite
def systems(draw: st.DrawFn) -> Any:
    made = draw(st.lists(curves, min_size=1, max_size=3))
    everything = range(len(made))
    rows = [
        sorted(draw(st.sets(st.sampled_from(everything), min_size=1)))
        for _ in range(draw(st.integers(1, 3)))
    ]
    return fleet(
        made, draw(st.lists(st.floats(0.1, 9.0), min_size=len(rows), max_size=len(rows))), rows
    )


def require_consistent(result: Comparison) -> None:
    order = [p.mean_latency.value for p in result.policies if p.mean_latency]
    assert len(order) == len(result.policies)
    for p in result.policies:
        assert p.mean_jobs
        assert p.mean_latency
        assert p.ratio_to_bound
        assert p.littles_law < 1e-9
        assert p.arrival_rate * p.mean_latency.value == pytest.approx(p.mean_jobs.value, rel=1e-9)
        assert p.ratio_to_bound.value == pytest.approx(
            p.mean_latency.value / result.lower_bound_latency
        )
        assert p.ratio_to_bound.value == pytest.approx(p.mean_jobs.value / result.lower_bound)
        assert p.mean_latency.value >= result.lower_bound_latency * (1 - 1e-9)


@settings(deadline=None, max_examples=30)
@given(
    systems(),
    st.integers(0, 2**32),
    st.sampled_from([0.1, 0.7, 0.95, 1.0, 1.3, 4.0]),
    st.booleans(),
)
def test_littles_law_is_exact_and_no_policy_undercuts_the_bound(
    system: Any, seed: int, load: float, slowed: bool
) -> None:
    made = bursty(np.random.default_rng(seed), 150)
    slowdowns = [Slowdown("b0", 3.0, 1e-3), Slowdown("b0", 1.5, 2e-3)] if slowed else []
    result = simulate(
        system, POLICIES, trace=made, load=load, replications=2, seed=seed % 1000,
        slowdowns=slowdowns,
    )  # fmt: skip
    require_consistent(result)
    assert all(p.completed == 2 * 150 for p in result.policies)
    assert result.status == ("overloaded" if load >= 1.0 else "feasible")


def fifo(times: npt.NDArray[np.float64], work: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(n,) sojourns at one server of rate 1, first come first served (Lindley's recursion)."""
    free, sojourns = 0.0, []
    for time, size in zip(times, work, strict=True):
        free = max(free, time) + size
        sojourns.append(free - time)
    return np.array(sojourns)


@pytest.mark.parametrize("load", [0.5, 0.95, 1.5])
@pytest.mark.parametrize("speed", [1e-9, 1.0, 1e12])
def test_means_and_percentiles_are_those_of_the_exact_sojourns(load: float, speed: float) -> None:
    rng = np.random.default_rng(3)
    work = rng.exponential(1.0, 4000)
    work /= work.mean()
    gaps = rng.exponential(1.0, 4000)
    times = np.cumsum(gaps)
    times = (times - times[0]) / ((times[-1] - times[0]) / 3999 * load)
    exact = fifo(times, work) / speed
    found = simulate(
        fleet([ServersCurve(speed)], [speed]), ["gmsr"], trace=trace_of(times / speed, work),
        discipline="fcfs", replications=2,
    )  # fmt: skip
    (p,) = found.policies
    assert found.load == pytest.approx(load)
    assert p.status == ("overloaded" if load >= 1.0 else "stable")
    assert p.mean_latency
    assert p.mean_latency.value == pytest.approx(exact.mean(), rel=1e-9)
    for name, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        assert getattr(p, name).value == pytest.approx(np.quantile(exact, q), rel=0.01)
    assert p.finished == pytest.approx(times[-1] / speed + exact[-1])


def test_beyond_capacity_the_numbers_come_with_a_warning() -> None:
    made = bursty(np.random.default_rng(1), 1500)
    low, high = sweep(
        mixed(), ["gmsr", "random"], trace=made, loads=[0.6, 1.4], replications=2
    ).comparisons
    assert low.status == "feasible"
    assert not [line for line in warnings(low) if "capacity" in line]
    assert high.status == "overloaded"
    assert "1.40 times what can be served" in warnings(high)[0]
    assert high.policies[0].status == "overloaded"
    require_consistent(high)


def test_a_policy_that_overloads_a_backend_has_numbers_on_a_trace() -> None:
    world = fleet([HyperbolicCurve(40.0, 12.0), HyperbolicCurve(6.0, 5.0)], [20.0])
    made = bursty(np.random.default_rng(1), 1500)
    result = simulate(world, ["gmsr", "random"], trace=made, load=0.8, replications=2)
    fine, fixed = result.policies
    assert (fine.status, fixed.status) == ("stable", "overloaded")
    assert fixed.overloaded == ("b1",)
    assert any("random overloads b1" in line for line in warnings(result))
    require_consistent(result)


@dataclass(frozen=True)
class Hoarder(Never):
    """Holds all jobs for ever."""

    name: ClassVar[str] = "hoarder"
    may_hold: ClassVar[bool] = True


def test_a_policy_that_keeps_jobs_for_ever_is_named() -> None:
    made = bursty(np.random.default_rng(1), 150)
    with pytest.raises(PolicyError, match="hoarder holds 150 jobs for ever"):
        simulate(mixed(), [Hoarder()], trace=made)


def test_there_is_no_optimum_to_start_from_beyond_capacity() -> None:
    made = bursty(np.random.default_rng(1), 150)
    with pytest.raises(UsageError, match="start fluid"):
        simulate(mixed(), ["gmsr"], trace=made, load=1.1, start="fluid")


def test_the_bound_of_one_backend_is_its_curve_read_backwards() -> None:
    world = fleet([HyperbolicCurve(10.0, 5.0)], [1.0])
    # 60 jobs in 10 s: 6 /s, for which 5 * 6 / (10 - 6) jobs are needed on average.
    assert least_job_seconds(world, np.array([60.0]), (), 0.0, 10.0) == pytest.approx(
        75.0, rel=1e-4
    )
    # In 1000 s each of them is as good as alone: 1/l(1) = 6/10 s.
    assert least_job_seconds(world, np.array([60.0]), (), 0.0, 1000.0) == pytest.approx(36.0)


def test_the_bound_knows_of_slower_backends() -> None:
    world, rates = fleet([HyperbolicCurve(10.0, 5.0)], [1.0]), np.array([4.0])
    always = least_mean_jobs(world, rates, [Slowdown("b0", 2.0, 1e-9)], 0.0, 1e3)
    assert always == pytest.approx(5.0 * 4.0 / (5.0 - 4.0), rel=1e-4)
    # Twice as slow in the second half: 4 /s on average, by a search over all splits of 8 /s.
    half = least_mean_jobs(world, rates, [Slowdown("b0", 2.0, 500.0)], 0.0, 1e3)
    first = np.linspace(3.01, 7.99, 400_001)
    jobs = [5.0 * r / (p - r) for r, p in ((first, 10.0), (8.0 - first, 5.0))]
    assert half == pytest.approx((jobs[0] + jobs[1]).min() / 2.0, rel=1e-4)


def test_a_slowdown_raises_the_bound_of_a_comparison() -> None:
    options: dict[str, Any] = {
        "horizon": 400.0,
        "warmup": 100.0,
        "replications": 2,
        "start": "fluid",
    }
    plain = simulate(mixed(), ["gmsr"], **options)
    slowed = simulate(mixed(), ["gmsr"], slowdowns=[Slowdown("b0", 1.5, 1.0)], **options)
    slow = fleet(
        [HyperbolicCurve(40.0 / 1.5, 12.0), HyperbolicCurve(6.0, 5.0)], [12.0, 8.0], [[0, 1], [0]]
    )
    assert plain.lower_bound < slowed.lower_bound
    assert slowed.lower_bound == pytest.approx(
        simulate(slow, ["gmsr"], **options).lower_bound, rel=0.05
    )


def test_a_gap_in_littles_law_is_said() -> None:
    world = fleet([HyperbolicCurve(1000.0, 2000.0)], [800.0])
    # A mean latency is a sixth of the run, so a sixth of the jobs is still there at its end.
    result = simulate(world, ["gmsr"], horizon=60.0, warmup=0.0, start="fluid", replications=2)
    assert result.policies[0].littles_law > 0.01
    assert any("Little's law" in line for line in warnings(result))
    fine = simulate(mixed(), ["gmsr"], replications=2)
    assert not warnings(fine)


def test_percentiles_that_are_missing_have_a_reason() -> None:
    made = bursty(np.random.default_rng(1), 150)
    few = simulate(mixed(), ["gmsr"], trace=made, replications=2)
    assert few.policies[0].p99 is None
    assert any("1,000 completed jobs a replication" in line for line in warnings(few))
    far = simulate(
        fleet([HyperbolicCurve(1e-35, 12.0)], [5e-36]), ["gmsr"], horizon=2e39, warmup=1e38,
        replications=2,
    )  # fmt: skip
    assert far.policies[0].p99 is None
    assert any("another unit of time" in line for line in warnings(far))


def test_a_trace_of_a_few_jobs_is_an_answer_too() -> None:
    result = simulate(mixed(), ["gmsr"], trace=trace_of([0.0, 1.0], [1.0, 2.0]), replications=2)
    require_consistent(result)


def test_a_measured_part_in_which_nothing_comes_is_refused() -> None:
    made = trace_of(np.r_[np.linspace(0.0, 1.0, 400), 100.0], np.ones(401))
    with pytest.raises(UsageError, match=r"from 2 s.* to 50 s no jobs come"):
        simulate(mixed(), ["gmsr"], trace=made, replications=2, warmup=2.0, horizon=50.0)


def test_a_trace_without_a_rate_is_refused() -> None:
    with pytest.raises(UsageError, match="all its requests come at one time"):
        simulate(mixed(), ["gmsr"], trace=trace_of(np.zeros(5), np.ones(5)))
