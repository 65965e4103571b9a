"""`isocline plan` prints the certified optimum, or the proof that there is none."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from isocline.cli import main

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["plan", *map(str, arguments)], prog_name="isocline")


@pytest.fixture
def overloaded(tmp_path: Path) -> Path:
    path = tmp_path / "overloaded.yaml"
    path.write_text((EXAMPLES / "n_model.yaml").read_text().replace("rate: 0.4", "rate: 1.2"))
    return path


def test_the_json_has_the_fields_that_were_promised() -> None:
    result = run(EXAMPLES / "n_model.yaml", "--json")
    assert result.exit_code == 0
    plan = json.loads(result.stdout)
    assert (plan["kind"], plan["status"]) == ("routing", "optimal")
    jobs = [entry["jobs"] for entry in plan["backends"]]
    assert jobs == pytest.approx([np.sqrt(2)] * 2, rel=1e-8)
    assert plan["total_jobs"] == pytest.approx(2 * np.sqrt(2), rel=1e-8)
    assert plan["mean_latency"] == pytest.approx(2 * np.sqrt(2), rel=1e-8)
    assert plan["certificate"]["slope_gap"] <= 1e-8
    assert plan["certificate"]["conservation"] <= 1e-12
    assert plan["backends"][0].keys() == {"name", "jobs", "rate", "marginal_rate", "utilisation"}
    assert plan["split"][0].keys() == {"frontend", "backend", "rate"}
    assert plan["tiers"][0].keys() == {"frontends", "backends", "marginal_rate"}
    assert plan["capacity_scale"] > 1
    assert plan["bottleneck"].keys() == {"frontends", "backends"}


@pytest.mark.parametrize("name", ["regions", "mixed_fleet", "n_model"])
def test_every_example_is_planned_and_drawn(tmp_path: Path, name: str) -> None:
    result = run(EXAMPLES / f"{name}.yaml", "--out", tmp_path)
    assert result.exit_code == 0
    assert ": optimal" in result.stdout
    assert "Certificate: conservation residual" in result.stdout
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"plan.png", "plan.svg", "backends.csv", "split.csv"}


def test_the_most_valuable_missing_connection_is_said_in_words() -> None:
    assert "connect office–h100-" in run(EXAMPLES / "mixed_fleet.yaml").stdout


def test_too_much_load_gives_the_proof_and_status_1(overloaded: Path) -> None:
    result = run(overloaded)
    assert result.exit_code == 1
    assert "infeasible" in result.stdout
    assert "Frontends f1 bring 1.200 jobs/s, and may use only b1" in result.stdout


def test_too_much_load_says_what_is_served_of_it(overloaded: Path, tmp_path: Path) -> None:
    printed = run(overloaded, "--out", tmp_path / "out").stdout
    assert "1.600 of 1.800 jobs/s, the most of any policy; the other 0.2000 jobs/s" in printed
    assert "1 of 2 backends stay stable, as many as any such policy keeps; 1 with room" in printed
    words = " ".join(printed.split())
    assert "b1 growing ∞ 1.000" in words
    assert "b2 stable 3.000 0.6000" in words  # N/(N + 2) = 0.6
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"overload.csv", "pile_ups.csv"}
    rows = (tmp_path / "out" / "pile_ups.csv").read_text().splitlines()
    assert rows[0] == "frontends,backends,rate,capacity,growth"
    assert rows[1].startswith("f1,b1,1.2,1.0,0.1999")


def test_the_json_of_an_infeasible_plan_names_the_violated_set(overloaded: Path) -> None:
    result = run(overloaded, "--json")
    assert result.exit_code == 1
    plan = json.loads(result.stdout)
    assert plan["status"] == "infeasible"
    assert plan["bottleneck"] == {"frontends": ["f1"], "backends": ["b1"]}
    assert plan["capacity_scale"] == pytest.approx(1 / 1.2, rel=1e-9)
    assert plan["overload"]["throughput"] == pytest.approx(1.6)
    assert [b["status"] for b in plan["overload"]["backends"]] == ["growing", "stable"]


def test_what_only_the_plan_finds_has_its_place_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "prefixes.yaml"
    file.write_text(
        "kind: routing\n"
        "work: {unit: tokens, mean: 1000, prefill: 0.1, decode: 1.0}\n"
        "prefix_cache: {tokens: 60000}\n"
        "backends: [{name: b, curve: {type: hyperbolic, peak: 5000, half: 2}}]\n"
        "frontends:\n"
        "  - {name: idle, rate: 0, backends: [b]}\n"
        "  - {name: chat, rate: 1, backends: [b], prefix: 20000}\n"
    )
    for more in ([], ["--add", "b"]):
        result = run(file, *more)
        assert result.exit_code == 2
        place = f"isocline: {file}:7: frontends[1] 'chat', prefix: its prefix of 20000 tokens is 2"
        assert result.stderr.splitlines()[-1].startswith(place)
    file.write_text(file.read_text().replace("prefill: 0.1", "prefill: 0"))
    said = run(file).stderr
    assert f"{file}:2: work.prefill: prefill is 0, so that a prefix cache saves nothing" in said


@pytest.mark.parametrize("verb", ["plan", "fluid"])
def test_a_file_with_patience_is_planned_for_jobs_that_stay_and_says_so(
    tmp_path: Path, verb: str
) -> None:
    plain = (EXAMPLES / "n_model.yaml").read_text()
    file = tmp_path / "patient.yaml"
    file.write_text(plain + "\npatience: {type: exponential, mean: 2.0}\n")
    said = CliRunner().invoke(main, [verb, str(file)], prog_name="isocline")
    assert said.exit_code == 0
    assert "note: patience is not taken into account" in said.stderr
    file.write_text(plain)
    without = CliRunner().invoke(main, [verb, str(file)], prog_name="isocline")
    assert "patience" not in without.stderr
    assert without.stdout == said.stdout


ZONED = """kind: routing
backends:
  - {name: near, zone: eu/a, curve: {type: hyperbolic, peak: 40.0, half: 12.0}}
  - {name: far, zone: us/a, curve: {type: hyperbolic, peak: 40.0, half: 12.0}}
