"""`isocline fleet` prints the cheapest fleet with its bound, or the least that can be reached."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from isocline.cli import main

EXAMPLE = Path(__file__).parents[2] / "examples" / "fleet.yaml"
SMALL = """\
kind: fleet
types:
- {name: big, price: 3.7, curve: {type: hyperbolic, peak: 9, half: 6}, at_most: 5}
- {name: small, price: 1.0, curve: {type: hyperbolic, peak: 2, half: 2}}
frontends: [{name: f1, rate: 12.3, types: [big, small]}, {name: f2, rate: 1, types: [small]}]
"""


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["fleet", *map(str, arguments)], prog_name="isocline")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return path


def test_the_json_has_the_machines_and_what_no_fleet_costs_less_than(small: Path) -> None:
    result = run(small, "--target", "mean<=2s", "--fluid-only", "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert (found["kind"], found["status"], found["policy"]) == ("fleet", "found", None)
    assert {row["type"] for row in found["machines"]} == {"big", "small"}
    assert found["cost"] == pytest.approx(sum(row["cost"] for row in found["machines"]))
    assert 0.98 * found["cost"] <= found["lower_bound"] <= found["cost"]
    assert found["conditions"][0]["least_latency"] <= 2.0
    assert found["plan"]["mean_latency"] == pytest.approx(found["conditions"][0]["least_latency"])


def test_an_unreachable_target_names_the_least_and_has_status_1(small: Path) -> None:
    result = run(small, "--target", "mean<=500ms", "--fluid-only")
    assert result.exit_code == 1
    assert "no fleet of these types reaches it: the least mean latency is 0." in result.stderr
    document = run(small, "--target", "mean<=500ms", "--fluid-only", "--json")
    assert document.exit_code == 1
    found = json.loads(document.stdout)
    assert found["status"] == "unreachable"
    assert 0.5 < found["least"] < 1.0


def test_a_wrong_target_or_file_has_status_2(small: Path) -> None:
    assert run(small).exit_code == 2
    wrong = run(small, "--target", "quick")
    assert wrong.exit_code == 2
    assert wrong.stderr.startswith("isocline: target 'quick': is no target; give one as mean<=2s")
    other = run(EXAMPLE.with_name("n_model.yaml"), "--target", "mean<=2s")
    assert other.exit_code == 2
    assert "its machines are there already, and isocline plan takes it" in other.stderr


def test_work_of_frontends_is_said_to_leave_simulation_out(tmp_path: Path) -> None:
    path = tmp_path / "work.yaml"
    path.write_text(SMALL.replace("rate: 1,", "rate: 1, work: 1.5,"))
    result = run(path, "--target", "mean<=3s")
    assert result.exit_code == 0, result.stderr
    assert (
        "note: frontends have work of their own, with which nothing is simulated" in result.stderr
    )
    refused = run(path, "--target", "p99<=9s")
    assert refused.exit_code == 2
    assert "give a target as mean<=2s or load<=0.8, or remove their work" in refused.stderr


def test_the_example_is_found_and_written(tmp_path: Path) -> None:
    result = run(EXAMPLE, "--target", "mean<=2s", "--fluid-only", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("chat fleet: ")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"fleet.png", "machines.csv", "system-1.yaml", "system-2.yaml"} <= names
