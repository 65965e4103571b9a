"""`isocline audit` on the command line."""

import gzip
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from isocline.cli import main
from isocline.model.curves import HyperbolicCurve, KneeCurve
from tests.audit.virtual_router import jobs_of, written

BRIEF = ("--policy", "gmsr_secant", "--policy", "jsq", "--draws", "4")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["audit", *map(str, arguments)], prog_name="isocline")


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    curves = [KneeCurve(40.0, 4.0, 4.0), KneeCurve(80.0, 20.0, 4.0)]
    return written(jobs_of(curves, [80.0], 8000), tmp_path_factory.mktemp("log") / "log.csv")


def test_words_first_then_tables_and_what_could_not_be_read(log: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.csv.gz"
    broken.write_bytes(gzip.compress(log.read_bytes() + b"not a line\n"))
    result = run(broken, *BRIEF)
    assert result.exit_code == 0, result.output
    first, second = result.stdout.splitlines()[:2]
    assert first.startswith("Mean latency ")
    assert " above the optimum of " in first
    assert " points routing" in first
    assert second.startswith("On the same arrivals Isocline's gmsr_secant would have given ")
    assert f"1 line of 8,002 could not be read, the first {broken}:8002: 'not a line'" in (
        " ".join(result.stdout.split())
    )


def test_json_and_files_have_the_same_findings(log: Path, tmp_path: Path) -> None:
    result = run(log, *BRIEF, "--json", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert [it["policy"] for it in found["policies"]] == ["gmsr_secant", "jsq"]
    assert found["above"]["low"] < found["above"]["value"] < found["above"]["high"]
    assert {it["name"] for it in found["parts"]} >= {"missing", "routing", "fluctuation"}
    assert found["log"]["served"] == 8000
    names = {path.name for path in tmp_path.iterdir()}
    assert names >= {"system.yaml", "audit.png", "audit.svg", "audit.csv", "curves.png"}
    planned = CliRunner().invoke(main, ["plan", str(tmp_path / "system.yaml"), "--json"])
    assert planned.exit_code == 0
    assert json.loads(planned.stdout)["status"] == "optimal"


def test_a_load_that_the_learned_curves_cannot_serve_has_no_optimum_and_says_so(
    tmp_path: Path,
) -> None:
    """Work piles up at a machine that is full all the time."""
    jobs = jobs_of([HyperbolicCurve(20.0, 0.5)], [24.0], 1200)
    result = run(written(jobs, tmp_path / "log.csv"), "--policy", "jsq", "--draws", "4")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("Mean latency ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("no.log",), "no.log: does not exist; give the path of an access log"),
        (("LOG", "--edges", "x"), "--edges 'x': give ORIGIN=BACKEND"),
        (("LOG", "--policy", "nosuch"), "nosuch"),
        (("LOG", "--format", "nothing.conf"), "--format nothing.conf: cannot be read"),
        (("LOG", "--system", "none.yaml"), "none.yaml"),
    ],
)
def test_bad_input_is_one_line_with_the_remedy(
    log: Path, arguments: tuple[str, ...], words: str
) -> None:
    result = run(*(str(log) if it == "LOG" else it for it in arguments))
    assert result.exit_code == 2
    assert words in result.stderr
    assert result.stderr.startswith("isocline: ")
    assert result.stdout == ""
