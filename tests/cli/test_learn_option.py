"""`isocline simulate --learn` and `--slowdown`."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from isocline.cli import main

EXAMPLES = Path(__file__).parents[2] / "examples"
SHORT = ("--horizon", "300", "--warmup", "50", "--replications", "2")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["simulate", *map(str, arguments)], prog_name="isocline")


def test_learning_stands_beside_knowing() -> None:
    options = ("--policy", "gmsr", "--policy", "jsq", "--learn", "--half-life", "100", "--json")
    result = run(EXAMPLES / "regions.yaml", *options, *SHORT)
    assert result.exit_code == 0, result.stderr
    names = [policy["policy"] for policy in json.loads(result.stdout)["policies"]]
    assert names == ["gmsr", "gmsr learned", "jsq"]


def test_a_slowdown_is_said_below_the_table() -> None:
    slow = ("--slowdown", "us-large=2@100,told", "--slowdown", "us-large=1@150")
    result = run(EXAMPLES / "regions.yaml", "--policy", "gmsr", *slow, *SHORT)
    assert result.exit_code == 0, result.stderr
    said = " ".join(result.stdout.split())
    assert "us-large 2 times as slow from 100 s; us-large 1 times as slow from 150 s" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--half-life", "100"), "add --learn"),
        (("--learn", "--half-life", "0"), "'--half-life': '0' is out of range; give"),
        (("--learn", "--policy", "jsq"), "none of jsq looks at service curves"),
        (
            ("--learn", "--policy", "gmsr", "--trace", "bursty"),
            "--learn does not apply with --trace",
        ),
        (("--slowdown", "us-large=2"), "NAME=FACTOR@TIME"),
        (("--slowdown", "us-larg=2@9"), "did you mean us-large"),
    ],
)
def test_a_mistake_is_named_and_exits_with_2(arguments: tuple[str, ...], words: str) -> None:
    result = run(EXAMPLES / "regions.yaml", *arguments)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())
    assert result.stdout == ""
