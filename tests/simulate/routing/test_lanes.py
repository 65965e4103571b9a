"""Each lane is its replication: the draws, the sums and the state of the kernel for one."""

from collections.abc import Sequence

import numpy as np
import pytest

from benchmarks.lanes_kernel import COUNTED, SUMMED, WIDTH, Lanes, lanes, run_lanes, suits
from isocline.model.curves import Curve, ExponentialCurve, HyperbolicCurve, ServersCurve
from isocline.policies.parse import parse
from isocline.simulate.common.kernels import counters
from isocline.simulate.common.replication import Run
from isocline.simulate.routing.engines import ChainEngine
from isocline.simulate.routing.prepare import prepare
from isocline.simulate.routing.run_settings import RunSettings
from tests.builders import fleet, mixed

CURVES: list[Curve] = [
    ServersCurve(1.0, 1),
    ServersCurve(0.7, 3),
    HyperbolicCurve(40.0, 12.0),
    ExponentialCurve(6.0, 5.0),
]


def engines(
    curve: Curve, backends: int, load: float, d: int, seeds: Sequence[int]
) -> list[ChainEngine]:
    """A run alone for each seed."""
    prepared = prepare(fleet([curve] * backends, [load * backends * curve.supremum]))
    policy = parse(f"power_of_d:d={d}")
    return [
        ChainEngine(Run(prepared, policy, RunSettings(1.0, seed=seed, percentiles=False), number))
        for number, seed in enumerate(seeds)
    ]


def together(alone: Sequence[ChainEngine]) -> Lanes:
    return lanes(
        np.array([one.streams.events for one in alone]),
        np.array([one.streams.policy for one in alone]),
        np.array([one.view.workload for one in alone]),
        np.array([one.gauge[counters.RATE] for one in alone]),
        alone[0].size - 1,
    )


def advance(runs: Lanes, one: ChainEngine, d: int, ticks: int) -> int:
    """Run all lanes on to `ticks`, with larger tables where they ask; returns how often."""
    system, enlarged = one.system, 0
    while run_lanes(runs, system, d, ticks) == counters.TABLE_FULL:
        system = system._replace(rate=one.prepared.rates(2 * system.rate.shape[1]))
        enlarged += 1
    return enlarged


def assert_same(runs: Lanes, alone: Sequence[ChainEngine]) -> None:
    for lane, one in enumerate(alone):
        np.testing.assert_array_equal(runs.counter[COUNTED, lane], one.count[COUNTED])
        np.testing.assert_array_equal(runs.gauge[SUMMED, lane], one.gauge[SUMMED])
        np.testing.assert_array_equal(runs.workload[lane], one.workload)
        states = runs.drawn[: 4 * WIDTH].reshape(2, 2, WIDTH)[:, :, lane]
        np.testing.assert_array_equal(states, [one.streams.events, one.streams.policy])


@pytest.mark.parametrize("case", range(24))
def test_a_lane_is_its_replication_to_the_last_bit(case: int) -> None:
    rng = np.random.default_rng(case)
    d = int(rng.integers(2, 4))
    backends = int(rng.choice([d, d + 1, 4, 7, 100]))
    curve = CURVES[int(rng.integers(len(CURVES)))]
    seeds = rng.integers(0, 2**31, size=int(rng.integers(1, WIDTH + 1))).tolist()
    alone = engines(curve, backends, float(rng.uniform(0.3, 0.97)), d, seeds)
    runs = together(alone)
    assert suits(alone[0].view, alone[0].system, d)
    ticks = 0
    for length in rng.integers(0, 700, size=4).tolist():  # stops within blocks, too
        ticks += length
        advance(runs, alone[0], d, ticks)
        for one in alone:
            one.advance(ticks / one.system.speed)
        assert_same(runs, alone)
    assert runs.counter[counters.EVENTS, 0] == ticks


def test_lanes_whose_workloads_outgrow_their_tables_stay_the_same() -> None:
    alone = engines(HyperbolicCurve(40.0, 60.0), 2, 0.95, 2, [1, 2, 3])
    runs = together(alone)
    assert advance(runs, alone[0], 2, 60_000) > 2
    for one in alone:
        one.advance(60_000 / one.system.speed)
    assert max(one.workload.max() for one in alone) > 128
    assert_same(runs, alone)


def test_other_systems_do_not_suit() -> None:
    policy = parse("power_of_d:d=2")
    for system in (
        mixed(),
        fleet([HyperbolicCurve(40.0, 12.0), HyperbolicCurve(6.0, 5.0)], [12.0]),
        fleet([ServersCurve(1.0, 1)] * 3, [0.5, 0.5]),
        fleet([ServersCurve(1.0, 1)], [0.5]),
    ):
        one = ChainEngine(Run(prepare(system), policy, RunSettings(1.0, percentiles=False)))
        assert not suits(one.view, one.system, 2)