frontends: [{name: all, zone: eu/a, rate: 30.0, backends: ["*"]}]
serve: {distance: {zone: 0.1, region: 0.4}}
"""
_RUN = ["--horizon", "20", "--warmup", "1", "--replications", "2", "--policy", "gmsr"]


def test_a_plan_with_zones_has_the_split_with_their_distances(tmp_path: Path) -> None:
    file = tmp_path / "zoned.yaml"
    file.write_text(ZONED)
    shown = CliRunner().invoke(main, ["plan", str(file)], prog_name="isocline")
    assert shown.exit_code == 0
    assert "With the distances of zones" in shown.stdout
    assert "of the jobs leave their zone" in shown.stdout
    assert shown.stderr == ""
    said = json.loads(CliRunner().invoke(main, ["plan", str(file), "--json"]).stdout)
    assert said["zones"]["total_jobs"] > said["total_jobs"]
    assert 0.0 < said["zones"]["crossing"] < 0.5
    simulated = CliRunner().invoke(main, ["simulate", str(file), "--json", *_RUN])
    found = json.loads(simulated.stdout)
    assert found["lower_bound"] == pytest.approx(said["zones"]["total_jobs"], rel=1e-6)
    other = CliRunner().invoke(main, ["plan", str(file), "--rate", "all=20"], prog_name="isocline")
    assert "mean latency, distances of zones included" in other.stdout


@pytest.mark.parametrize("verb", ["plan", "fluid", "simulate"])
def test_ways_that_only_a_router_knows_are_left_out_and_it_says_so(
    tmp_path: Path, verb: str
) -> None:
    file = tmp_path / "measured.yaml"
    file.write_text(ZONED.replace("{zone: 0.1, region: 0.4}", "measured"))
    options = _RUN if verb == "simulate" else []
    said = CliRunner().invoke(main, [verb, str(file), *options], prog_name="isocline")
    assert said.exit_code == 0
    assert said.stderr.count("note: serve.distance is measured by a running router") == 1
    assert "With the distances of zones" not in said.stdout


def test_a_fluid_says_that_it_leaves_given_ways_out(tmp_path: Path) -> None:
    file = tmp_path / "zoned.yaml"
    file.write_text(ZONED)
    said = CliRunner().invoke(main, ["fluid", str(file)], prog_name="isocline")
    assert "note: distances of zones are not taken into account" in said.stderr
