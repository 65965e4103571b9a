"""A plan knows its JSON, its data frame and its picture."""

import json

import pytest

from isocline.theory.routing.equilibrium import plan
from tests.builders import fleet, mixed


def test_json_frame_and_picture_tell_the_same_plan() -> None:
    record = plan(mixed())
    document = json.loads(record.to_json())
    frame = record.to_frame()
    assert [entry["name"] for entry in document["backends"]] == frame.index.tolist()
    assert frame["jobs"].sum() == pytest.approx(document["total_jobs"])
    assert record.plot().axes


def test_an_infeasible_plan_has_a_json_and_an_empty_frame() -> None:
    system = mixed()
    record = plan(fleet(list(system.curves), [50.0]))
    assert json.loads(record.to_json())["status"] == "infeasible"
    assert record.to_frame().empty
