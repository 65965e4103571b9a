"""Decisions of a sweep, without a server: each is a function of what is known."""

from collections.abc import Callable
from math import isfinite
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocline.sweep.decide import STEP_UP, Aims, Level, Stop, Visit, Why, next_visit, peak_end
from isocline.sweep.rate import Rate

AIMS = Aims(most=64, precision=0.05)


def level(n: int, rate: float, error: float = 0.0, seconds: float = 10.0) -> Level:
    """Requests/s at a concurrency, with a relative standard error."""
    return Level(n, Rate(float(n), rate, error * rate, rate * seconds, seconds, n / rate))


def hyperbolic(n: float) -> float:
    return 40.0 * n / (n + 6.0)


class Played:
    """A sweep against a made-up server, on made-up time."""

    def __init__(
        self,
        aims: Aims,
        limit: float,
        rate_at: Callable[[int], float],
        *,
        fails: Callable[[int, int], bool] = lambda _n, _visit: False,
        scatter: float = 0.3,
        overhead: float = 3.0,
        seed: int = 0,
    ) -> None:
        """`fails` gets the level and the number of the visit; `overhead` is in true latencies."""
        rng = np.random.default_rng(seed)
        self.left = limit
        self.visits: list[Visit] = []
        self.levels: dict[int, Rate] = {}
        self.failed: list[int] = []
        latency = 1.0 / rate_at(1)
        while True:
            self.known = [Level(n, rate) for n, rate in self.levels.items()]
            step = next_visit(self.known, self.failed, aims, self.left, latency)
            if isinstance(step, Stop):
                self.stop = step
                return
            n, true = step.workload, rate_at(step.workload)
            assert 1 <= n <= aims.most
            assert isfinite(step.seconds)
            assert step.seconds > 0
            assert step.cost <= self.left
            self.visits.append(step)
            self.left -= step.seconds + overhead * n / true
            if fails(n, len(self.visits)):
                self.failed.append(n)
                continue
            expected = true * step.seconds
            error = scatter / expected**0.5
            rate = max(true * (1.0 + error * rng.standard_normal()), 0.01 * true)
            made = Rate(float(n), rate, error * true, expected, step.seconds, n / rate)
            known = self.levels.get(n)
            self.levels[n] = known.with_more(made) if known else made

    @property
    def workloads(self) -> list[int]:
        return [one.workload for one in self.visits]


class Server(NamedTuple):
    """A made-up server, and how it fails."""

    peak: float
    half: float
    fall: float
    bound: int  # from which on every visit fails
    failing: float  # share of other visits that do
    scatter: float
    overhead: float

    def rate(self, n: int) -> float:
        return self.peak * n / (n + self.half) / (1.0 + self.fall * n)


SERVERS = st.builds(
    Server,
    peak=st.floats(0.2, 5000.0),
    half=st.floats(0.3, 300.0),
    fall=st.floats(0.0, 0.02),
    bound=st.integers(1, 3000),
    failing=st.floats(0.0, 0.4),
    scatter=st.floats(0.0, 3.0),
    overhead=st.floats(0.0, 20.0),
)


@given(
    aims=st.builds(Aims, st.integers(1, 2000), st.floats(0.005, 0.5)),
    limit=st.floats(0.1, 200.0),
    server=SERVERS,
    seed=st.integers(0, 99),
)
def test_a_sweep_ends_within_its_limits_whatever_the_server_does(
    aims: Aims, limit: float, server: Server, seed: int
) -> None:
    """`Played` asserts at each step that no level is too high and no visit too long."""
    rng = np.random.default_rng(seed)
    played = Played(
        aims,
        limit,
        server.rate,
        fails=lambda n, _: n >= server.bound or rng.random() < server.failing,
        scatter=server.scatter,
        overhead=server.overhead,
        seed=seed,
    )
    if played.stop.why is Why.NARROW:
        assert played.stop.width <= aims.precision
    if played.stop.why is Why.NOTHING:
        assert played.failed == [1]
        assert not played.levels


def test_levels_rise_by_steps_until_the_highest() -> None:
    played = Played(AIMS, 600.0, hyperbolic, scatter=0.0)
    assert played.workloads[:4] == [1, 4, 16, 64]
    assert played.stop.why is Why.NARROW


@given(st.integers(0, 50))
def test_no_level_is_more_than_a_step_above_one_that_worked(seed: int) -> None:
    played = Played(AIMS, 300.0, hyperbolic, fails=lambda n, _: n > 20, seed=seed)
    best = 1
    for n in played.workloads:
        assert n <= STEP_UP * best
        if n <= 20:
            best = max(best, n)


def test_it_stops_as_soon_as_the_curve_is_known_well_enough() -> None:
    rough = Played(Aims(64, 0.2), 3600.0, hyperbolic)
    fine = Played(Aims(64, 0.05), 3600.0, hyperbolic)
    assert rough.stop.why is fine.stop.why is Why.NARROW
    assert rough.left > fine.left > 1800.0
    assert fine.stop.width <= 0.05 < rough.stop.width <= 0.2


