"""`isocline simulate --delay` and `--layers`."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from isocline.cli import main

EXAMPLES = Path(__file__).parents[2] / "examples"
SHORT = ("--horizon", "200", "--warmup", "40", "--replications", "2", "--json")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["simulate", *map(str, arguments)], prog_name="isocline")


def test_a_delay_is_simulated_and_said() -> None:
    file = EXAMPLES / "regions.yaml"
    late = run(file, "--policy", "jsq", "--delay", "travel=0.5,report=0.25", *SHORT)
    assert late.exit_code == 0, late.stderr
    document = json.loads(late.stdout)
    assert document["delay"] == {"travel": 0.5, "report": 0.25, "every": 0.0, "own": False}
    plain = json.loads(run(file, "--policy", "jsq", *SHORT).stdout)
    assert plain["delay"] is None
    gained = document["lower_bound_latency"] - plain["lower_bound_latency"]
    assert gained == pytest.approx(0.5)
    assert document["policies"][0]["mean_latency"] > plain["policies"][0]["mean_latency"] + 0.3


def test_layers_name_both_policies_and_all_members() -> None:
    file = EXAMPLES / "layers.yaml"
    result = run(file, "--policy", "gmsr", "--policy", "jsq", "--layers", "gmsr", *SHORT)
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert [p["policy"] for p in document["policies"]] == ["gmsr over gmsr", "jsq over gmsr"]
    flat = json.loads(run(file, "--policy", "gmsr", "--layers", "flat", *SHORT).stdout)
    assert flat["policies"][0]["policy"] == "gmsr"
    assert flat["lower_bound"] == pytest.approx(document["lower_bound"])


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--delay", "report=late"), "give a number of seconds"),
        (
            ("--delay", "travel=1", "--clock", "slotted"),
            "--delay does not apply with --clock slotted",
        ),
        (("--layers", "power_of_d"), "more than take the least"),
        (("--layers", "fastest"), "unknown policy 'fastest'"),
    ],
)
def test_a_wrong_option_is_a_usage_error(options: tuple[str, ...], problem: str) -> None:
    result = run(EXAMPLES / "layers.yaml", *options, *SHORT)
    assert result.exit_code == 2
    assert problem in result.stderr
