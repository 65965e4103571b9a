"""Refined mean field beside simulated means: where it holds, and where there is none."""

from typing import Any

import pytest

from isocline.model.curves import Curve, HyperbolicCurve, KneeCurve, ServersCurve
from isocline.model.fleet import RoutingSystem
from isocline.report.tables.comparison import mean_field_lines
from isocline.simulate.routing.compare import simulate
from isocline.simulate.routing.delay import Delay
from tests.builders import fleet
from tests.simulate.routing.options import RunLength

LENGTH: RunLength = {"horizon": 3000.0, "warmup": 300.0, "replications": 6}


def alike(*curves: Curve, each: int = 10, load: float = 0.7) -> RoutingSystem:
    """Two frontends that may both use all backends, so many of each curve."""
    backends = [curve for curve in curves for _ in range(each)]
    rate = load * sum(curve.supremum for curve in backends)
    return fleet(backends, [0.75 * rate, 0.25 * rate])


@pytest.mark.parametrize(
    ("system", "policy"),
    [
        (alike(ServersCurve(1.0), each=20), "power_of_d"),
        (alike(ServersCurve(1.0), each=20), "power_of_d:d=3"),
        (alike(KneeCurve(4.0, 3.0, 2.0), HyperbolicCurve(2.0, 2.0)), "gmsr:d=2"),
    ],
)
def test_simulated_means_are_those_of_theory(system: RoutingSystem, policy: str) -> None:
    (found,) = simulate(system, [policy], **LENGTH).policies
    assert found.mean_field is not None
    assert found.mean_latency is not None
    off = abs(found.mean_latency.value - found.mean_field.mean_latency)
    # A 95 % interval is 2 standard errors wide on either side: at most 4 of them.
    assert off <= found.mean_field.last_term + 2.0 * found.mean_latency.half_width


@pytest.mark.parametrize("policy", ["jsq", "gmsr", "power_of_d:replacement=true"])
def test_other_rules_have_none(policy: str) -> None:
    (found,) = simulate(alike(ServersCurve(1.0)), [policy], **LENGTH).policies
    assert found.mean_field is None


@pytest.mark.parametrize(
    "options",
    [
        {"patience": "exponential:mean=5"},
        {"delay": Delay(0.1)},
        {"arrivals": "gamma:cv=3"},
        {"clock": "slotted", "slot": 0.01},
    ],
)
def test_other_systems_have_none(options: dict[str, Any]) -> None:
    (found,) = simulate(alike(ServersCurve(1.0)), ["power_of_d"], **options, **LENGTH).policies
    assert found.mean_field is None


def test_a_frontend_that_may_not_use_all_backends_has_none() -> None:
    system = fleet([ServersCurve(1.0)] * 10, [3.0, 3.0], [range(10), range(5)])
    (found,) = simulate(system, ["power_of_d"], load=0.5, **LENGTH).policies
    assert found.mean_field is None


def test_too_few_backends_are_said() -> None:
    found = simulate(alike(ServersCurve(1.0), each=3, load=0.95), ["power_of_d"], **LENGTH)
    assert mean_field_lines(found) == [
        "Refined mean field, without simulation: power_of_d: too few backends at this load."
    ]
    assert found.to_dict()["policies"][0]["mean_field"]["order"] == 2