def test_all_rates_are_within_the_precision_at_the_end() -> None:
    """Of 30 sweeps of some 8 levels each, to 5 %: 1 in 20 may be further off, and hardly 2 %."""
    off = [
        abs(one.rate.rate / hyperbolic(one.workload) - 1.0) > 0.05
        for seed in range(30)
        for one in Played(AIMS, 3600.0, hyperbolic, seed=seed).known
    ]
    assert np.mean(off) < 0.05


def test_the_level_that_is_known_least_comes_next() -> None:
    known = [level(n, hyperbolic(n), 0.002) for n in (1, 2, 4, 8, 11, 16, 22, 32, 45, 64)]
    for worst in range(len(known)):
        n = known[worst].workload
        one = [*known[:worst], level(n, hyperbolic(n), 0.08, 1.0), *known[worst + 1 :]]
        step = next_visit(one, [], Aims(64, 0.03), 600.0, 0.1)
        assert isinstance(step, Visit)
        assert step.workload == n


def test_a_gap_that_exact_rates_would_leave_open_is_split() -> None:
    known = [level(n, hyperbolic(n), 0.001) for n in (1, 2, 4, 32, 45, 64)]
    step = next_visit(known, [], Aims(64, 0.02), 600.0, 0.1)
    assert isinstance(step, Visit)
    assert step.workload == 11  # the geometric middle


def test_a_level_that_scatters_more_is_measured_longer() -> None:
    known = [level(n, hyperbolic(n), 0.001) for n in (1, 2, 4, 8, 11, 16, 22, 32, 45, 64)]

    def seconds(error: float) -> float:
        step = next_visit(
            [*known[:5], level(16, hyperbolic(16), error), *known[6:]], [], AIMS, 1e5, 0.1
        )
        assert isinstance(step, Visit)
        assert step.workload == 16
        return step.seconds

    assert seconds(0.08) > 2.0 * seconds(0.04) > 0.0


def test_past_the_peak_nothing_is_measured() -> None:
    """It falls from 20 on."""

    def rate(n: int) -> float:
        return hyperbolic(n) * min(1.0, 20.0 / n)

    played = Played(Aims(1024, 0.1), 900.0, rate)
    assert max(played.workloads) <= 64
    assert peak_end(played.known) is not None
    assert played.stop.why is Why.NARROW
    # The peak, at 20, is found as well as levels can be told apart.
    best = max(played.known, key=lambda one: one.rate.rate).workload
    assert 14 <= best <= 28


@pytest.mark.parametrize("bound", [2, 7, 10, 33, 64])
def test_the_highest_level_that_works_is_found_by_halving(bound: int) -> None:
    played = Played(AIMS, 3600.0, hyperbolic, fails=lambda n, _: n >= bound, scatter=0.1)
    assert played.stop.why is Why.NARROW
    assert bound / 1.3 - 1 <= max(played.levels) < bound
    assert len(played.failed) <= 6
    assert min(played.failed, default=bound) >= bound


def test_a_server_that_fails_alone_is_not_asked_again() -> None:
    played = Played(AIMS, 600.0, hyperbolic, fails=lambda _n, _visit: True)
    assert (played.stop.why, played.workloads) == (Why.NOTHING, [1])


def test_a_server_that_dies_is_given_up_after_two_failures() -> None:
    played = Played(Aims(64, 0.01), 600.0, hyperbolic, fails=lambda _, visit: visit > 5)
    assert played.stop.why is Why.GONE
    assert len(played.failed) == 2


def test_one_failure_where_the_server_had_worked_is_forgiven() -> None:
    played = Played(AIMS, 3600.0, hyperbolic, fails=lambda _, visit: visit == 5)
    assert played.stop.why is Why.NARROW
    assert max(played.levels) == 64


def test_a_first_visit_leaves_time_for_the_other_levels() -> None:
    """A slow server: 2 requests/s alone, 13 of 64 at once."""
    played = Played(AIMS, 120.0, lambda n: 2.0 * hyperbolic(n) / hyperbolic(1))
    assert {1, 4, 16, 64} <= set(played.levels)


def test_no_visit_begins_that_does_not_fit() -> None:
    stop = next_visit([level(1, 1.0), level(4, 3.0)], [], AIMS, 1.0, 1.0)
    assert isinstance(stop, Stop)
    assert (stop.why, stop.unreached) == (Why.LIMIT, 16)


def test_a_fall_within_the_errors_is_no_peak() -> None:
    assert peak_end([level(1, 10.0, 0.05), level(4, 9.2, 0.05)]) is None
    assert peak_end([level(1, 10.0, 0.01), level(4, 9.2, 0.01)]) == 4
