"""Greatest secant service rate: a slow twin, both ends of its price, and what it remembers."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from isocline.errors import PolicyError
from isocline.model.curves import Curve, ExponentialCurve, HyperbolicCurve, KneeCurve, TableCurve
from isocline.model.graph import CompatibilityGraph
from isocline.policies.parse import parse
from isocline.policies.routing.contract import Setting, View
from isocline.policies.routing.gmsr_secant import GmsrSecant
from isocline.randomness.draws import stream

TABULATED = 256
CURVES: tuple[Curve, ...] = (
    HyperbolicCurve(20.0, 50.0),
    KneeCurve(20.0, 8.0, 3.0),
    TableCurve(((2.0, 3.0), (6.0, 6.0), (60.0, 20.0))),
)


class Frontend:
    """One frontend of one policy, whose backends hold what a test says."""

    def __init__(self, curves: tuple[Curve, ...], ties: str = "random") -> None:
        self.policy = GmsrSecant(ties)
        self.size = len(curves)
        graph = CompatibilityGraph.from_neighbours(self.size, [range(self.size)])
        self.setting = Setting(graph, curves, np.arange(self.size, dtype=np.int32))
        self.view = View(
            graph.sink.copy(),
            np.zeros(self.size, np.int32),
            self.setting.row,
            np.ascontiguousarray(self.policy.table(self.setting, np.arange(float(TABULATED)))),
            self.policy.parameter(self.setting),
            self.policy.memory(self.setting),
            self.policy.option(),
        )
        self.everyone = np.arange(self.size, dtype=np.int32)
        self.rng = stream(1)

    def pick(self, jobs: list[int], now: float, among: list[int] | None = None) -> int:
        """The backend of a job at these workloads; it is not added to them."""
        self.view.workload[:] = jobs
        candidates = self.everyone if among is None else np.array(among, np.int32)
        return int(self.policy.functions()[0](candidates, self.view, now, self.rng))

    def rest(self, jobs: list[int], begin: float, end: float, steps: int = 400) -> None:
        """Workloads that stay for a while, under jobs that come and go at once."""
        for now in np.linspace(begin, end, steps):
            self.pick(jobs, float(now))

    def know(self, curves: tuple[Curve, ...]) -> None:
        """Other curves from now on."""
        setting = Setting(self.setting.graph, curves, self.setting.row)
        self.view.table[:] = self.policy.table(setting, np.arange(float(TABULATED)))
        self.view.parameter[:] = self.policy.parameter(setting)


def alone(curve: Curve) -> float:
    """Time of a job that is alone, s."""
    return 1.0 / float(curve.rate(1.0))


class Twin:
    """The policy's rule with nothing put off, for one backend: exact integrals, all windows."""

    def __init__(self, curve: Curve) -> None:
        self.rates = np.array([float(curve.rate(n)) for n in range(TABULATED)])
        self.windows = [alone(curve) * 3.0**k for k in range(8)]
        self.means = [0.0] * 8
        self.age = 0.0

    def pass_time(self, seconds: float, jobs: int) -> None:
        """Time at a workload."""
        rate = self.rates[jobs]
        for k, window in enumerate(self.windows):
            plain = min(max(window - self.age, 0.0), seconds)  # as long as the mean is a plain one
            if plain > 0.0:
                self.means[k] += (rate - self.means[k]) * plain / (self.age + plain)
            self.means[k] = rate + (self.means[k] - rate) * np.exp(-(seconds - plain) / window)
        self.age += seconds

    def price(self, jobs: int) -> float:
        """Of one more job, s."""
        at, price = jobs + 0.5, np.inf
        rate = 0.5 * (self.rates[jobs] + self.rates[jobs + 1])
        for window, mean in zip(self.windows, self.means, strict=True):
            rest = float(np.interp(mean, self.rates, np.arange(TABULATED)))
            if jobs <= rest <= jobs + 1:
                price = 1.0 / (self.rates[jobs + 1] - self.rates[jobs])
            else:
                price = (at - rest) / (rate - mean)
            if price <= window:
                break
        return float(price)


def steady(_now: float) -> float:
    return 20.0


def bursts(now: float) -> float:
    return 300.0 if now % 15.0 < 0.5 else 12.0


