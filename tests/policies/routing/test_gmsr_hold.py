"""When `gmsr_hold` holds, and where it sends what it does not hold."""

import numpy as np
import pytest

from isocline.model.curves import Curve, HyperbolicCurve, KneeCurve, TableCurve
from isocline.model.graph import CompatibilityGraph
from isocline.policies.routing.contract import HOLD, RoutingPolicy, Setting, View
from isocline.policies.routing.gmsr import Gmsr
from isocline.policies.routing.gmsr_hold import GmsrHold
from isocline.policies.routing.gmsr_secant import GmsrSecant
from isocline.randomness.draws import stream
from tests.builders import station

CURVES: tuple[Curve, ...] = (
    HyperbolicCurve(8.0, 3.0),
    KneeCurve(5.0, 6.0, 2.0),
    TableCurve(((1.0, 2.0), (4.0, 5.0), (8.0, 6.0))),
    station(0.7, 3),
)
SETTING = Setting(
    CompatibilityGraph.from_neighbours(4, [[0, 1, 2, 3]]), CURVES, np.arange(4, dtype=np.int32)
)


class World:
    """A policy that sees all four backends."""

    def __init__(self, policy: RoutingPolicy, workload: list[int], seed: int = 0):
        self.choose, _ = policy.functions()
        self.view = View(
            SETTING.graph.sink.copy(),
            np.array(workload, np.int32),
            SETTING.row,
            np.ascontiguousarray(policy.table(SETTING, np.arange(200.0))),
            policy.parameter(SETTING),
            policy.memory(SETTING),
            policy.option(),
        )
        self.rng = stream(seed)

    def pick(self, now: float = 1.0) -> int:
        """The edge, which has the number of its backend."""
        return int(self.choose(np.arange(4, dtype=np.int32), self.view, now, self.rng))


def marginals(workload: list[int]) -> np.ndarray:
    return np.array([float(c.marginal(n)) for c, n in zip(CURVES, workload, strict=True)])


@pytest.mark.parametrize("level", [0.0, 0.05, 0.2, 0.7, 3.0])
def test_it_holds_while_no_marginal_rate_is_above_the_level(level: float) -> None:
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(500):
        workload = rng.integers(0, 30, 4).tolist()
        edge = World(GmsrHold(level), workload).pick()
        marginal = marginals(workload)
        if edge == HOLD:
            held += 1
            assert marginal.max() <= level * (1 + 1e-12)
            assert workload[int(np.argmax(marginal))] > 0
        else:
            assert marginal[edge] == marginal.max()
            assert marginal[edge] > level or workload[edge] == 0
    assert held > 0 or level == 0.0


def test_at_level_0_it_holds_where_one_more_job_would_add_nothing() -> None:
    full = World(GmsrHold(), [0, 0, 8, 3])
    only = np.array([2, 3], np.int32)
    assert full.choose(only, full.view, 1.0, full.rng) == HOLD
    full.view.workload[3] = 2
    assert full.choose(only, full.view, 1.0, full.rng) == 3


def test_at_level_0_on_curves_that_never_end_it_is_gmsr() -> None:
    rng = np.random.default_rng(4)
    for _ in range(200):
        workload = [*rng.integers(0, 150, 2).tolist(), 150, 150]
        one, two = World(GmsrHold(), workload), World(Gmsr(), workload)
        assert one.pick() == two.pick()


def test_by_the_secant_it_holds_as_ever_and_sends_as_gmsr_secant() -> None:
    rng = np.random.default_rng(6)
    hold, plain = World(GmsrHold(), [0] * 4), World(GmsrHold(price="secant"), [0] * 4)
    secant = World(GmsrSecant(), [0] * 4)
    held = sent = 0
    for step in range(1, 2000):
        jobs = [*rng.integers(0, 9, 2).tolist(), *rng.integers(0, 12, 2).tolist()]
        # Those that gain nothing are none to `gmsr_secant`.
        open_ = [edge for edge in (2, 3) if marginals(jobs)[edge] > 0.0]
        for world in (hold, plain, secant):
            world.view.workload[:] = jobs
        only, now = np.array([2, 3], np.int32), 0.02 * step
        chosen = plain.choose(only, plain.view, now, plain.rng)
        assert (chosen == HOLD) == (hold.choose(only, hold.view, now, hold.rng) == HOLD)
        held += chosen == HOLD
        if open_:
            sent += 1
            among = np.array(open_, np.int32)
            assert chosen == secant.choose(among, secant.view, now, secant.rng)
    assert held > 100
    assert sent > 100


def test_a_queue_let_go_at_one_instant_is_spread_as_if_each_job_had_arrived() -> None:
    world = World(GmsrHold(level=0.05), [0, 0, 0, 0])
    jobs = [0, 0, 0, 0]
    while (edge := world.pick(now=7.0)) != HOLD:
        assert marginals(jobs)[edge] == marginals(jobs).max()
        jobs[edge] += 1
    assert marginals(jobs).max() <= 0.05
    # At the next instant what was sent is among the workloads, and counted once.
    world.view.workload[:] = jobs
    assert world.pick(now=8.0) == HOLD
    world.view.workload[0] -= 10
    assert world.pick(now=9.0) == 0


def test_ties_are_even() -> None:
    world = World(GmsrHold(), [0, 0, 0, 0])
    world.view.row[:] = 3
    counts = np.bincount([world.pick(float(i)) for i in range(8000)], minlength=4)
    # Four standard deviations of a binomial count.
    assert np.all(np.abs(counts - 2000) < 4 * (8000 * 0.25 * 0.75) ** 0.5)
