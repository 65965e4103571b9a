"""Backends that fail with their jobs, against transient laws and runs that are known by hand."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import poisson

from isocline.errors import UsageError
from isocline.model.curves import HyperbolicCurve
from isocline.model.traffic import DeterministicSizes, read_trace
from isocline.simulate.routing.compare import simulate
from isocline.simulate.routing.failure import Failure
from isocline.simulate.routing.results import Comparison
from tests.builders import fleet, station
from tests.simulate.routing.test_changing_fleet import FAST, follows, mean_path, step, system


def run(first: Any, failures: list[Failure], **options: Any) -> Comparison:
    given = {"horizon": 24.0, "replications": 200, "percentiles": False} | options
    return simulate(first, ["random"], failures=failures, **given)


def test_jobs_that_are_lost_leave_the_path_of_an_empty_backend() -> None:
    pair = system(12.0, {"a": FAST, "b": FAST})
    found = run(pair, [Failure("b", 8.0, lost=True)])
    kept = mean_path([(0.0, 6.0, FAST), (8.0, 12.0, FAST)], found.times)
    gone = np.where(found.times < 8.0, mean_path([(0.0, 6.0, FAST)], found.times), 0.0)
    assert follows(found, kept + gone)
    assert "b fails at 8 s, its jobs are lost" in found.source
    [policy] = found.policies
    assert policy.resent == 0
    at_failure = float(mean_path([(0.0, 6.0, FAST)], np.array([8.0]))[0])
    assert policy.lost == pytest.approx(200 * at_failure, rel=0.15)


def test_jobs_that_are_sent_again_join_those_of_the_backend_that_is_left() -> None:
    # "b" serves nothing, so that what it holds at 2 s is Poisson, and of fresh sizes.
    pair = system(12.0, {"a": FAST, "b": HyperbolicCurve(1e-6, 1.0)})
    found = run(pair, [Failure("b", 2.0)], replications=400)
    largest = 120
    jobs = np.arange(largest + 1)
    law, expected = np.eye(largest + 1)[0], []
    for time in found.times.round(9):  # every 0.1 s
        law = law @ step(6.0 if time <= 2.0 else 12.0, FAST, largest, 0.1)
        expected.append(law @ jobs + (6.0 * time if time < 2.0 else 0.0))
        if time == 2.0:
            law = np.convolve(law, poisson.pmf(jobs, 12.0))[: largest + 1]
            expected[-1] = law @ jobs
    assert follows(found, np.array(expected))
    [policy] = found.policies
    assert policy.lost == 0
    assert policy.resent == pytest.approx(400 * 12.0, rel=0.03)


@pytest.mark.parametrize(
    ("lost", "completed", "latency", "numbers"),
    # Sent again at 3 s, the first job shares with the second, which leaves at 7 s, and leaves at 9.
    [(False, 3, (9.0 + 6.0 + 4.0) / 3, (0, 1)), (True, 2, (4.0 + 4.0) / 2, (1, 0))],
)
def test_a_job_sent_again_begins_anew_and_its_latency_counts_from_its_arrival(
    lost: bool, completed: int, latency: float, numbers: tuple[int, int]
) -> None:
    pair = fleet([station(0.25), station(0.25)], [1.0], sizes=DeterministicSizes())
    trace = read_trace({"t": np.array([0.0, 1.0, 20.0])}, columns={"time": "t"})
    found = simulate(
        pair, ["jsq:ties=first"], trace=trace, failures=[Failure("b0", 3.0, lost)], replications=2
    ).policies[0]
    assert found.completed == 2 * completed
    assert found.mean_latency is not None
    assert found.mean_latency.value == pytest.approx(latency)
    assert (found.lost, found.resent) == (2 * numbers[0], 2 * numbers[1])
    assert found.littles_law < 1e-9


@settings(max_examples=15, deadline=None)
@given(
    times=st.lists(st.floats(1.0, 19.0), min_size=1, max_size=3, unique=True),
    lost=st.booleans(),
    patience=st.sampled_from(["none", "exponential:mean=0.5", "deterministic:mean=0.3"]),
    discipline=st.sampled_from(["ps", "fcfs"]),
    policy=st.sampled_from(["jsq", "gmsr", "power_of_d:d=2"]),
    seed=st.integers(0, 1000),
)
def test_what_comes_is_completed_gives_up_or_is_lost(
    times: list[float], lost: bool, patience: str, discipline: Any, policy: str, seed: int
) -> None:
    pool = fleet([station(2.0, 2)] * 4, [6.0, 4.0])
    failures = [Failure(f"b{i}", time, lost) for i, time in enumerate(times)]
    found = simulate(
        pool,
        [policy],
        failures=failures,
        patience=patience,
        discipline=discipline,
        horizon=20.0,
        replications=2,
        seed=seed,
    ).policies[0]
    came = 2 * 20.0 * found.arrival_rate
    gone = 0.0 if found.abandoned is None else found.abandoned.value
    assert found.lost is not None
    # Shares of two replications are averaged with equal weights.
    assert found.completed + found.lost + gone * came == pytest.approx(came, rel=0.05)
    if patience == "none":
        assert found.completed + found.lost == pytest.approx(came)
    assert found.littles_law < 1e-9
    assert found.lost == 0 or lost


def test_a_backend_comes_back_empty_with_a_later_system() -> None:
    pair = system(12.0, {"a": FAST, "b": FAST})
    found = run(pair, [Failure("b", 6.0, lost=True)], changes=[(12.0, pair)])
    kept = mean_path([(0.0, 6.0, FAST), (6.0, 12.0, FAST), (12.0, 6.0, FAST)], found.times)
    before = np.where(found.times < 6.0, mean_path([(0.0, 6.0, FAST)], found.times), 0.0)
    after = mean_path([(0.0, 0.0, FAST), (12.0, 6.0, FAST)], found.times)
    assert follows(found, kept + before + after)


def test_a_failure_may_come_with_a_system_of_its_time() -> None:
    pair = system(12.0, {"a": FAST, "b": FAST})
    calm = system(4.0, {"a": FAST})
    found = run(pair, [Failure("b", 8.0, lost=True)], changes=[(8.0, calm)])
    kept = mean_path([(0.0, 6.0, FAST), (8.0, 4.0, FAST)], found.times)
    gone = np.where(found.times < 8.0, mean_path([(0.0, 6.0, FAST)], found.times), 0.0)
    assert follows(found, kept + gone)


def test_jobs_of_a_frontend_that_is_gone_are_lost() -> None:
    before = system(6.0, {"a": FAST, "b": FAST}, ("f", "g"))
    after = system(6.0, {"a": FAST}, ("f",))
    found = run(before, [Failure("b", 8.0)], changes=[(8.0, after)], replications=100)
    [policy] = found.policies
    assert policy.lost
    assert policy.resent == pytest.approx(policy.lost, rel=0.25)


def test_jobs_of_a_fluid_start_are_sent_again() -> None:
    curve = HyperbolicCurve(40.0, 20.0)  # 12 jobs at 15 jobs/s
    pair = fleet([curve, curve], [30.0])
    found = simulate(
        pair,
        ["jsq"],
        failures=[Failure("b1", 1e-6)],
        horizon=5.0,
        start="fluid",
        replications=3,
    ).policies[0]
    assert found.resent == pytest.approx(3 * 12, abs=3)
    assert found.lost == 0


@pytest.mark.parametrize(
    ("failures", "said"),
    [
        ([Failure("c", 1.0)], "there is no such backend then; there are a, b"),
        ([Failure("a", 1.0), Failure("a", 2.0)], "there is no such backend then"),
        ([Failure("a", 1.0), Failure("b", 2.0)], "'f' would have no backend left"),
        ([Failure("a", 1.0), Failure("a", 1.0)], "given twice"),
        ([Failure("a", 1.0), Failure("a", 1.0, lost=True)], "given twice"),
        ([Failure("a", 5.0)], "let it come back later"),
    ],
)
def test_failures_that_cannot_be_are_refused(failures: list[Failure], said: str) -> None:
    pair = system(12.0, {"a": FAST, "b": FAST})
    with pytest.raises(UsageError, match="failure") as error:
        run(pair, failures, changes=[(5.0, pair)])
    assert said in str(error.value)


def test_a_failure_after_the_end_of_the_run_is_called_one() -> None:
    pair = system(12.0, {"a": FAST, "b": FAST})
    with pytest.raises(UsageError, match="failure of a at 50 s: the run ends at 40 s; give"):
        simulate(pair, ["jsq"], failures=[Failure("a", 50.0)], horizon=40.0)


@pytest.mark.parametrize("text", ["a", "@5", "a@x", "a@5,told", "a@-1", "a@5,"])
def test_a_bad_failure_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="failure"):
        Failure.parse(text)


def test_failures_are_read_as_they_are_written() -> None:
    assert Failure.parse("zone@eu-1@600") == Failure("zone@eu-1", 600.0)
    assert Failure.parse("a@5,lost") == Failure("a", 5.0, lost=True)
