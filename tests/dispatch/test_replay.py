"""The live core decides as the simulator, decision by decision."""

from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from isocline.cli import main
from isocline.dispatch import replay as replaying
from isocline.dispatch.replay import driven, recorded, replay
from isocline.errors import UsageError
from isocline.model.cluster import Cluster, ExplicitTasks, HotSpot, Rates, SampledTasks
from isocline.model.graph import CompatibilityGraph
from isocline.model.traffic import DeterministicSizes
from isocline.policies.parse import scheduling_policy as parse
from isocline.policies.scheduling import ALL
from isocline.simulate.scheduling.prepare import prepare_cluster


def hot() -> Cluster:
    """Half of the servers are hot; at 0.9 of capacity all policies help, wait and tie."""
    return Cluster.numbered(10, Rates(1.0, 0.5), SampledTasks(3, 7.5, HotSpot(0.5, 0.8)))


def racked() -> Cluster:
    """Explicit types on three racks of unlike size, one of them local to a single server."""
    graph = CompatibilityGraph.from_neighbours(6, [[0, 1, 2], [0], [3, 4], [1, 5], [2, 4, 5]])
    return Cluster(
        tuple("abcdef"),
        np.array([0, 0, 0, 1, 1, 2], np.int32),
        ("r", "s", "t"),
        Rates(1.0, 0.4, 0.7),
        ExplicitTasks(graph, np.array([1.1, 1.2, 0.8, 0.8, 0.6])),
    )


def placed() -> Cluster:
    """Replicas as HDFS places them, which the simulator draws outside its kernels."""
    racks = np.repeat(np.arange(3, dtype=np.int32), 4)
    tasks = SampledTasks(3, 9.0, None, "hdfs")
    return Cluster(tuple(map(str, range(12))), racks, ("r", "s", "t"), Rates(1.0, 0.5, 0.8), tasks)


def test_a_hundred_thousand_decisions_agree() -> None:
    found = replay(hot(), "late_binding", decisions=100_000, seed=5)
    assert found.agreed
    assert found.to_dict()["decisions"] == 100_000


@pytest.mark.parametrize("name", ALL)
def test_every_policy_agrees(name: str) -> None:
    """10^5 decisions of each: `python -m benchmarks.dispatch_core --replay`."""
    for system in (hot(), racked(), placed()):
        assert replay(system, name, decisions=3_000, seed=2).agreed


def test_what_is_compared_is_not_always_the_same() -> None:
    """The two would agree as well if there were nothing to decide."""
    prepared = prepare_cluster(hot())
    simulated = recorded(prepared, parse("late_binding"), 5_000, 2)
    assert np.bincount(simulated[:, 0].astype(int)).min() > 100
    other = driven(prepared, parse("late_binding"), 5_000, 3)
    assert (simulated[:, 0] != other[:, 0]).mean() > 0.3
    rival = driven(prepared, parse("local_first"), 5_000, 2)
    assert (simulated[:, 0] != rival[:, 0]).mean() > 0.3


def test_a_difference_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def one_wrong(*arguments: Any) -> Any:
        decisions = driven(*arguments)
        decisions[77, 2] += 1e-9
        return decisions

    monkeypatch.setattr(replaying, "driven", one_wrong)
    assert replay(hot(), "local_first", decisions=200).first_difference == 77


def test_what_cannot_be_replayed_is_said() -> None:
    with pytest.raises(UsageError, match="0 decisions; give 1 or more"):
        replay(hot(), decisions=0)
    cluster = Cluster.numbered(
        4, Rates(1.0, 0.5), SampledTasks(2, 1.0), service=DeterministicSizes()
    )
    with pytest.raises(UsageError, match="services are not exponential"):
        replay(cluster)


def test_the_verb_replays_clusters() -> None:
    result = CliRunner().invoke(
        main, ["replay", "examples/small_cluster.yaml", "--decisions", "500"]
    )
    assert result.exit_code == 0, result.output
    assert result.output == "local_first: all 500 decisions agree\n"
