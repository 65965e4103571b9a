"""`isocline simulate` on files of kind near-data."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from isocline.cli import main

EXAMPLES = Path(__file__).parents[2] / "examples"
SMALL = EXAMPLES / "small_cluster.yaml"
SWIM = Path(__file__).parents[3] / "shared/data/swim_fb2010_paths.tsv"
SHORT = ("--horizon", "8000", "--warmup", "1000", "--replications", "3")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["simulate", *map(str, arguments)], prog_name="isocline")


def test_the_json_has_the_fields_that_were_promised() -> None:
    policies = ("--policy", "local_first", "--policy", "jsq_maxweight")
    result = run(SMALL, *policies, *SHORT, "--json")
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["kind"] == "near-data"
    assert document["lower_bound"] > 0
    own, rival = document["policies"]
    assert (own["policy"], rival["policy"]) == ("local_first", "jsq_maxweight")
    promised = {
        *("policy", "mean_jobs", "mean_jobs_ci95", "mean_latency", "mean_latency_ci95"),
        *("p50", "p95", "p99", "completed", "ratio_to_bound", "events", "events_per_second"),
        *("local_share", "rack_share", "remote_share", "idle_share", "perpendicular"),
    }
    assert promised <= own.keys()
    assert own["p50"] < own["p95"] < own["p99"]
    assert own["rack_share"] > 0


def test_the_table_shows_places_and_reading_and_out_writes_files(tmp_path: Path) -> None:
    result = run(SMALL, *SHORT, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    assert "where they ran" in result.stdout
    assert "local_first" in result.stdout
    assert {"policies.png", "policies.csv", "tasks.svg"} <= {
        path.name for path in (tmp_path / "out").iterdir()
    }


def test_several_loads_make_a_table_and_a_picture(tmp_path: Path) -> None:
    loads = ("--load", "0.6,0.3", "--policy", "local_first", "--out", tmp_path / "out")
    result = run(SMALL, *loads, *SHORT)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.index("0.300") < result.stdout.index("0.600")
    assert (tmp_path / "out" / "latency.png").exists()


def test_a_load_that_nobody_can_serve_is_a_negative_answer() -> None:
    result = run(SMALL, "--load", "1.2")
    assert result.exit_code == 1
    assert "No policy is stable" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--policy", "local_fist"), "did you mean local_first"),
        (("--scale", "10"), "--scale"),
        (("--learn",), "--learn"),
        (("--start", "fluid"), "--start does not apply to kind: near-data; leave it out"),
        (("--busiest", "60"), "--trace"),
        (("--trace", "x.csv", "--trace-format", "azure"), "swim"),
        (("--trace", "no/such/file.tsv"), "no/such/file.tsv"),
        (("--replicas", "2"), "trace"),
        (("--horizon", "0"), "horizon"),
    ],
)
def test_a_mistake_is_named_and_exits_with_2(arguments: tuple[str, ...], words: str) -> None:
    result = run(SMALL, *arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert result.stdout == ""


def test_what_is_for_clusters_is_refused_for_routing() -> None:
    result = run(EXAMPLES / "n_model.yaml", "--trace", "bursty", "--replicas", "2")
    assert result.exit_code == 2
    assert "--replicas does not apply to kind: routing; leave it out" in result.stderr


def test_a_block_trace_is_replayed_with_its_jobs(tmp_path: Path) -> None:
    block = 128 * 2**20
    lines = [f"job{i}\t{30 * i}\t30\t{(i % 5) * block}\t0\t0\tpath{i % 7}\n" for i in range(200)]
    trace = tmp_path / "jobs.tsv"
    trace.write_text("".join(lines), encoding="utf-8")
    arguments = ("--trace", trace, "--replicas", "2", "--replications", "2", "--json")
    result = run(SMALL, *arguments, "--policy", "local_first")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)["policies"][0]
    tasks = sum(max(1, i % 5) for i in range(200))  # a job without input has one task
    assert found["completed"] == 2 * tasks
    assert found["job_latency"]["completed"] == 2 * 200
    assert found["job_latency"]["mean"] >= found["mean_latency"]


@pytest.mark.skipif(not SWIM.exists(), reason="the real trace is not beside this checkout")
def test_the_real_trace_runs_on_the_small_cluster() -> None:
    arguments = ("--trace", SWIM, "--busiest", "60", "--load", "0.5", "--means-only", "--json")
    result = run(SMALL, *arguments, "--policy", "local_first", "--replications", "2")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["policies"][0]["job_latency"]["completed"] > 2
