"""Rivals that look at workloads: formulas in plain Python, and what their papers claim."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from isocline.errors import PolicyError
from isocline.model.curves import HyperbolicCurve
from isocline.model.graph import CompatibilityGraph
from isocline.policies.parse import parse
from isocline.policies.routing.contract import Setting
from tests.policies.routing.views import (
    BACKENDS,
    CAPACITY,
    CURVE_OF,
    WORKLOADS,
    Frontend,
    best,
)


def latency(workload: list[int]) -> list[float]:
    return [(n + 1) / float(c.rate(n + 1.0)) for n, c in zip(workload, CURVE_OF, strict=True)]


@given(workload=WORKLOADS, quantile=st.sampled_from([0.0, 0.3, 0.5, 0.84, 1.0]))
def test_prequal_is_its_formula(workload: list[int], quantile: float) -> None:
    # The quantile of five: the least of them that is at or above as large a share of them.
    ranked = sorted(workload)
    threshold = ranked[max(math.ceil(quantile * BACKENDS) - 1, 0)]
    scores = [
        time if jobs <= threshold else math.inf
        for jobs, time in zip(workload, latency(workload), strict=True)
    ]
    found = Frontend(f"prequal:quantile={quantile}").holding(workload).pick()
    assert found in best(scores)


def test_prequal_leaves_a_hot_backend_alone_even_if_it_is_the_fastest() -> None:
    workload, among = [12, 10, 11, 0, 10], [0, 1, 2, 4]
    assert latency(workload)[0] < min(latency(workload)[b] for b in (1, 2, 4))
    assert Frontend("prequal:quantile=1").holding(workload).pick(among=among) == 0
    assert Frontend("prequal:quantile=0.75").holding(workload).pick(among=among) == 2


def test_prequal_probes_a_sample() -> None:
    frontend = Frontend("prequal:probes=2,quantile=0").holding([4, 0, 3, 1, 2])
    counts = frontend.picks(4000)[[1, 3, 4, 2, 0]]
    expected = np.array([0.4, 0.3, 0.2, 0.1]) * 4000  # the fewest of two distinct ones
    assert counts[-1] == 0
    assert np.sum((counts[:-1] - expected) ** 2 / expected) < chi2.ppf(0.9999, 3)


def projected(values: np.ndarray) -> np.ndarray:
    """Onto the probabilities, by sorting (Held, Wolfe and Crowder, 1974)."""
    falling = np.sort(values)[::-1]
    thresholds = (np.cumsum(falling) - 1.0) / np.arange(1, values.size + 1)
    last = np.flatnonzero(falling > thresholds)[-1]
    return np.asarray(np.maximum(values - thresholds[last], 0.0))


@given(
    steps=st.lists(st.tuples(WORKLOADS, st.floats(0.0, 3.0)), min_size=1, max_size=8),
    eta=st.sampled_from([0.01, 0.3, 10.0]),
)
def test_dgd_lb_is_its_formula(steps: list[tuple[list[int], float]], eta: float) -> None:
    frontend = Frontend(f"dgd_lb:eta={eta}")
    unit = min(1.0 / float(curve.marginal(0.0)) for curve in CURVE_OF)
    shares, now = np.full(BACKENDS, 1.0 / BACKENDS), 0.0
    frontend.pick(now)
    for workload, passed in steps:
        now += passed
        frontend.holding(workload).pick(now)
        prices = np.array(
            [1.0 / float(c.marginal(float(n))) for n, c in zip(workload, CURVE_OF, strict=True)]
        )
        shares = projected(shares - eta * passed * prices / unit**2)
        np.testing.assert_allclose(frontend.view.memory[:, 0], shares, atol=1e-9)


def test_dgd_lb_projects_what_is_at_the_threshold() -> None:
    """Rounding took shares at the threshold out and in, and the search had no end."""
    frontend = Frontend("dgd_lb").holding([3] * BACKENDS)
    rng = np.random.default_rng(0)
    shares = frontend.view.memory[:, 0]
    for _ in range(300):
        shares[:] = 1.0 / BACKENDS
        for _ in range(15):
            gaps = rng.integers(0, 4, BACKENDS) * rng.choice([0.0, 0.01, 0.1, 1.0])
            shares -= np.minimum(gaps - gaps.min(), 2.0)
            if abs(shares.sum()) < 1e-9:  # taken for the start, when there are none
                break
            wanted = projected(shares.copy())
            frontend.pick()  # at the same moment: no step, but the projection
            np.testing.assert_allclose(shares, wanted, atol=1e-9)


def test_dgd_lb_comes_to_rest_at_the_optimum() -> None:
    # The fluid of its paper, 250 jobs/s on two backends of 400 and 100: equal gradients at rest.
    curves = (HyperbolicCurve(400.0, 200.0), HyperbolicCurve(100.0, 100.0))
    graph = CompatibilityGraph.from_neighbours(2, [[0, 1]])
    frontend = Frontend("dgd_lb:eta=0.005", Setting(graph, curves, np.arange(2, dtype=np.int32)))
    jobs, step = np.zeros(2), 0.02
    for tick in range(20_000):
        frontend.holding(np.round(jobs)).pick(tick * step)
        served = np.array([float(c.rate(n)) for c, n in zip(curves, jobs, strict=True)])
        jobs += step * (250.0 * frontend.view.memory[:, 0] - served)
    slopes = [float(c.marginal(n)) for c, n in zip(curves, jobs, strict=True)]
    assert slopes[0] == pytest.approx(slopes[1], rel=0.03)
    assert frontend.view.memory[:, 0].sum() == pytest.approx(1.0)


def test_dgd_lb_draws_by_its_probabilities_and_forgets_a_backend_that_is_gone() -> None:
    frontend = Frontend("dgd_lb:eta=1e-9")
    counts = frontend.picks(5000)
    assert np.sum((counts - 1000.0) ** 2 / 1000.0) < chi2.ppf(0.9999, 4)
    for _ in range(50):
        assert frontend.pick(1.0, among=[1, 3]) in {1, 3}
    assert frontend.view.memory[[1, 3], 0].sum() == pytest.approx(1.0)


@given(workload=WORKLOADS, rates=st.lists(st.integers(0, 3), min_size=5, max_size=5))
def test_drain_rate_is_its_formula(workload: list[int], rates: list[int]) -> None:
    frontend = Frontend("drain_rate").holding(workload)
    frontend.view.memory[:, 0] = rates
    known = [rate for rate in rates if rate]
    otherwise = sum(known) / len(known) if known else 1.0
    scores = [n / (rate or otherwise) for n, rate in zip(workload, rates, strict=True)]
    assert frontend.pick() in best(scores)


def test_drain_rate_learns_speeds_and_keeps_them_while_a_backend_is_idle() -> None:
    frontend = Frontend("drain_rate:window=10,smoothing=1")
    for tick in range(1, 1001):  # 60 s: backend 0 drains 6 jobs/s, 1 drains 4, 2 drains 3
        for edge, each in ((0, 10), (1, 15), (2, 20)):
            if tick % each == 0:
                frontend.observe(edge, 1.0, tick / 60.0, frontend.view)
    assert frontend.view.memory[:3, 0] == pytest.approx([6.0, 4.0, 3.0], rel=0.05)
    # The example of its document: 30 jobs are fewest where they are drained fastest.
    assert frontend.holding([30, 21, 25, 0, 0]).pick(now=500.0, among=[0, 1, 2]) == 0
    # One that is not known yet is taken for the mean of the others.
    assert frontend.holding([30, 25, 25, 19, 60]).pick(now=500.0) == 3


@pytest.mark.parametrize("bias", [0.0, 1.0])
def test_least_request_takes_turns_by_weight_and_requests_in_flight(bias: float) -> None:
    workload = np.array([4, 0, 1, 0, 2])
    weights = CAPACITY / (workload + 1.0) ** bias
    counts = Frontend(f"least_request:bias={bias}").holding(workload).picks(3000)
    # An earliest-deadline schedule is never more than a turn of each from its shares.
    assert np.abs(counts - 3000 * weights / weights.sum()).max() < BACKENDS


@given(workload=WORKLOADS, taken=st.integers(1, 40))
def test_least_request_is_its_formula(workload: list[int], taken: int) -> None:
    frontend = Frontend("least_request").holding(workload)
    due = [(n + 1) / c for n, c in zip(workload, CAPACITY, strict=True)]
    for _ in range(taken):
        found = frontend.pick()
        assert due[found] == pytest.approx(min(due), rel=1e-9)
        due[found] += (workload[found] + 1) / CAPACITY[found]


def test_least_request_serves_one_that_was_away_no_more_than_its_share() -> None:
    frontend = Frontend("least_request:bias=0")
    for _ in range(1000):
        frontend.pick(among=[1, 2])
    back = [frontend.pick(among=[0, 1, 2]) for _ in range(66)]  # capacities 40, 6, 20
    assert back.count(0) == pytest.approx(40, abs=2)
    gone = [frontend.pick(among=[1, 2]) for _ in range(26)]
    assert gone.count(2) == pytest.approx(20, abs=2)


def test_least_request_draws_two_where_weights_are_equal() -> None:
    # Backends 0 and 3 are alike, and so are 1 and 4.
    frontend = Frontend("least_request").holding([3, 0, 0, 1, 0])
    counts = np.bincount([frontend.pick(among=[0, 3]) for _ in range(4000)], minlength=5)
    assert counts[0] == pytest.approx(1000, abs=4.5 * math.sqrt(750))  # both draws the longer one
    assert counts[0] + counts[3] == 4000


@given(workload=WORKLOADS)
def test_without_tokens_rivals_fall_back_on_workloads(workload: list[int]) -> None:
    """What their formulas mean where all jobs are alike."""
    for name in ("lmetric", "sticky_tokens", "linear_cost", "cache_threshold"):
        assert Frontend(name).holding(workload).pick() in best(workload)
    for join in (False, True):
        text = f"least_work:join={str(join).lower()}"
        scores = (np.array(workload) + join) / CAPACITY
        assert Frontend(text).holding(workload).pick() in best(scores)
    assert Frontend("predicted_latency").holding(workload).pick() in best(latency(workload))


@given(workload=WORKLOADS, slo=st.sampled_from([0.1, 0.3, 1.0, 3.0]))
def test_predicted_latency_packs_up_to_its_target(workload: list[int], slo: float) -> None:
    times = latency(workload)
    within = [time for time in times if time <= slo]
    found = Frontend(f"predicted_latency:slo={slo}").holding(workload).pick()
    assert times[found] == pytest.approx(max(within) if within else min(times))


@given(workload=WORKLOADS, bound=st.sampled_from([1.01, 1.25, 2.0]), seed=st.integers(0, 9))
def test_bounded_hash_keeps_its_bounds(workload: list[int], bound: float, seed: int) -> None:
    frontend = Frontend(f"bounded_hash:bound={bound}").holding(workload)
    frontend.rng[0] += seed
    found = frontend.pick()
    share = CAPACITY[found] / CAPACITY.sum()
    assert workload[found] + 1 <= math.ceil(bound * (sum(workload) + 1) * share)


def test_bounded_hash_without_prefixes_goes_by_lot_and_weight() -> None:
    # Bounds so wide that none is met.
    counts = Frontend("bounded_hash:bound=1e9").picks(20_000)
    expected = 20_000 * CAPACITY / CAPACITY.sum()
    assert np.sum((counts - expected) ** 2 / expected) < chi2.ppf(0.9999, 4)
    counts = Frontend("bounded_hash:bound=1e9,weighted=false").picks(20_000)
    assert np.sum((counts - 4000.0) ** 2 / 4000.0) < chi2.ppf(0.9999, 4)


def test_gmsr_over_a_sample() -> None:
    workload = [30, 2, 6, 3, 20]
    price = [1.0 / float(c.marginal(float(n))) for n, c in zip(workload, CURVE_OF, strict=True)]
    order = np.argsort(price)
    assert Frontend("gmsr:d=64").holding(workload).picks(20)[order[0]] == 20
    counts = Frontend("gmsr:d=3").holding(workload).picks(5000)[order]
    expected = np.array([0.6, 0.3, 0.1]) * 5000  # the least of three distinct ones of five
    assert counts[3:].sum() == 0
    assert np.sum((counts[:3] - expected) ** 2 / expected) < chi2.ppf(0.9999, 2)


@pytest.mark.parametrize(
    "text",
    [
        "gmsr:d=65",
        "gmsr:d=-1",
        "prequal:probes=0",
        "prequal:quantile=1.1",
        "dgd_lb:eta=0",
        "drain_rate:window=0",
        "drain_rate:smoothing=inf",
        "least_request:bias=-1",
        "least_request:choices=0",
        "least_work:count=all",
        "predicted_latency:slo=-1",
        "sticky_tokens:affinity=0",
        "sticky_tokens:penalty=0",
        "sticky_tokens:throughput=nan",
        "cache_threshold:threshold=2",
        "cache_threshold:absolute=-1",
        "cache_threshold:relative=0.5",
        "linear_cost:weight=-1",
        "bounded_hash:bound=1",
    ],
)
def test_options_out_of_range_are_refused(text: str) -> None:
    option = text.partition(":")[2].partition("=")[0]
    with pytest.raises(PolicyError, match=f"{option} is "):
        parse(text).option()
