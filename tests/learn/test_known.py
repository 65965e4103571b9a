"""Intervals hold the truth, whatever the curve, and no prior closes what was not seen."""

from functools import cache

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isocline.learn import Interval, Known, Learner, Learning, Prior
from isocline.learn.fit import fit
from isocline.learn.occupancy import counted
from isocline.model.curves import (
    Curve,
    ExponentialCurve,
    HyperbolicCurve,
    KneeCurve,
    ServersCurve,
    TableCurve,
)
from isocline.randomness.draws import stream
from tests.learn.living import live, spread

FloatArray = npt.NDArray[np.float64]

# The last three are no knees.
CURVES: dict[str, Curve] = {
    "hyperbolic": HyperbolicCurve(10.0, 6.0),
    "knee": KneeCurve(10.0, 8.0, 3.0),
    "exponential": ExponentialCurve(10.0, 6.0),
    "servers": ServersCurve(2.5, 4),
    "table": TableCurve(((1, 4.4), (2, 7.5), (4, 14.0), (8, 19.0), (12, 20.0))),  # a real vLLM's
}
RUNS = 60
# Of 60 intervals that hold the truth in 95 % each, fewer than 51 do with probability 1e-4.
LEAST = 51
# The table bends sharply at one job, where a backend near capacity seldom is: of 20 000 completions
# that workload has a few. There intervals are too narrow, and hold in 8 of 10.
LEAST_AT_BEND = 45
# Capacities are to be held in 90 %, also at a sharp corner.
LEAST_PEAKS = 54


def lived(curve: Curve, load: float, completions: int, seed: int) -> Known:
    """A backend with Poisson arrivals at a share of its capacity, from empty."""
    return of_rates(curve.rate(np.arange(1024)), load * curve.supremum, completions, seed)


def of_rates(rate: FloatArray, arrivals: float, completions: int, seed: int) -> Known:
    """The same by its rates at each workload, jobs/s."""
    learner = Learner(1, Learning(false_alarms=0.0), workloads=rate.size)
    live(learner.observed, rate, arrivals, 0, completions, False, stream(seed))
    occupied = learner.observed.occupied
    return Known(*counted(occupied, 0, float(occupied.since[0])))


@cache
def runs(name: str, load: float, completions: int) -> list[Known]:
    return [lived(CURVES[name], load, completions, seed) for seed in range(RUNS)]


