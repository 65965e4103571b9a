"""Results know their JSON, their data frame and their picture."""

import json

import pytest

from isocline.simulate.routing.compare import simulate, sweep
from isocline.simulate.routing.results import Comparison, Sweep
from tests.builders import mixed
from tests.simulate.routing.options import RunLength

SHORT: RunLength = {"horizon": 300.0, "warmup": 50.0, "replications": 3}


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return simulate(mixed(), ["gmsr", "jsq", "random"], **SHORT)


@pytest.fixture(scope="module")
def several() -> Sweep:
    return sweep(mixed(), ["gmsr", "jsq"], loads=[0.3, 0.6], **SHORT)


def test_json_is_strict_even_where_there_is_no_number(comparison: Comparison) -> None:
    document = json.loads(comparison.to_json())
    mean_jobs = comparison.policies[0].mean_jobs
    assert mean_jobs is not None
    assert document["policies"][0]["mean_jobs"] == mean_jobs.value
    unstable = document["policies"][2]
    assert (unstable["status"], unstable["mean_jobs"]) == ("unstable", None)


def test_a_frame_has_one_row_per_policy_and_load(comparison: Comparison, several: Sweep) -> None:
    assert comparison.to_frame()["policy"].tolist() == ["gmsr", "jsq", "random"]
    frame = several.to_frame()
    assert frame[["load", "policy"]].to_numpy().tolist() == [
        [pytest.approx(load), policy] for load in (0.3, 0.6) for policy in ("gmsr", "jsq")
    ]
    assert (frame["mean_latency_ci95_low"] < frame["mean_latency"]).all()


def test_records_draw_themselves(comparison: Comparison, several: Sweep) -> None:
    for record in (comparison, several):
        figure = record.plot()
        assert figure.axes
