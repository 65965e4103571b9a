"""Differences between a system and the one that it becomes hold the truth."""

import numpy as np

import isocline
from isocline.model.changes import changes_in
from isocline.simulate.common.comparison_change import ComparisonChange, _independent

# M/M/1: a mean latency of 1/(mu - lambda).
STATION = isocline.RoutingSystem(
    (isocline.Frontend("f", isocline.PoissonArrivals(0.5)),),
    (isocline.Backend("b", isocline.ServersCurve(1.0)),),
    isocline.CompatibilityGraph.from_neighbours(1, [[0]]),
)


def change(seed: int, count: int = 10) -> ComparisonChange:
    other = isocline.changed(STATION, rates="x1.2")
    before, after = (
        isocline.simulate(
            system, ["jsq"], seed=seed, horizon=4000.0, warmup=200.0, replications=count,
            percentiles=False, common_arrivals=True, threads=1,
        )
        for system in (STATION, other)
    )  # fmt: skip
    return ComparisonChange(changes_in(rates="x1.2"), before, after)


def test_intervals_of_differences_hold_the_difference() -> None:
    rows = [change(seed).policies[0] for seed in range(30)]
    held = [row.difference.low <= 0.5 <= row.difference.high for row in rows if row.difference]
    # At 95 % each, 24 of 30 or fewer come in 1 of 500 such tests.
    assert sum(held) >= 25
    ratios = [row.ratio.low <= 1.25 <= row.ratio.high for row in rows if row.ratio]
    assert sum(ratios) >= 25


def test_pairs_of_the_same_jobs_vary_less_than_their_sides() -> None:
    (row,) = change(1).policies
    assert row.before is not None
    assert row.after is not None
    apart = np.hypot(row.before.latencies.std(), row.after.latencies.std())
    assert (row.after.latencies - row.before.latencies).std() < 0.5 * apart


def test_the_common_replications_are_paired() -> None:
    few, many = change(3, 4), change(3, 6)
    mixed = ComparisonChange(few.changes, few.before, many.after)
    assert mixed.policies[0].difference == few.policies[0].difference


def test_a_side_without_figures_has_no_difference() -> None:
    found = change(0, 2)
    (row,) = ComparisonChange(found.changes, found.before, None).policies
    assert (row.after, row.difference, row.ratio) == (None, None, None)


def test_controls_that_say_the_same_count_once() -> None:
    one = np.random.default_rng(0).standard_normal((12, 2))
    kept = _independent([one, one + 1e-3 * one[:, ::-1], np.zeros((12, 1))])
    assert kept is not None
    assert kept.shape == (12, 2)
    assert _independent([]) is None
