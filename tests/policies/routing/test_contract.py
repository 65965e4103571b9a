"""One suite for all routing policies; `ALL` enrols each."""

from itertools import pairwise
from math import comb

import numpy as np
import pytest
from scipy.stats import chi2

from isocline.model.curves import Curve, HyperbolicCurve, KneeCurve
from isocline.model.graph import CompatibilityGraph
from isocline.policies.routing import ALL
from isocline.policies.routing.contract import RoutingPolicy, Setting, View
from isocline.policies.routing.gmsr import Gmsr
from isocline.policies.routing.jfsq import Jfsq
from isocline.policies.routing.jiq import Jiq
from isocline.policies.routing.jsq import Jsq
from isocline.policies.routing.least_expected_latency import LeastExpectedLatency
from isocline.policies.routing.peak_ewma import PeakEwma
from isocline.policies.routing.power_of_d import PowerOfD
from isocline.policies.routing.random import Random
from isocline.policies.routing.round_robin import RoundRobin
from isocline.policies.routing.static_optimal import StaticOptimal
from isocline.policies.routing.weighted_least_connections import WeightedLeastConnections
from isocline.policies.routing.weighted_round_robin import WeightedRoundRobin
from isocline.randomness.draws import stream

CURVES: tuple[Curve, ...] = (
    HyperbolicCurve(40.0, 12.0),
    HyperbolicCurve(6.0, 5.0),
    KneeCurve(20.0, 8.0, 3.0),
)
ROW = np.array([0, 1, 2, 0, 1], np.int32)
GRAPH = CompatibilityGraph.from_neighbours(5, [[0, 1, 2, 3, 4], [2], [1, 3]])
SETTING = Setting(GRAPH, CURVES, ROW, split=np.array([4.0, 0.0, 2.0, 3.0, 1.0, 1.0, 0.5, 0.5]))


class World:
    """One policy with its view, as the simulator or a live core holds it."""

    def __init__(self, policy: RoutingPolicy, seed: int = 0, setting: Setting = SETTING):
        self.choose, self.observe = policy.functions()
        graph = setting.graph
        self.graph = graph
        self.view = View(
            graph.sink.copy(),
            np.zeros(graph.sinks, np.int32),
            setting.row,
            np.ascontiguousarray(policy.table(setting, np.arange(50.0))),
            policy.parameter(setting),
            policy.memory(setting),
            policy.option(),
        )
        self.rng = stream(seed)

    def pick(self, frontend: int = 0, now: float = 0.0) -> int:
        """The backend chosen."""
        first, last = self.graph.first[frontend], self.graph.first[frontend + 1]
        edge = self.choose(np.arange(first, last, dtype=np.int32), self.view, now, self.rng)
        assert first <= edge < last
        return int(self.view.backend[edge])

    def picks(self, count: int) -> np.ndarray:
        """How often each backend is chosen by frontend 0 at these workloads."""
        return np.bincount([self.pick() for _ in range(count)], minlength=self.graph.sinks)


@pytest.fixture(params=list(ALL.values()), ids=list(ALL))
def policy(request: pytest.FixtureRequest) -> RoutingPolicy:
    kind: type[RoutingPolicy] = request.param
    return kind()


def test_it_stays_within_the_candidates_at_any_workload(policy: RoutingPolicy) -> None:
    world = World(policy)
    rng = np.random.default_rng(1)
    for _ in range(200):
        world.view.workload[:] = rng.integers(0, 80, 5)  # beyond the 50 tabulated, too
        for frontend in range(3):
            assert world.pick(frontend) in GRAPH.neighbours(frontend)


def test_it_works_with_one_candidate(policy: RoutingPolicy) -> None:
    assert World(policy).pick(1) == 2


def test_the_same_seed_makes_the_same_choices(policy: RoutingPolicy) -> None:
    one, two = World(policy, seed=4), World(policy, seed=4)
    assert [one.pick() for _ in range(50)] == [two.pick() for _ in range(50)]


def test_a_subset_of_the_candidates_is_respected(policy: RoutingPolicy) -> None:
    world = World(policy)
    up = np.array([1, 4], np.int32)  # the others are down, say
    for _ in range(50):
        assert world.choose(up, world.view, 0.0, world.rng) in up


def test_it_reads_but_does_not_write_what_is_not_its_own(policy: RoutingPolicy) -> None:
    world = World(policy)
    world.view.workload[:] = [3, 1, 4, 1, 5]
    before = [np.copy(array) for array in world.view]
    for _ in range(20):
        world.pick()
    for name, old, new in zip(View._fields, before, world.view, strict=True):
        assert name == "memory" or np.array_equal(old, np.asarray(new))


def scores(policy: RoutingPolicy, workload: list[int]) -> list[float]:
    n = np.array(workload, dtype=np.float64)
    curves = [CURVES[r] for r in ROW]
    match policy:
        case Gmsr(gradient="derivative"):
            return [-float(c.marginal(x)) for c, x in zip(curves, n, strict=True)]
        case Gmsr():
            return [-float(c.rate(x + 1) - c.rate(x)) for c, x in zip(curves, n, strict=True)]
        case Jsq():
            return workload  # type: ignore[return-value]
        case WeightedLeastConnections(join=join):
            return [(x + join) / c.supremum for c, x in zip(curves, n, strict=True)]
        case LeastExpectedLatency():
            return [(x + 1) / float(c.rate(x + 1)) for c, x in zip(curves, n, strict=True)]
        case Jiq():
            return [float(x > 0) for x in n]
    raise AssertionError(policy)


