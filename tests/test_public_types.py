"""Types of the public functions, as a type checker sees them: `make check` reads this file too."""

from pathlib import Path
from typing import Any, assert_type

import pytest

import isocline
from isocline.errors import SystemFileError

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


def test_without_it_only_the_file_knows() -> None:
    system = isocline.load(EXAMPLES / "n_model.yaml")
    assert_type(system, Any)
    assert isocline.plan(system).mean_latency > 0  # as the README has it, under mypy --strict


def test_a_file_of_the_other_kind_is_refused() -> None:
    path = EXAMPLES / "n_model.yaml"
    with pytest.raises(SystemFileError, match=r"kind: is 'routing'; give a file of kind near-data"):
        isocline.load(path, kind="near-data")
