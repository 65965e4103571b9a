"""`isocline plan` of a near-data file: stable or not, who helps whom, what to replicate."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import isocline
from isocline.cli import main

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["plan", *map(str, arguments)], prog_name="isocline")


def test_the_json_has_the_fields_that_were_promised() -> None:
    result = run(EXAMPLES / "near_data.yaml", "--json")
    assert result.exit_code == 0
    plan = json.loads(result.stdout)
    assert (plan["kind"], plan["status"]) == ("near-data", "stable")
    assert plan["capacity_scale"] == pytest.approx(2500 / 3 / 700, rel=1e-12)
    assert sorted(plan["helpers"] + plan["beneficiaries"]) == list(range(1000))
    assert len(plan["loads"]) == 1000
    assert plan["certificate"]["conservation"] <= 1e-12


@pytest.mark.parametrize("name", ["near_data", "small_cluster"])
def test_every_example_is_planned_and_drawn(tmp_path: Path, name: str) -> None:
    result = run(EXAMPLES / f"{name}.yaml", "--out", tmp_path)
    assert result.exit_code == 0
    assert ": stable" in result.stdout
    assert "Who helps whom" in result.stdout
    assert "What to replicate" in result.stdout
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"plan.png", "plan.svg", "servers.csv", "helps.csv"}


def test_too_much_load_has_status_1(tmp_path: Path) -> None:
    path = tmp_path / "hot.yaml"
    text = (EXAMPLES / "near_data.yaml").read_text()
    path.write_text(text.replace("rate: 700.0", "rate: 900.0"))
    result = run(path)
    assert result.exit_code == 1
    assert "unstable" in result.stdout
    assert json.loads(run(path, "--json").stdout)["status"] == "unstable"


def test_compare_is_about_routing() -> None:
    result = run(EXAMPLES / "near_data.yaml", "--compare")
    assert result.exit_code == 2
    assert "--compare" in result.output + result.stderr


def test_plan_in_python_takes_both_kinds() -> None:
    assert isocline.plan(isocline.load(EXAMPLES / "small_cluster.yaml")).status == "stable"
    assert isocline.plan(isocline.load(EXAMPLES / "n_model.yaml")).status == "optimal"