@pytest.mark.parametrize("arrivals", [steady, bursts])
def test_it_chooses_as_a_twin_that_puts_nothing_off(arrivals: Callable[[float], float]) -> None:
    frontend = Frontend(CURVES, "first")
    twins = [Twin(curve) for curve in CURVES]
    rng = np.random.default_rng(7)
    jobs, now = [0, 0, 0], 0.0
    excess: list[float] = []
    of_gmsr: list[float] = []
    while len(excess) < 2500:
        served = [twin.rates[n] for twin, n in zip(twins, jobs, strict=True)]
        rates = np.array([300.0, *served])  # arrivals are thinned
        gap = rng.exponential(1.0 / rates.sum())
        now += gap
        for twin, n in zip(twins, jobs, strict=True):
            twin.pass_time(gap, n)
        event = int(rng.choice(4, p=rates / rates.sum())) - 1
        if event >= 0:
            jobs[event] -= 1
        elif rng.random() < arrivals(now) / 300.0:
            chosen = frontend.pick(jobs, now)
            prices = np.array([twin.price(n) for twin, n in zip(twins, jobs, strict=True)])
            gains = [twin.rates[n + 1] - twin.rates[n] for twin, n in zip(twins, jobs, strict=True)]
            excess.append(prices[chosen] / prices.min() - 1.0)
            of_gmsr.append(prices[np.argmax(gains)] / prices.min() - 1.0)
            jobs[chosen] += 1
    # Means that are an eighth of a window old at most, a sixteenth on average, move a price by a
    # few per cent, and with it the choice between backends that are nearly alike.
    assert np.mean(excess) < 0.015
    assert np.quantile(excess, 0.99) < 0.2
    assert 4.0 * np.mean(excess) < np.mean(of_gmsr)


curves = st.one_of(
    st.builds(HyperbolicCurve, st.floats(1.0, 100.0), st.floats(1.0, 40.0)),
    st.builds(ExponentialCurve, st.floats(1.0, 100.0), st.floats(2.0, 40.0)),
    st.builds(KneeCurve, st.floats(1.0, 100.0), st.floats(1.0, 40.0), st.floats(1.0, 3.0)),
)


@given(st.lists(st.tuples(curves, st.integers(0, 60)), min_size=2, max_size=4))
def test_where_workloads_rest_it_is_gmsr(backends: list[tuple[Curve, int]]) -> None:
    """So it rests where the gains of one more job are equal: at the optimum of Eq. (1)."""
    frontend = Frontend(tuple(curve for curve, _ in backends), "first")
    jobs = [n for _, n in backends]
    gains = [float(curve.difference(n)) for curve, n in backends]
    # Long enough for any window that such prices may want.
    frontend.rest(jobs, 0.0, 100.0 / min(gains))
    assert gains[frontend.pick(jobs, 101.0 / min(gains))] >= max(gains) * (1.0 - 1e-9)


@example([(KneeCurve(1.0, 1.0, 3.0), 6), (KneeCurve(1.0, 1.0625, 3.0), 6)])
@given(st.lists(st.tuples(curves, st.integers(0, 100)), min_size=2, max_size=4))
def test_what_comes_at_once_after_a_long_calm_is_drained_soonest(
    backends: list[tuple[Curve, int]],
) -> None:
    frontend = Frontend(tuple(curve for curve, _ in backends), "first")
    # One job in 1e12 s, beside at least 1 / 80 jobs/s where one is priced: 1e-10 of a price. One in
    # each of 400 steps would choose otherwise between backends that are nearly alike.
    frontend.rest([0] * len(backends), 0.0, 1e12, steps=2)
    latencies = [
        (n + 0.5) / float(np.mean([curve.rate(n), curve.rate(n + 1.0)])) for curve, n in backends
    ]
    chosen = frontend.pick([n for _, n in backends], 1e6)
    assert latencies[chosen] <= min(latencies) * (1.0 + 1e-9)


# At these workloads GMSR prefers the first, whose rate still grows, and whoever drains a burst the
# second, which is four times as fast.
SLOW, FAST = HyperbolicCurve(20.0, 50.0), HyperbolicCurve(40.0, 5.0)
CROWD = [60, 60]


def test_a_burst_is_one_until_it_has_lasted() -> None:
    assert float(SLOW.marginal(60.0)) > float(FAST.marginal(60.0))
    frontend = Frontend((SLOW, FAST))
    frontend.rest([1, 1], 0.0, 100.0)
    assert frontend.pick(CROWD, 100.1) == 1
    frontend.rest(CROWD, 100.1, 3000.0)
    assert frontend.pick(CROWD, 3000.1) == 0


