"""The module inside Envoy decides as the core and as the simulator, decision by decision."""

import shutil

import numpy as np
import pytest

from isocline.errors import PolicyError, UsageError
from isocline.gateway import replay as gateway
from isocline.model.curves import HyperbolicCurve, KneeCurve, TableCurve
from isocline.model.fleet import RoutingSystem
from isocline.planes.envoy import replay as envoy
from isocline.policies.parse import parse
from isocline.simulate.routing.prepare import prepare
from tests.builders import fleet, mixed

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")


def crowded() -> RoutingSystem:
    """Two curves alike, so that there are ties, at 0.95 of capacity."""
    curves = [
        HyperbolicCurve(40.0, 30.0),
        HyperbolicCurve(40.0, 30.0),
        KneeCurve(20.0, 8.0, 4.0),
        TableCurve(((1, 4.0), (8, 20.0), (30, 30.0))),
    ]
    return fleet(curves, [50.0, 40.0, 33.5], [[0, 1, 2], [1, 3], [0, 2, 3]])


def test_a_hundred_thousand_decisions_agree() -> None:
    prepared, policy = prepare(crowded()), parse("gmsr")
    simulated = gateway.recorded(prepared, policy, 100_000, 5)
    np.testing.assert_array_equal(envoy.driven(prepared, policy, 100_000, 5), simulated)
    core = gateway.driven(prepared, policy, 10_000, 5)  # all of them: tests/gateway/test_replay.py
    np.testing.assert_array_equal(core, simulated[:10_000])
    assert np.bincount(simulated).min() > 1000  # there was something to decide


@pytest.mark.parametrize(
    "policy",
    [
        "gmsr:gradient=difference",
        "jsq",
        "jfsq",
        "jiq",
        "least_expected_latency",
        "weighted_least_connections",
    ],
)
def test_every_policy_that_is_a_table_of_prices_agrees(policy: str) -> None:
    assert gateway.replay(crowded(), policy, decisions=5_000, seed=2, through=envoy.driven).agreed


def test_another_seed_gives_other_decisions() -> None:
    prepared, policy = prepare(crowded()), parse("gmsr")
    one, other = (envoy.driven(prepared, policy, 5_000, seed) for seed in (2, 3))
    assert (one != other).mean() > 0.3


@pytest.mark.parametrize("policy", ["gmsr:d=2", "power_of_d", "gmsr_secant", "round_robin"])
def test_policies_that_are_no_table_are_refused(policy: str) -> None:
    with pytest.raises(PolicyError, match="no table of prices"):
        gateway.replay(mixed(), policy, through=envoy.driven)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(PolicyError, match="ties=first"):
        gateway.replay(mixed(), "gmsr:ties=first", through=envoy.driven)
    with pytest.raises(UsageError, match="0 decisions; give 1 or more"):
        gateway.replay(mixed(), decisions=0, through=envoy.driven)
