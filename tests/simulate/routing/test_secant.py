"""`gmsr_secant` simulated: near the optimum, in bursts, and after what it knew has changed."""

from collections.abc import Sequence

import pytest

from isocline.learn.learner import Learning
from isocline.model.curves import Curve, KneeCurve
from isocline.model.fleet import Frontend, RoutingSystem
from isocline.model.traffic import PiecewiseArrivals, bursty_trace
from isocline.simulate.common.estimate import Estimate
from isocline.simulate.routing.compare import simulate
from isocline.simulate.routing.failure import Failure
from isocline.simulate.routing.results import PolicyResult
from isocline.simulate.routing.slowdown import Slowdown
from tests.builders import fleet, mixed

SMALL, LARGE = KneeCurve(120.0, 4.0, 4.0), KneeCurve(200.0, 32.0, 4.0)
CAPACITY = 640.0


def unlike(load: float, curves: Sequence[Curve] = (SMALL, SMALL, LARGE, LARGE)) -> RoutingSystem:
    """Four servers of two kinds; the load is of all four."""
    return fleet(curves, [load * CAPACITY])


def latency(result: PolicyResult) -> Estimate:
    assert result.mean_latency is not None
    return result.mean_latency


def test_the_larger_the_system_the_nearer_is_the_optimum() -> None:
    ratios = []
    for scale in (1.0, 8.0, 64.0):
        found = simulate(
            mixed(), ["gmsr_secant"], scale=scale, replications=8, horizon=600.0, warmup=100.0,
            percentiles=False,
        ).policies[0].ratio_to_bound  # fmt: skip
        assert found is not None
        ratios.append(found)
    one, eight, many = ratios
    assert one.value > eight.value > many.value
    assert one.low > many.high
    assert 1.0 < many.high < 1.02


@pytest.mark.parametrize("load", [0.2, 0.5, 0.7])
def test_in_bursts_it_is_level_with_the_best(load: float) -> None:
    """The best is another policy at each load: GMSR, none of the others, and by capacity."""
    policies = ["gmsr_secant", "gmsr", "weighted_least_connections", "least_expected_latency"]
    result = simulate(
        unlike(0.5), policies, trace=bursty_trace(), load=load, replications=3, percentiles=False
    )
    secant, *others = (latency(policy).value for policy in result.policies)
    assert secant < 1.015 * min(others)
    # No other policy is so at each load.
    worst = {0.2: others[2], 0.5: others[2], 0.7: others[0]}[load]
    assert secant < 0.97 * worst


# Mean latencies are 0.05 to 0.1 s. Replications of 20 s after the change, and as many of a fresh
# start, tell 2 % apart.
CHANGE, AGAIN, END = 60.0, 64.0, 84.0


def after(
    system: RoutingSystem,
    slowdowns: Sequence[Slowdown] = (),
    failures: Sequence[Failure] = (),
    policy: str = "gmsr_secant",
) -> Estimate:
    """Mean latency from 40 mean latencies after the change on."""
    result = simulate(
        system, [policy], warmup=AGAIN, horizon=END, replications=12,
        slowdowns=slowdowns, failures=failures,
    )  # fmt: skip
    return latency(result.policies[0])


def assert_recovered(changed: Estimate, fresh: Estimate) -> None:
    assert changed.value == pytest.approx(fresh.value, rel=0.03)


@pytest.mark.parametrize("told", [True, False])
def test_it_recovers_from_a_slowdown_that_ends(told: bool) -> None:
    slow = [Slowdown("b2", 3.0, 10.0, told), Slowdown("b2", 1.0, CHANGE, told)]
    assert_recovered(after(unlike(0.6), slowdowns=slow), after(unlike(0.6)))


def test_it_recovers_from_a_slowdown_that_lasts() -> None:
    # Jobs that were there are served at a third of the speed under any policy.
    slow = [Slowdown("b2", 3.0, CHANGE, True)]
    lasting = (SMALL, SMALL, LARGE.scaled(1.0 / 3.0), LARGE)
    found = after(unlike(0.6), slowdowns=slow)
    assert found.value < after(unlike(0.6), slowdowns=slow, policy="gmsr").value
    assert found.value < 1.08 * after(unlike(0.6, lasting)).value


def test_it_recovers_from_a_failure() -> None:
    failed = after(unlike(0.4), failures=[Failure("b3", CHANGE)])
    assert_recovered(failed, after(unlike(0.4, (SMALL, SMALL, LARGE))))


@pytest.mark.parametrize(("before", "load"), [(0.9, 0.3), (0.1, 0.7)])
def test_it_recovers_from_another_load(before: float, load: float) -> None:
    system = unlike(load)

    def arriving(first: float) -> RoutingSystem:
        steps = ((0.0, first * CAPACITY), (CHANGE, load * CAPACITY))
        frontends = (Frontend("f0", PiecewiseArrivals(steps, END)),)
        return RoutingSystem(frontends, system.backends, system.graph)

    assert_recovered(after(arriving(before)), after(arriving(load)))


def test_learned_curves_do_as_well_as_known_ones() -> None:
    result = simulate(
        unlike(0.6), ["gmsr_secant"], learn=Learning(), warmup=60.0, horizon=160.0, replications=3
    )
    known, learned = (latency(policy).value for policy in result.policies)
    assert learned < 1.03 * known