def test_what_was_before_the_last_long_calm_is_forgotten() -> None:
    frontend = Frontend((SLOW, FAST))
    frontend.rest(CROWD, 0.0, 1000.0)
    assert frontend.pick(CROWD, 1000.1) == 0
    # One decision at its end, as for a backend that was ejected or a frontend without jobs: the
    # 60 jobs were served once, and not all the time.
    frontend.pick([0, 0], 1e5)
    assert frontend.pick(CROWD, 1e5 + 0.1) == 1


def test_a_backend_that_was_away_is_as_one_that_was_idle() -> None:
    back, idle = Frontend((SLOW, FAST), "first"), Frontend((SLOW, FAST), "first")
    back.rest([60, 5], 0.0, 1000.0)
    for now in np.linspace(1000.0, 1e6, 2000):
        back.pick([0, 5], float(now), [1])
        idle.pick([0, 5], float(now))
    rng = np.random.default_rng(5)
    chosen = set()
    for step in range(300):
        jobs = [0, 5] if step == 0 else rng.integers(0, 40, 2).tolist()
        now = 1e6 + 0.05 * (step + 1)
        one = back.pick(jobs, now)
        assert idle.pick(jobs, now) == one
        chosen.add(one)
    assert chosen == {0, 1}


def test_clocks_begin_at_any_time() -> None:
    early, late = Frontend(CURVES, "first"), Frontend(CURVES, "first")
    rng = np.random.default_rng(2)
    for step in range(500):
        jobs = rng.integers(0, 30, 3).tolist()
        assert early.pick(jobs, step / 64.0) == late.pick(jobs, 2.0**20 + step / 64.0)


def test_other_curves_count_at_once() -> None:
    half = tuple(curve.scaled(0.5) for curve in (SLOW, FAST))
    frontend = Frontend((SLOW, FAST))
    frontend.rest([20, 20], 0.0, 1000.0)
    frontend.know((SLOW, half[1]))
    # What flowed to the second is more than it can serve now: nothing should go there.
    assert frontend.pick([20, 20], 1000.1) == 0
    frontend.know((half[0], FAST))
    assert frontend.pick([20, 20], 1000.2) == 1


def test_past_a_measured_peak_a_job_goes_elsewhere() -> None:
    table = TableCurve(((2.0, 30.0), (6.0, 60.0)))
    frontend = Frontend((table, HyperbolicCurve(1.0, 1.0)))
    frontend.rest([9, 50], 0.0, 1e5)
    # 1 / l' of the second is 2600 s: dear, and yet the first would gain nothing.
    assert frontend.pick([9, 50], 1e5 + 1.0) == 1


def test_all_beyond_their_peaks_are_alike() -> None:
    table = TableCurve(((2.0, 30.0), (6.0, 60.0)))
    frontend = Frontend((table, table.scaled(2.0)))
    frontend.rest([9, 9], 0.0, 1e4)
    counts = np.bincount([frontend.pick([9, 9], 1e4 + 1e-6 * i) for i in range(2000)])
    assert np.all(np.abs(counts - 1000) < 4.5 * np.sqrt(500.0))


def test_ties_are_broken_at_random_or_by_the_file() -> None:
    like = (HyperbolicCurve(40.0, 12.0),) * 3
    even, first = Frontend(like), Frontend(like, "first")
    counts = np.bincount([even.pick([2, 2, 2], 1e-7 * i) for i in range(3000)])
    assert np.all(np.abs(counts - 1000) < 4.5 * np.sqrt(3000 * 2 / 9))
    assert first.pick([2, 2, 2], 0.0) == 0
    with pytest.raises(PolicyError, match="ties"):
        parse("gmsr_secant:ties=last").option()


def test_the_price_is_of_a_unit_of_work() -> None:
    frontend = Frontend((SLOW, SLOW), "first")
    frontend.rest([6, 5], 0.0, 1000.0)
    assert frontend.pick([6, 5], 1000.1) == 1
    # A third of the work is left to do at the first, which has the rest cached.
    frontend.view = frontend.view._replace(work=np.array([[1.0, 0.0], [3.0, 0.0]]))
    assert frontend.pick([6, 5], 1000.2) == 0
