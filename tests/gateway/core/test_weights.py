"""Weights: a backend counts as so many machines of its kind."""

import pytest

from isocline.errors import PolicyError
from isocline.gateway.core.core import Core
from isocline.model.curves import (
    Curve,
    ExponentialCurve,
    HyperbolicCurve,
    KneeCurve,
    PoolCurve,
    ServersCurve,
    TableCurve,
)
from tests.gateway.core.cores import FAST, SLOW, core, sent


def backends_of(made: Core, count: int) -> list[int]:
    return [action.backend for action in sent(made, count)]


@pytest.mark.parametrize("curve", [SLOW, ExponentialCurve(3.0, 4.0), KneeCurve(9.0, 4.0, 3.0)])
@pytest.mark.parametrize("policy", ["gmsr", "gmsr_secant"])
def test_workloads_are_in_proportion_to_weights(curve: Curve, policy: str) -> None:
    made = core(curve, curve, curve, policy=f"{policy}:ties=first")
    made.weight_changed(1, 2.0, 0.0)
    made.weight_changed(2, 0.5, 0.0)
    backends_of(made, 70)
    assert [made.in_flight(b) for b in range(3)] == pytest.approx([20, 40, 10], abs=2)


def test_a_whole_weight_is_that_of_a_pool() -> None:
    """An independent twin: the pool's curve is found by a search for its members' best split."""
    curve = KneeCurve(9.0, 4.0, 3.0)
    weighted = core(curve, FAST, policy="gmsr:ties=first")
    weighted.weight_changed(0, 3.0, 0.0)
    pooled = core(PoolCurve((curve,) * 3), FAST, policy="gmsr:ties=first")
    assert backends_of(weighted, 60) == backends_of(pooled, 60)


def test_rates_that_are_shown_are_those_of_the_machine() -> None:
    made = core(FAST, SLOW)
    made.weight_changed(0, 2.0, 0.0)
    assert made.policy_runtime.curves[0] == FAST


def test_a_weight_that_is_taken_back_leaves_nothing() -> None:
    made, fresh = (
        core(FAST, SLOW, policy="gmsr:ties=first"),
        core(FAST, SLOW, policy="gmsr:ties=first"),
    )
    made.weight_changed(1, 7.0, 0.0)
    made.weight_changed(1, 1.0, 0.0)
    assert backends_of(made, 30) == backends_of(fresh, 30)


def test_a_weight_outlasts_a_change_of_the_curve() -> None:
    made = core(FAST, FAST, policy="gmsr:ties=first")
    made.weight_changed(0, 3.0, 0.0)
    made.curves_changed({0: SLOW, 1: SLOW}, 1.0)
    backends_of(made, 40)
    assert made.in_flight(0) == pytest.approx(30, abs=1)


@pytest.mark.parametrize("policy", ["weighted_round_robin", "weighted_least_connections"])
def test_weights_of_other_balancers_mean_the_same(policy: str) -> None:
    made = core(SLOW, SLOW, policy=policy)
    made.weight_changed(1, 3.0, 0.0)
    assert backends_of(made, 40).count(1) == pytest.approx(30, abs=2)


def test_limits_stay_those_of_the_machine() -> None:
    """A measured peak of 2 jobs is one of memory: a weight does not move it."""
    measured = TableCurve(((1, 1.0), (2, 1.5), (4, 1.2)))
    made = core(measured, HyperbolicCurve(1.0, 9.0))
    made.weight_changed(0, 4.0, 0.0)
    backends_of(made, 10)
    assert made.in_flight(0) == 2


def test_servers_may_count_as_a_part_of_one() -> None:
    made = core(ServersCurve(1.0, 1), ServersCurve(1.0, 1), policy="least_expected_latency")
    made.weight_changed(0, 0.5, 0.0)
    backends_of(made, 30)
    assert made.in_flight(1) == pytest.approx(20, abs=1)


def test_a_weight_that_the_policy_cannot_use_changes_nothing() -> None:
    made = core(ServersCurve(1.0, 1), ServersCurve(1.0, 1), policy="jsq:count=waiting")
    with pytest.raises(PolicyError, match="serves all its jobs at once"):
        made.weight_changed(0, 0.5, 0.0)
    assert made.policy_runtime.weights == [1.0, 1.0]
    assert sorted(backends_of(made, 2)) == [0, 1]
