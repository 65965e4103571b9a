"""`isocline curves` shows each curve, what was cut, and writes its picture."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from isocline.cli import main

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["curves", *map(str, arguments)], prog_name="isocline")


def test_the_json_has_peak_knee_and_rates_of_each_backend() -> None:
    document = json.loads(run(EXAMPLES / "n_model.yaml", "--json").stdout)
    assert document["unit"] == "jobs/s"
    b2 = document["backends"][1]
    assert (b2["name"], b2["type"], b2["parameters"]) == (
        "b2",
        "hyperbolic",
        {"peak": 1, "half": 2},
    )
    assert (b2["peak"], b2["knee"]) == (1.0, 2.0)
    at_knee = next(at for at in b2["at"] if at["jobs"] == 2.0)
    assert at_knee == {"jobs": 2.0, "rate": 0.5, "marginal_rate": 0.125}


def test_what_was_cut_from_a_table_is_said_on_stderr_and_is_in_the_json() -> None:
    result = run(EXAMPLES / "regions.yaml", "--json")
    assert result.stderr.startswith("note: backend 'asia-large': point [8, 14.1] dropped")
    backends = {b["name"]: b for b in json.loads(result.stdout)["backends"]}
    assert backends["asia-large"]["dropped"] == [[8, 14.1], [32, 22.8]]


def test_the_table_shows_replicas_together_in_the_unit_of_the_file() -> None:
    output = run(EXAMPLES / "mixed_fleet.yaml").stdout
    assert "service curves in tokens/s" in output
    assert "h100-1, h100-2" in output
    assert "rtx4090 (× 4)" in output
    assert "One job is 232.7 tokens on average." in output


@pytest.mark.parametrize("name", ["regions", "mixed_fleet", "n_model"])
def test_the_picture_and_its_data_are_written(tmp_path: Path, name: str) -> None:
    result = run(EXAMPLES / f"{name}.yaml", "--out", tmp_path / "new")
    assert result.exit_code == 0
    names = {path.name for path in (tmp_path / "new").iterdir()}
    assert names == {"curves.png", "curves.svg", "curves.csv"}
    assert f"wrote {tmp_path / 'new' / 'curves.csv'}" in result.stderr
    data = np.genfromtxt(tmp_path / "new" / "curves.csv", delimiter=",", skip_header=1)
    assert (data[:, 2] >= 0).all()