@pytest.mark.parametrize(
    "policy",
    [
        Gmsr(),
        Gmsr(gradient="difference"),
        Jsq(),
        WeightedLeastConnections(),
        WeightedLeastConnections(join=False),
        LeastExpectedLatency(),
        Jiq(),
    ],
    ids=str,
)
def test_the_least_score_wins_and_ties_are_even(policy: RoutingPolicy) -> None:
    rng = np.random.default_rng(8)
    for _ in range(20):
        workload = rng.integers(0, 4, 5).tolist()
        world = World(policy)
        world.view.workload[:] = workload
        score = np.array(scores(policy, workload))
        best = np.isclose(score, score.min(), rtol=1e-12)
        counts = world.picks(600)
        assert counts[~best].sum() == 0
        expected = 600.0 / best.sum()
        # 20 x 7 chi-square checks at level 1e-6 each
        bound = chi2.ppf(1 - 1e-6, max(best.sum() - 1, 1))
        assert np.sum((counts[best] - expected) ** 2) / expected <= bound


def test_ties_first_takes_the_first_of_the_file() -> None:
    world = World(Jsq(ties="first"))
    assert world.picks(20).tolist() == [20, 0, 0, 0, 0]


def test_jfsq_breaks_ties_by_speed() -> None:
    world = World(Jfsq())
    world.view.workload[:] = [2, 1, 1, 2, 1]  # backends 1 and 4 serve 6/s, backend 2 serves 20/s
    assert world.picks(20).tolist() == [0, 0, 20, 0, 0]


@pytest.mark.parametrize("d", [2, 3, 4])
@pytest.mark.parametrize("replacement", [False, True])
def test_a_sample_is_uniform(d: int, replacement: bool) -> None:
    # With workloads all different the chosen one is the least of the sample, whose rank has a
    # known law: P(rank >= r) = C(5-r, d)/C(5, d), or ((5-r)/5)^d with replacement.
    world = World(PowerOfD(d=d, replacement=replacement))
    world.view.workload[:] = [3, 0, 4, 1, 2]
    counts = world.picks(30_000)[[1, 3, 4, 0, 2]]
    if replacement:
        tail = [((5 - r) / 5) ** d for r in range(6)]
    else:
        tail = [comb(5 - r, d) / comb(5, d) for r in range(6)]
    expected = -np.diff(tail) * 30_000
    drawn = expected > 0
    assert counts[~drawn].sum() == 0
    statistic = np.sum((counts[drawn] - expected[drawn]) ** 2 / expected[drawn])
    assert statistic < chi2.ppf(1 - 1e-5, max(drawn.sum() - 1, 1))


def test_sampling_all_candidates_is_jsq() -> None:
    world = World(PowerOfD(d=64))
    world.view.workload[:] = [3, 2, 4, 1, 2]
    assert world.picks(20).tolist() == [0, 0, 0, 20, 0]


def test_random_is_even() -> None:
    counts = World(Random()).picks(10_000)
    assert np.sum((counts - 2000.0) ** 2) / 2000.0 < chi2.ppf(0.9999, 4)


def test_round_robin_goes_round() -> None:
    world = World(RoundRobin())
    assert [world.pick() for _ in range(7)] == [0, 1, 2, 3, 4, 0, 1]
    assert [world.pick(2) for _ in range(3)] == [1, 3, 1]


def test_weighted_round_robin_is_exact_over_a_cycle_and_smooth_within() -> None:
    # Capacities 40, 6, 20, 40, 6 = 2 * (20, 3, 10, 20, 3): a cycle is 56 jobs.
    world = World(WeightedRoundRobin())
    cycle = [world.pick() for _ in range(56)]
    assert np.bincount(cycle).tolist() == [20, 3, 10, 20, 3]
    assert all(a != b for a, b in pairwise(cycle))


def test_static_optimal_follows_the_split() -> None:
    counts = World(StaticOptimal()).picks(20_000)
    assert counts[1] == 0
    expected = np.array([4.0, 2.0, 3.0, 1.0]) * 2000.0
    assert np.sum((counts[[0, 2, 3, 4]] - expected) ** 2 / expected) < chi2.ppf(0.9999, 3)


@pytest.mark.parametrize("kind", [Random, RoundRobin, WeightedRoundRobin, StaticOptimal])
def test_declared_shares_are_the_shares_seen(kind: type[RoutingPolicy]) -> None:
    policy = kind()
    shares = policy.shares(SETTING)
    assert shares is not None
    assert np.allclose(np.add.reduceat(shares, GRAPH.first[:-1]), 1.0)
    seen = World(policy).picks(20_000) / 20_000.0
    assert np.allclose(seen, shares[:5], atol=4.5 * np.sqrt(0.25 / 20_000))  # 4.5 sigma at most


def test_peak_ewma_believes_a_peak_at_once_and_forgets_it_slowly() -> None:
    graph = CompatibilityGraph.from_neighbours(2, [[0, 1]])
    world = World(PeakEwma(tau=10.0), setting=Setting(graph, CURVES[:1], np.zeros(2, np.int32)))
    world.observe(0, 1.0, 0.0, world.view)
    world.observe(1, 1.2, 0.0, world.view)
    assert world.pick(now=0.0) == 0
    world.observe(0, 5.0, 1.0, world.view)  # a peak
    assert world.pick(now=1.0) == 1
    for second in range(2, 60):
        world.observe(0, 1.0, float(second), world.view)
        world.observe(1, 1.2, float(second), world.view)
    assert world.pick(now=60.0) == 0


def test_peak_ewma_avoids_a_busy_edge_it_knows_nothing_of() -> None:
    graph = CompatibilityGraph.from_neighbours(2, [[0, 1]])
    world = World(PeakEwma(), setting=Setting(graph, CURVES[:1], np.zeros(2, np.int32)))
    world.view.workload[:] = [1, 5]
    world.observe(1, 3.0, 0.0, world.view)
    assert world.pick(now=0.0) == 1
