"""The hindsight bound: both certificates, against linear programs, exact paths and policies."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import linprog
from scipy.sparse import coo_array

import isocline
from isocline.errors import UsageError
from isocline.model.curves import Curve, ExponentialCurve, HyperbolicCurve, KneeCurve, ServersCurve
from isocline.model.fleet import RoutingSystem
from isocline.model.traffic import read_trace
from isocline.simulate.routing.scenario import scenario
from isocline.theory import fluid_optimum
from isocline.theory.routing.hindsight.bound import HindsightBound, hindsight_bound
from isocline.theory.routing.hindsight.certificates import from_above, from_below, gap_of_cells
from isocline.theory.routing.hindsight.pools import Pools, TooLargeError, pooled
from tests.builders import fleet

FloatArray = npt.NDArray[np.float64]
AZURE = Path(__file__).parents[4] / "shared/data/azure_llm_code.csv"
MIXED = Path(__file__).parents[3] / "examples/mixed_fleet.yaml"


def whole(curve: Curve, n: float) -> float:
    """The curve, straight between whole numbers."""
    j = np.floor(n)
    below, above = curve.rate(np.array([j, j + 1.0]))
    return float(below + (above - below) * (n - j))


def program(
    system: RoutingSystem,
    times: FloatArray,
    frontends: npt.NDArray[np.int64],
    step: float,
    cells: int,
    *,
    feasible: bool,
) -> float:
    """The least total delay on a grid, by HiGHS; `times` are multiples of `step`, s.

    `feasible`: a cell serves at the rate of what is left at its end, so that the program's optimum
    is a path, and at least the least delay. Else at the rate of what was there at its beginning,
    and only what is left at its end counts: at most the least delay.
    """
    graph, size = system.graph, len(system.backends)
    edges = graph.sink.size
    width = 2 * size + edges  # jobs at the end, departures, inflow of each edge
    rows: list[tuple[int, int, float]] = []
    equal: list[float] = []
    below: list[tuple[int, int, float]] = []
    most: list[float] = []
    cost = np.zeros(cells * width)
    came = np.rint(times / step).astype(int)
    for k in range(cells):
        n, d, x = k * width, k * width + size, k * width + 2 * size
        for f in range(graph.sources):
            mine = range(graph.first[f], graph.first[f + 1])
            rows += [(len(equal), x + e, 1.0) for e in mine]
            equal.append(float(np.sum((came == k) & (frontends == f))))
        for b in range(size):
            # jobs at the beginning: those left before, and inflow
            begun = [(x + e, 1.0) for e in range(edges) if graph.sink[e] == b]
            begun += [(n - width + b, 1.0)] if k else []
            rows += [(len(equal), n + b, 1.0), (len(equal), d + b, 1.0)]
            rows += [(len(equal), at, -value) for at, value in begun]
            equal.append(0.0)
            cost[n + b] += step
            if feasible:
                cost[d + b] += 0.5 * step
            for j in range(times.size):
                low, high = system.curves[b].rate(np.array([j, j + 1.0]))
                slope = step * float(high - low)
                seen = [(n + b, 1.0)] if feasible else begun
                below.append((len(most), d + b, 1.0))
                below += [(len(most), at, -slope * value) for at, value in seen]
                most.append(step * float(low) - slope * j)
    upper = [np.inf] * (cells * width)
    for b, curve in enumerate(system.curves):
        last = (cells - 1) * width + b
        cost[last] += 1.0 / float(curve.rate(1.0))  # what one job or less takes alone
        upper[last] = 1.0 if feasible else np.inf

    def matrix(entries: list[tuple[int, int, float]], height: int) -> Any:
        i, j, v = zip(*entries, strict=True)
        return coo_array((v, (i, j)), shape=(height, cells * width)).tocsr()

    solved = linprog(
        cost,
        A_ub=matrix(below, len(most)),
        b_ub=np.array(most),
        A_eq=matrix(rows, len(equal)),
        b_eq=np.array(equal),
        bounds=[(0.0, most_here) for most_here in upper],
        method="highs",
    )
    assert solved.status == 0, solved.message
    assert solved.fun is not None
    return float(solved.fun)


@pytest.mark.parametrize(
    "curves",
    [
        [HyperbolicCurve(3.0, 2.0), KneeCurve(1.2, 1.5, 3.0)],
        [ServersCurve(0.7, 2), HyperbolicCurve(2.0, 0.5)],
    ],
)
def test_it_is_the_optimum_of_a_linear_program_on_a_fine_grid(curves: list[Curve]) -> None:
    system = fleet(curves, [1.0, 1.0], [[0, 1], [1]])
    rng = np.random.default_rng(4)
    times = np.asarray(np.sort(rng.integers(0, 60, 14)) * 0.06, np.float64)
    frontends = rng.integers(0, 2, 14)
    low, high = (
        program(system, times, frontends, 0.06, 260, feasible=feasible)
        for feasible in (False, True)
    )
    found = hindsight_bound(system, times, frontends, tolerance=0.002)
    assert found.gap < 0.01
    assert low <= found.upper
    assert found.lower <= high
    assert 0.5 * (low + high) == pytest.approx(found.lower, rel=0.02)
    assert high / low < 1.1  # else this test would say little


def small(rng: np.random.Generator, system: RoutingSystem, jobs: int) -> Pools:
    times = np.cumsum(rng.exponential(0.3, jobs))
    return pooled(
        system.graph,
        system.curves,
        rng.integers(0, 4, len(system.backends)).astype(np.float64),
        times,
        rng.integers(0, len(system.frontends), jobs),
        np.ones(len(system.frontends)),
    )


curve = st.one_of(
    st.builds(HyperbolicCurve, st.floats(0.5, 20.0), st.floats(0.5, 20.0)),
    st.builds(ExponentialCurve, st.floats(0.5, 20.0), st.floats(0.5, 20.0)),
    st.builds(KneeCurve, st.floats(0.5, 20.0), st.floats(0.5, 20.0), st.floats(1.0, 6.0)),
    st.builds(ServersCurve, st.floats(0.5, 5.0), st.integers(1, 4)),
)


@st.composite
def systems(draw: st.DrawFn) -> RoutingSystem:
    made = draw(st.lists(curve, min_size=1, max_size=4))
    row = st.sets(st.sampled_from(range(len(made))), min_size=1).map(sorted)
    rows = draw(st.lists(row, min_size=1, max_size=3))
    return fleet(made, [1.0] * len(rows), rows)


@settings(deadline=None, max_examples=60)
@given(systems(), st.integers(0, 2**32), st.integers(3, 40))
def test_any_prices_stay_below_any_path_and_the_cells_say_where(
    system: RoutingSystem, seed: int, cells: int
) -> None:
    """Weak duality: neither has to be good for that."""
    rng = np.random.default_rng(seed)
    pools = small(rng, system, 20)
    node = np.concatenate(([0.0], np.sort(rng.uniform(0.0, 9.0, cells)), [60.0, 600.0]))
    prices = rng.exponential(2.0, (node.size, pools.members.size))
    shares = rng.exponential(1.0, (node.size, pools.pool.size))
    shares /= np.add.reduceat(shares, pools.first[:-1], axis=1)[:, pools.group]
    below, above = from_below(pools, node, prices), from_above(pools, node, shares)
    assert below.value <= above.value
    parts = gap_of_cells(pools, below, above)
    assert parts.min() >= -1e-9 * above.value
    if above.at_node[-1].max() < 1.0:
        # What is left pays at most its price at the end, and no price there is above that.
        assert parts.sum() <= (above.value - below.value) * (1.0 + 1e-9) + 1e-9


@settings(deadline=None, max_examples=20)
@given(systems(), st.integers(0, 2**32))
def test_a_lower_bound_is_its_integral_evaluated_another_way(
    system: RoutingSystem, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    pools = small(rng, system, 12)
    node = np.linspace(0.0, 30.0, 8)
    given_prices = rng.exponential(2.0, (node.size, pools.members.size))
    found = from_below(pools, node, given_prices)
    p = found.prices
    assert (p >= 0.0).all()
    assert (p <= given_prices + 1e-12).all()
    assert (np.diff(p, axis=0) >= -np.diff(node)[:, None] - 1e-9).all()
    assert (p[-1] <= pools.alone + 1e-12).all()
    total = float((pools.members * pools.start) @ p[0])
    for time, group in zip(pools.jobs.time, pools.jobs.group, strict=True):
        mine = pools.pool[pools.first[group] : pools.first[group + 1]]
        total += min(float(np.interp(time, node, p[:, b])) for b in mine)
    n = np.arange(pools.rate.shape[1])
    lost = 0.0
    for b in range(pools.members.size):
        for k, (begin, end) in enumerate(pairwise(node)):
            slack = 1.0 + (p[k + 1, b] - p[k, b]) / (end - begin)
            price = np.linspace(p[k, b], p[k + 1, b], 201)
            value = (price[:, None] * pools.rate[b] - slack * n).max(axis=1)
            lost += pools.members[b] * float(np.trapezoid(value, dx=(end - begin) / 200.0))
    # The two ends of each cell alone take more away than 200 points do.
    assert found.value <= total - lost + 1e-9 * (abs(total) + lost)


def test_a_path_is_that_of_small_steps() -> None:
    system = fleet([HyperbolicCurve(3.0, 2.0), KneeCurve(1.2, 1.5, 3.0)], [1.0, 1.0], [[0, 1], [1]])
    rng = np.random.default_rng(2)
    pools = small(rng, system, 15)
    node = np.array([0.0, 2.0, 5.0, 12.0])
    shares = np.array([[0.2, 0.8, 1.0], [0.7, 0.3, 1.0], [0.5, 0.5, 1.0], [0.5, 0.5, 1.0]])
    found = from_above(pools, node, shares)
    jobs, area, now, step = pools.start.copy(), 0.0, 0.0, 2e-3
    for time, group in [*zip(pools.jobs.time, pools.jobs.group, strict=True), (12.0, 0)]:
        while now < time:
            h = min(step, time - now)
            middle = [n - 0.5 * h * whole(system.curves[b], n) for b, n in enumerate(jobs)]
            rates = np.array([whole(system.curves[b], n) for b, n in enumerate(middle)])
            area += h * float(np.sum(middle))
            jobs, now = jobs - h * rates, now + h
        for e in range(pools.first[group], pools.first[group + 1]):
            if time < 12.0:
                jobs[pools.pool[e]] += float(np.interp(time, node, shares[:, e]))
    assert found.cells.sum() == pytest.approx(area, rel=1e-4)
    assert found.at_node[-1] == pytest.approx(jobs, abs=1e-3)


@settings(deadline=None, max_examples=15)
@given(systems(), st.integers(0, 2**32), st.sampled_from([0.1, 0.5, 3.0]))
def test_the_certificates_meet(system: RoutingSystem, seed: int, gaps: float) -> None:
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.exponential(gaps, 60) * rng.choice([0.1, 1.0, 3.0], 60))
    found = hindsight_bound(system, times, rng.integers(0, len(system.frontends), 60))
    assert 0.0 < found.lower <= found.upper
    assert found.gap < 0.1


def test_nothing_is_left_to_decide_at_one_backend() -> None:
    system = fleet([HyperbolicCurve(3.0, 2.0)], [1.0])
    times = np.cumsum(np.random.default_rng(1).exponential(0.5, 200))
    found = hindsight_bound(system, times, tolerance=0.001)
    one = pooled(system.graph, system.curves, np.zeros(1), times, None, np.ones(1))
    node = np.array([0.0, times[-1] + 1.0, times[-1] + 1000.0])
    exact = from_above(one, node, np.ones((3, 1))).value
    assert found.upper == pytest.approx(exact, rel=1e-9)
    assert found.lower == pytest.approx(exact, rel=0.001)


def test_jobs_of_the_start_count() -> None:
    curve = HyperbolicCurve(3.0, 2.0)
    system = fleet([curve], [1.0])
    found = hindsight_bound(system, [500.0], start=[3.0], tolerance=0.001)
    drained = sum(quad(lambda n: n / whole(curve, n), j, j + 1)[0] for j in range(3))
    exact = drained + 1.0 / float(curve.rate(1.0))
    assert exact == pytest.approx(found.upper, rel=1e-9)
    assert found.lower == pytest.approx(exact, rel=0.002)
    assert found.jobs == 4.0


def test_a_long_even_stream_comes_to_the_fluid_optimum() -> None:
    system = fleet([HyperbolicCurve(40.0, 40.0), HyperbolicCurve(10.0, 30.0)], [12.0, 8.0])
    times = np.arange(6000) / 20.0
    found = hindsight_bound(system, times)
    jobs = found.lower / (times[-1] + 0.05)
    best = fluid_optimum(system).total_jobs
    # The run begins and ends empty: some mean latencies of 300 s are missing.
    assert 0.98 * best < jobs < 1.02 * best


def test_like_backends_are_one() -> None:
    """Backends that differ by a hair are not pooled, and have the same bound.

    Those of one curve are not all alike: three have one frontend, and two have both.
    """
    rng = np.random.default_rng(5)
    times = np.cumsum(rng.exponential(0.1, 300) * rng.choice([0.2, 2.0], 300))
    frontends = rng.choice(2, 300, p=[0.1, 0.9])
    rows = [[0, 1, 2, 3, 4], [3, 4]]

    def bound(hair: float) -> HindsightBound:
        curves = [HyperbolicCurve(3.0 + i * hair, 5.0) for i in range(5)]
        system = fleet(curves, [1.0, 1.0], rows)
        return hindsight_bound(system, times, frontends, tolerance=0.003)

    one, apart = bound(0.0), bound(1e-9)
    assert one.lower <= apart.upper * (1.0 + 1e-6)
    assert apart.lower <= one.upper * (1.0 + 1e-6)
    assert max(one.gap, apart.gap) < 0.01


def test_frontends_by_lot_have_at_most_the_mean_over_the_lots() -> None:
    rng = np.random.default_rng(6)
    system = fleet(
        [HyperbolicCurve(4.0, 3.0), HyperbolicCurve(3.0, 5.0)], [2.0, 1.0], [[0, 1], [1]]
    )
    times = np.cumsum(rng.exponential(0.4, 200))
    lots = rng.choice(2, (6, 200), p=[2 / 3, 1 / 3])
    mean = np.mean([hindsight_bound(system, times, lot).upper for lot in lots])
    assert hindsight_bound(system, times).lower <= mean


def test_the_result_is_the_same_twice_and_progress_is_told() -> None:
    system = fleet([HyperbolicCurve(4.0, 3.0), HyperbolicCurve(3.0, 5.0)], [2.0])
    times = np.cumsum(np.random.default_rng(8).exponential(0.4, 100))
    seen: list[HindsightBound] = []
    first, second = (hindsight_bound(system, times, progress=seen.append) for _ in range(2))
    assert (first.lower, first.upper, first.cells) == (second.lower, second.upper, second.cells)
    assert len(seen) >= 2
    assert all(a.lower <= b.lower for a, b in pairwise(seen[: len(seen) // 2]))


def test_a_tolerance_that_is_out_of_reach_leaves_two_bounds() -> None:
    system = fleet([HyperbolicCurve(4.0, 3.0), HyperbolicCurve(3.0, 5.0)], [2.0])
    times = np.cumsum(np.random.default_rng(8).exponential(0.4, 100))
    found = hindsight_bound(system, times, tolerance=1e-9, cells=400)
    assert found.cells <= 400
    assert 0.0 < found.gap < 0.1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"times": []}, "times: give one or more finite numbers"),
        ({"times": [0.0, 2.0, 1.0]}, "times: give one or more finite numbers, 0 or more, in order"),
        ({"times": [-1.0]}, "times: give one or more"),
        ({"times": [1.0], "frontends": [2]}, "frontends: give a whole number from 0 to 0 for each"),
        ({"times": [1.0], "frontends": [0, 0]}, "for each of 1 jobs"),
        ({"times": [1.0], "start": [1.0]}, "start: give a finite number, 0 or more, for each of 2"),
        ({"times": [1.0], "tolerance": 2.0}, "tolerance"),
    ],
)
def test_what_is_no_arrival_is_refused(arguments: dict[str, Any], words: str) -> None:
    system = fleet([HyperbolicCurve(4.0, 3.0), HyperbolicCurve(3.0, 5.0)], [2.0])
    with pytest.raises(UsageError, match=words):
        hindsight_bound(system, **arguments)


def test_too_many_unlike_backends_are_refused_at_once() -> None:
    system = fleet([HyperbolicCurve(4.0, 3.0 + 0.01 * b) for b in range(300)], [2.0])
    with pytest.raises(TooLargeError, match="300 unlike backends and 300 edges"):
        hindsight_bound(system, np.arange(10.0))
    alike = fleet([HyperbolicCurve(4.0, 3.0)] * 300, [2.0])
    assert hindsight_bound(alike, np.arange(10.0)).gap <= 0.01


# Two other programs found, on the azure trace by lot: at least these (a linear program on cells of
# 0.05 s that serve at the rate of what was there at their beginning), and these under the best
# policy known, in s.
@pytest.mark.parametrize(("load", "least", "best"), [(0.5, 2.045, 2.171), (0.7, 3.105, 3.290)])
def test_a_real_trace_lies_between_a_coarser_bound_and_a_policy(
    load: float, least: float, best: float
) -> None:
    if not AZURE.exists():
        pytest.skip("the trace is not at hand")
    system = isocline.load(MIXED)
    assert isinstance(system, RoutingSystem)
    scene = scenario(system, read_trace(AZURE), load=load)
    assert scene.trace is not None
    found = hindsight_bound(scene.system, scene.trace.times)
    assert found.gap <= 0.01
    assert least <= found.latency <= best
