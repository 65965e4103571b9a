"""The live core decides as the simulator, decision by decision."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from isocline.cli import main
from isocline.errors import UsageError
from isocline.gateway import replay as replaying
from isocline.gateway.replay import driven, recorded, replay
from isocline.model.curves import HyperbolicCurve, KneeCurve, TableCurve
from isocline.model.fleet import RoutingSystem
from isocline.policies.parse import parse
from isocline.policies.routing import ALL
from isocline.simulate.routing.prepare import prepare
from tests.builders import fleet, mixed


def crowded() -> RoutingSystem:
    """At 0.95 of capacity workloads go beyond the 64 that are tabulated at first."""
    curves = [
        HyperbolicCurve(40.0, 30.0),
        HyperbolicCurve(40.0, 30.0),
        KneeCurve(20.0, 8.0, 4.0),
        TableCurve(((1, 4.0), (8, 20.0), (30, 30.0))),
    ]
    return fleet(curves, [50.0, 40.0, 33.5], [[0, 1, 2], [1, 3], [0, 2, 3]])


def test_a_hundred_thousand_decisions_agree() -> None:
    found = replay(crowded(), "gmsr", decisions=100_000, seed=5)
    assert found.agreed
    assert found.decisions == 100_000


@pytest.mark.parametrize("name", [name for name in ALL if not ALL[name].may_hold])
def test_every_policy_agrees(name: str) -> None:
    policy = f"{name}:lag=0.2" if name == "gmsr_ahead" else name
    assert replay(crowded(), policy, decisions=5_000, seed=2).agreed


def test_a_policy_of_ones_own_agrees() -> None:
    assert replay(mixed(), "examples.my_policy:least_price", decisions=2_000).agreed


def test_what_is_compared_is_not_always_the_same() -> None:
    """The two would agree as well if there were nothing to decide."""
    prepared = prepare(crowded())
    simulated = recorded(prepared, parse("gmsr"), 5_000, 2)
    assert np.bincount(simulated).min() > 100
    other = driven(prepared, parse("gmsr"), 5_000, 3)
    assert (simulated != other).mean() > 0.3
    rival = driven(prepared, parse("least_expected_latency"), 5_000, 2)
    assert (simulated != rival).mean() > 0.02


def test_a_difference_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def one_wrong(*arguments: object) -> object:
        edges = driven(*arguments)  # type: ignore[arg-type]
        edges[77] += 1
        return edges

    monkeypatch.setattr(replaying, "driven", one_wrong)
    found = replay(mixed(), decisions=100)
    assert found.first_difference == 77
    assert not found.agreed


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(UsageError, match="gmsr_hold holds jobs"):
        replay(mixed(), "gmsr_hold")
    with pytest.raises(UsageError, match="0 decisions; give 1 or more"):
        replay(mixed(), decisions=0)


def test_the_verb() -> None:
    arguments = ["replay", "examples/mixed_fleet.yaml", "--decisions", "500", "--json"]
    ran = CliRunner().invoke(main, arguments)
    assert ran.exit_code == 0
    document = json.loads(ran.stdout)
    assert document["agreed"] is True
    assert document["decisions"] == 500