@pytest.mark.parametrize("completions", [100, 1000, 20_000])
@pytest.mark.parametrize("load", [0.3, 0.85])
@pytest.mark.parametrize("name", CURVES)
def test_intervals_hold_the_truth(name: str, load: float, completions: int) -> None:
    curve = CURVES[name]
    peak, rates = 0, np.zeros(4)
    for known in runs(name, load, completions):
        low, high = known.capacity
        peak += low <= curve.supremum <= (high or np.inf)
        n = np.array([1, known.seen // 2 + 1, known.seen, 2 * known.seen])
        least, most = known.bounds(n)
        rates += (least <= curve.rate(n)) & (curve.rate(n) <= most)
    assert peak >= LEAST_PEAKS
    bend = name == "table" and load == 0.85 and completions == 20_000
    assert rates[0] >= (LEAST_AT_BEND if bend else LEAST), rates
    assert np.all(rates[1:] >= LEAST), rates


def corner(jobs: float, fall: float, least: float = 8.8) -> FloatArray:
    """Rates that rise to 10 jobs/s at so many jobs, then lose `fall` with each more, to `least`."""
    n = np.arange(1024.0)
    return np.where(n <= jobs, 10.0 * n / jobs, np.maximum(10.0 - fall * (n - jobs), least))


# A flat top, falls of 3 % and of 12 % with one job more; between two workloads and at one.
CORNERS = {
    "flat from 1": corner(1, 0.0),
    "flat from 4": corner(4, 0.0),
    "flat from 8.5": corner(8.5, 0.0),
    "flat from 16": corner(16, 0.0),
    "slow fall from 4": corner(4, 0.3),
    "slow fall from 8": corner(8, 0.3),
    "slow fall from 16": corner(16, 0.2),
    "steep fall from 4": corner(4, 2.0),
    "steep fall from 8": corner(8, 2.0),
}


@pytest.mark.parametrize(("completions", "widest"), [(1000, 1.9), (20_000, 1.35)])
@pytest.mark.parametrize("name", CORNERS)
def test_a_sharp_corner_is_held(name: str, completions: int, widest: float) -> None:
    """Neither is a flat top overrated by luck, nor a peak averaged with what lies beyond it."""
    rate = CORNERS[name]
    top = int(np.argmax(rate))
    peaks, least, most = 0, 0, 0
    ratios: list[float] = []
    for seed in range(RUNS):
        known = of_rates(rate, 8.5, completions, seed)
        low, high = known.capacity
        peaks += low <= rate[top] * (1 + 1e-9) and (high is None or rate[top] <= high)
        ratios += [] if high is None else [high / low]
        below, above = known.bounds(top)
        least += bool(below <= rate[top] * (1 + 1e-9))
        most += bool(rate[top] <= above * (1 + 1e-9))
    assert peaks >= LEAST_PEAKS
    assert min(least, most) >= LEAST_PEAKS
    assert np.median(ratios) < widest


@pytest.mark.parametrize("name", CURVES)
def test_they_are_of_use_near_capacity(name: str) -> None:
    """Most are closed after 1000 completions, and then narrow."""
    for completions, widest in ((1000, 1.9), (20_000, 1.35)):
        ends = [known.capacity for known in runs(name, 0.85, completions)]
        ratios = [high / low for low, high in ends if high is not None]
        assert len(ratios) > RUNS / 2
        assert np.median(ratios) < widest


def test_far_from_its_bend_a_backend_may_be_capable_of_anything() -> None:
    curve = KneeCurve(1000.0, 200.0, 3.0)
    for seed in range(10):
        known = lived(curve, 0.05, 20_000, seed)
        assert known.seen < 40
        low, high = known.capacity
        assert high is None
        assert 0.5 * curve.rate(known.seen) < low <= curve.rate(known.seen)


@pytest.mark.parametrize("prior", [Prior(knee=4.0, knee_spread=0.1), Prior(knee=500.0)])
def test_no_prior_moves_an_interval(prior: Prior) -> None:
    done, seconds = spread(HyperbolicCurve(10.0, 6.0), 24, 300.0)
    assert fit(done, seconds, prior).known.capacity == Known(done, seconds).capacity


def test_of_a_backend_never_seen_nothing_is_known() -> None:
    for seconds in (np.zeros(3), np.array([0.0, 5.0, 0.0])):
        known = Known(np.zeros(3), seconds)
        assert (known.seen, known.capacity) == (0, Interval(0.0, None))
        low, high = known.bounds([0.0, 1.0, 7.0])
        assert low.tolist() == [0.0, 0.0, 0.0]
        assert high.tolist() == [0.0, np.inf, np.inf]


def test_a_measured_fall_closes_the_interval() -> None:
    n = np.arange(41.0)
    rate = np.where(n <= 20, KneeCurve(10.5, 8.0, 3.0).rate(n), 10.0 - 0.2 * (n - 20.0))
    seconds = np.where(n > 0, 20_000.0 / rate.sum(), 0.0)
    done = np.random.default_rng(1).poisson(rate * seconds).astype(float)
    known = Known(done, seconds)
    assert known.cut is not None
    low, high = known.capacity
    assert high is not None
    assert 9.0 < low <= 10.0 <= high < 11.6


@pytest.mark.parametrize("load", [0.4, 0.6])
@pytest.mark.parametrize("completions", [100, 300, 1000])
def test_a_fall_that_is_not_measured_yet_is_not_excluded(load: float, completions: int) -> None:
    """Beyond 6 jobs the backend falls by a third; few completions were there."""
    n = np.arange(1024.0)
    knee = KneeCurve(10.0, 4.0, 3.0).rate(n)
    rate = np.where(n <= 6, knee, np.maximum(knee[6] - 0.4 * (n - 6.0), 6.5))
    least, most, peaks, cut = np.zeros(2), np.zeros(2), 0, 0
    for seed in range(RUNS):
        known = of_rates(rate, 10.0 * load, completions, seed)
        if known.cut is not None:
            cut += 1
            continue
        at = np.array([4, known.seen])
        low, high = known.bounds(at)
        least += low <= rate[at]
        most += rate[at] <= high
        peaks += known.capacity.low <= rate.max() <= (known.capacity.high or np.inf)
    assert cut < 20
    assert min(*least, *most, peaks) >= LEAST - cut


@pytest.mark.parametrize("room", [13, 64])
def test_a_fall_that_is_suspected_at_the_last_workloads_has_intervals(room: int) -> None:
    """The counts up to such a peak are all counts: they were asked for theirs without end."""
    done, seconds = np.zeros(room), np.zeros(room)
    done[10:12], seconds[10:12] = 400.0, (400.0, 480.0)
    low, high = Known(done, seconds).bounds(np.array([10.0, 11.0]))
    assert np.all(low <= 1.0)
    assert np.all(high >= (1.0, 400.0 / 480.0))


def test_what_was_seen_is_never_below_the_interval_because_curves_are_thought_to_rise() -> None:
    seconds = np.array([0.0, 50.0, 50.0, 50.0, 20.0, 3.0, 3.0])
    done = np.round(seconds * np.array([0.0, 4.0, 7.0, 9.0, 10.0, 6.0, 5.0]))
    known = Known(done, seconds)
    assert known.cut is None
    rate = done[1:] / seconds[1:]
    low, high = known.bounds(np.arange(1.0, 7.0))
    assert np.all(low <= rate)
    assert np.all(rate <= high)
    assert known.capacity.low > 8.0  # the peak was seen all the same


def test_a_level_counts_as_seen_once_a_completion_was_due_there() -> None:
    done, seconds = spread(HyperbolicCurve(10.0, 6.0), 20, 2000.0)
    assert Known(done, seconds).seen == 20
    longer = np.append(seconds, [0.01] * 30)  # 10 jobs/s: a tenth of one each
    assert 20 < Known(np.append(done, np.zeros(30)), longer).seen < 50


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 300), st.floats(0.0, 50.0)),
        min_size=1,
        max_size=90,
    )
)
def test_every_interval_is_one(counts: list[tuple[int, float]]) -> None:
    seconds = np.array([0.0] + [time for _, time in counts])
    done = np.array([0.0] + [c if time > 0 else 0 for c, time in counts], dtype=float)
    known = Known(done, seconds)
    n = np.arange(0.0, 200.0, 0.5)
    low, high = known.bounds(n)
    made = fit(done, seconds)
    assert np.all(low >= 0)
    assert np.all(np.isfinite(low))
    for at, least, most in known.intervals(made.curve.points):
        assert least <= float(made.rate(at)) * (1 + 1e-9)
        assert most is None or most >= float(made.rate(at)) * (1 - 1e-9)
    capacity = made.capacity
    assert capacity.low <= made.curve.supremum <= (capacity.high or np.inf)
    assert not np.isnan(high).any()
