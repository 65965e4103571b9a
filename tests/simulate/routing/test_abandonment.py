"""Patience of jobs and deadlines, against the classical queues with impatient customers."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from isocline.errors import UsageError
from isocline.model.curves import HyperbolicCurve
from isocline.model.fleet import RoutingSystem
from isocline.model.traffic import LognormalSizes, Patience, patience_of, read_trace
from isocline.simulate.routing.compare import simulate, sweep
from isocline.simulate.routing.delay import Delay
from isocline.simulate.routing.results import Comparison, PolicyResult
from tests.builders import fleet, mixed, station
from tests.simulate.routing.options import SimulateOptions
from tests.simulate.routing.test_theory import agrees


def birth_death(arrivals: float, leaving: Callable[[int], float], largest: int = 400) -> np.ndarray:
    """(largest + 1,) the stationary law of the number of jobs."""
    steps = [math.log(arrivals / leaving(n)) for n in range(1, largest + 1)]
    logs = np.concatenate(([0.0], np.cumsum(steps)))
    law = np.exp(logs - logs.max())
    return np.asarray(law / law.sum())


def run(system: RoutingSystem, patience: str, **options: Any) -> PolicyResult:
    given = {"warmup": 0.02 * options["horizon"]} | options
    return simulate(system, ["random"], patience=patience, **given).policies[0]


@pytest.mark.parametrize("arrivals", [0.7, 1.5])
def test_processor_sharing_with_exponential_patience_is_a_birth_death_chain(
    arrivals: float,
) -> None:
    curve, theta = HyperbolicCurve(2.0, 1.0), 0.5
    found = run(fleet([curve], [2 * arrivals]), "exponential:mean=2", horizon=20_000.0)
    law = birth_death(2 * arrivals, lambda n: float(curve.rate(n)) + n * theta)
    jobs = float(law @ np.arange(law.size))
    assert found.status == "stable"
    assert agrees(found.mean_jobs, jobs)
    assert agrees(found.abandoned, theta * jobs / (2 * arrivals))
    assert agrees(found.goodput, 2 * arrivals - theta * jobs)
    assert found.littles_law < 0.002


@pytest.mark.parametrize(("servers", "arrivals"), [(1, 0.8), (3, 4.5)])
def test_erlang_a(servers: int, arrivals: float) -> None:
    # C. Palm, 1957: those who wait give up at rate theta each, those in service stay.
    theta = 0.5
    world = fleet([station(1.0, servers)], [arrivals])
    patience = "exponential:mean=2,until=start"
    found = run(world, patience, discipline="fcfs", horizon=30_000.0)
    law = birth_death(arrivals, lambda n: min(n, servers) + max(n - servers, 0) * theta)
    n = np.arange(law.size)
    assert agrees(found.mean_jobs, float(law @ n))
    assert agrees(found.abandoned, theta * float(law @ np.maximum(n - servers, 0)) / arrivals)
    assert found.littles_law < 0.002


@pytest.mark.parametrize("load", [0.7, 1.3])
def test_one_timeout_for_the_wait(load: float) -> None:
    # D. Y. Barrer, Operations Research 5(5), 1957: M/M/1 + D, of the wait.
    wait = 2.0
    patience = f"deterministic:mean={wait},until=start"
    found = run(fleet([station()], [load]), patience, discipline="fcfs", horizon=30_000.0)
    decay = math.exp(-(1 - load) * wait)
    assert agrees(found.abandoned, (1 - load) * load * decay / (1 - load**2 * decay))


@pytest.mark.parametrize("load", [0.7, 1.3])
def test_one_timeout_for_the_whole_sojourn(load: float) -> None:
    # The work ahead never exceeds the timeout T. By level crossings its density on (0, T) is
    # load p0 exp(-(1 - load) x), and what the busy server completes, it does at rate 1.
    timeout = 3.0
    patience = f"deterministic:mean={timeout}"
    found = run(fleet([station()], [load]), patience, discipline="fcfs", horizon=30_000.0)
    busy = load * (1 - math.exp(-(1 - load) * timeout)) / (1 - load)
    served = busy / (1 + busy)
    assert agrees(found.goodput, served)
    assert agrees(found.abandoned, 1 - served / load)


@pytest.mark.parametrize("discipline", ["ps", "fcfs"])
def test_jobs_that_never_give_up_are_those_of_the_plain_engine(discipline: Any) -> None:
    world = fleet([station(1.0, 2), station(2.0, 1)], [2.0], sizes=LognormalSizes(1.5))
    options: dict[str, Any] = {"horizon": 2000.0, "replications": 3, "discipline": discipline}
    plain = simulate(world, ["jsq", "peak_ewma"], **options)
    patient = simulate(world, ["jsq", "peak_ewma"], patience="deterministic:mean=1e9", **options)
    for a, b in zip(plain.policies, patient.policies, strict=True):
        assert a.mean_jobs is not None
        assert b.mean_jobs is not None
        assert a.completed == b.completed
        assert a.p99 == b.p99
        assert a.mean_jobs.value == pytest.approx(b.mean_jobs.value, rel=1e-9)
        assert b.abandoned is not None
        assert b.abandoned.value == 0.0


def test_of_a_trace_every_job_leaves_and_littles_law_is_exact() -> None:
    rng = np.random.default_rng(1)
    times = np.sort(rng.uniform(0.0, 100.0, 3000))
    trace = read_trace(
        {"t": times, "w": rng.exponential(1.0, 3000)}, columns={"time": "t", "work": "w"}
    )
    world = fleet([station(4.0), HyperbolicCurve(8.0, 3.0)], [1.0])
    found = simulate(
        world,
        ["jsq", "gmsr"],
        trace=trace,
        load=1.4,
        patience="lognormal:mean=1,cv=2",
        replications=3,
    )
    assert found.status == "feasible"
    for policy in found.policies:
        assert policy.status == "stable"
        assert policy.abandoned is not None
        assert policy.mean_jobs is not None
        assert policy.abandoned.value * 3 * 3000 + policy.completed == pytest.approx(3 * 3000)
        assert policy.abandoned.value > 0.1
        assert policy.littles_law < 1e-9


@pytest.mark.parametrize("policy", ["gmsr", "jsq", "power_of_d:d=2", "least_expected_latency"])
def test_every_policy_balances_what_comes_with_what_leaves(policy: str) -> None:
    # Of exponential patience theta N is the rate of giving up, wherever the jobs are.
    found = simulate(
        mixed(), [policy], patience="exponential:mean=0.5", load=1.2, horizon=500.0, start="empty"
    ).policies[0]
    assert found.mean_jobs is not None
    assert found.abandoned is not None
    rate = found.mean_jobs.value / 0.5
    assert found.abandoned.value * found.arrival_rate == pytest.approx(rate, rel=0.02)
    assert found.littles_law < 0.005


def test_jobs_of_a_fluid_start_give_up_too() -> None:
    # They are in no share: they came before the run.
    found = simulate(
        fleet([station(1.0, 50)], [49.0]),
        ["random"],
        patience="deterministic:mean=0.1",
        start="fluid",
        horizon=200.0,
        warmup=0.0,
        replications=2,
    ).policies[0]
    assert found.abandoned is not None
    assert found.abandoned.value == pytest.approx(math.exp(-0.1), abs=0.01)
    # Of 49 at the start hardly any is there after 0.1 s, of a block of 0.83 s.
    assert found.total_over_time[0] < 15.0


def test_the_scaled_system_gives_up_alike() -> None:
    world = fleet([HyperbolicCurve(2.0, 1.0)], [3.0])
    found = run(world, "exponential:mean=2", horizon=2_000.0, scale=20.0)
    # Of the fluid: 3 = 2 n / (n + 1) + n / 2.
    jobs = (1.0 + math.sqrt(1.0 + 24.0)) / 2.0
    assert found.mean_jobs is not None
    assert found.mean_jobs.value == pytest.approx(jobs, rel=0.03)
    assert found.goodput is not None
    assert found.goodput.value == pytest.approx(3.0 - jobs / 2.0, rel=0.03)


def test_a_deadline_counts_the_late_and_changes_nothing_else() -> None:
    # The sojourn of M/M/1 in order of arrival is exponential with rate 1 - load.
    world = fleet([station()], [0.7])
    options: SimulateOptions = {"discipline": "fcfs", "horizon": 40_000.0}
    plain = simulate(world, ["random"], **options).policies[0]
    found = simulate(world, ["random"], deadline=5.0, **options).policies[0]
    assert found.mean_latency == plain.mean_latency
    assert agrees(found.late, math.exp(-0.3 * 5.0))
    assert agrees(found.goodput, 0.7 * (1.0 - math.exp(-0.3 * 5.0)))
    assert found.abandoned is None
    assert found.ratio_to_bound is not None


def test_late_and_abandoned_are_shares_of_the_same_jobs() -> None:
    found = run(mixed(), "exponential:mean=2", deadline=0.5, horizon=500.0, replications=3)
    assert found.abandoned is not None
    assert found.late is not None
    assert found.goodput is not None
    in_time = found.goodput.value / found.arrival_rate
    assert found.abandoned.value + found.late.value + in_time == pytest.approx(1.0, abs=0.005)


def test_there_is_no_bound_where_jobs_give_up() -> None:
    found: Comparison = simulate(
        mixed(), ["gmsr", "random"], patience="exponential:mean=1", horizon=200.0, replications=2
    )
    assert math.isnan(found.lower_bound)
    assert found.patience == "exponential patience of mean 1 s"
    assert found.policies[0].ratio_to_bound is None


def test_a_sweep_goes_beyond_capacity() -> None:
    found = sweep(
        mixed(),
        ["gmsr"],
        loads=[0.5, 2.0],
        patience="exponential:mean=1",
        horizon=200.0,
        replications=2,
    )
    low, high = (one.policies[0].abandoned for one in found.comparisons)
    assert low is not None
    assert high is not None
    assert 0.0 < low.value < high.value - 0.2


def test_the_flag_replaces_what_the_system_has() -> None:
    world = replace(mixed(), patience=Patience(LognormalSizes(1.0), 1.0))
    options: dict[str, Any] = {"horizon": 100.0, "replications": 2}
    assert simulate(world, ["jsq"], **options).patience == "lognormal patience of mean 1 s"
    found = simulate(world, ["jsq"], patience="none", **options)
    assert found.patience is None
    assert found.lower_bound > 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("exponential", "mean is missing"),
        ("exponential:mean=0", "mean is 0.0; give a finite number"),
        ("exponential:mean=2,cv=1", "cv is unknown"),
        ("exponential:mean=2,until=never", "until 'never': give one of start, end"),
        ("exponential:mean=2,mean=3", "mean is given twice"),
        ("weibull:mean=2", "unknown law 'weibull'"),
        ("lognormal:mean=x,cv=1", "give numbers"),
        ("lognormal:mean", "'mean' has no value"),
        ("lognormal:mean=1,cv=0", "lognormal: cv is 0.0; give a finite number above 0"),
        ("hyperexponential:mean=1,cv=0.5", "cv is 0.5; give a finite number, 1 or more"),
    ],
)
def test_a_bad_patience_is_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError, match="patience") as error:
        patience_of(text)
    assert said in str(error.value)
    assert "sizes" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"clock": "slotted"}, "the slotted clock"),
        ({"delay": Delay(travel=0.1)}, "delay"),
        ({"patience": "exponential:mean=1,until=start"}, "give discipline fcfs"),
        ({"deadline": -1.0}, "deadline -1.0: give"),
        ({"deadline": 1.0, "percentiles": False}, "leave --means-only out"),
    ],
)
def test_what_cannot_be_simulated_with_patience_is_refused(
    options: dict[str, Any], said: str
) -> None:
    given: dict[str, Any] = {"patience": "exponential:mean=1", "horizon": 10.0} | options
    with pytest.raises(UsageError, match=r"patience|deadline") as error:
        simulate(mixed(), ["jsq"], **given)
    assert said in str(error.value)
