"""Types of the public functions, as a type checker sees them: `make check` reads this file too."""

from pathlib import Path
from typing import Any, assert_type

import numpy as np
import pytest

import isocline
from isocline.errors import SystemFileError, UsageError

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_the_kind_says_what_a_file_gives() -> None:
    fleet = isocline.load(EXAMPLES / "n_model.yaml", kind="routing")
    assert_type(fleet, isocline.RoutingSystem)
    assert_type(isocline.plan(fleet), isocline.Plan)
    cluster = isocline.load(EXAMPLES / "small_cluster.yaml", kind="near-data")
    assert_type(cluster, isocline.Cluster)
    assert_type(isocline.plan(cluster), isocline.NearDataPlan)
    assert isinstance(fleet, isocline.RoutingSystem)
    assert isinstance(cluster, isocline.Cluster)


def test_the_system_says_what_a_simulation_gives() -> None:
    fleet = isocline.load(EXAMPLES / "n_model.yaml", kind="routing")
    requests = isocline.Trace("two", np.array([0.0, 1.0]), np.ones(2), np.ones(2))
    with pytest.raises(UsageError, match="replications 1"):
        assert_type(
            isocline.simulate(fleet, ["jsq"], trace=requests, replications=1), isocline.Comparison
        )
    cluster = isocline.load(EXAMPLES / "small_cluster.yaml", kind="near-data")
    with pytest.raises(UsageError, match="replications 1"):
        assert_type(
            isocline.simulate(cluster, ["fifo"], level="queue", replications=1),
            isocline.ClusterComparison,
        )


def test_what_only_one_kind_takes_is_refused_of_the_other() -> None:
    fleet = isocline.load(EXAMPLES / "n_model.yaml", kind="routing")
    with pytest.raises(TypeError, match="level"):
        isocline.simulate(fleet, level="queue")  # type: ignore[call-overload]
    cluster = isocline.load(EXAMPLES / "small_cluster.yaml", kind="near-data")
    with pytest.raises(TypeError, match="scale"):
        isocline.simulate(cluster, scale=2.0)  # type: ignore[call-overload]


def test_without_it_only_the_file_knows() -> None:
    system = isocline.load(EXAMPLES / "n_model.yaml")
    assert_type(system, Any)
    with pytest.raises(UsageError, match="replications 1"):
        print(isocline.simulate(system, policies=["gmsr"], replications=1).to_frame())
    assert isocline.plan(system).mean_latency > 0  # as the README has it, under mypy --strict


def test_a_file_of_the_other_kind_is_refused() -> None:
    path = EXAMPLES / "n_model.yaml"
    with pytest.raises(SystemFileError, match=r"kind: is 'routing'; give a file of kind near-data"):
        isocline.load(path, kind="near-data")
