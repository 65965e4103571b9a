"""`isocline simulate`: the fixed interface, and what a mistake says."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from isocline.cli import main
from tests.live.processes import until
from tests.running import running

EXAMPLES = Path(__file__).parents[2] / "examples"
AZURE = Path(__file__).parents[3] / "shared/data/azure_llm_code.csv"
SHORT = ("--horizon", "300", "--warmup", "50", "--replications", "3")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["simulate", *map(str, arguments)], prog_name="isocline")


def test_the_json_has_the_fields_that_were_promised() -> None:
    policies = ("--policy", "gmsr", "--policy", "power_of_d:d=3")
    long = ("--horizon", "4000", "--warmup", "500")
    result = run(EXAMPLES / "n_model.yaml", *policies, *long, "--seed", "3", "--json")
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["kind"] == "routing"
    assert document["lower_bound"] == pytest.approx(2 * 2**0.5, rel=1e-8)
    gmsr, sampled = document["policies"]
    assert (gmsr["policy"], sampled["policy"]) == ("gmsr", "power_of_d:d=3")
    promised = {
        *("policy", "mean_jobs", "mean_jobs_ci95", "mean_latency", "mean_latency_ci95"),
        *("p50", "p95", "p99", "completed", "ratio_to_bound", "events", "events_per_second"),
    }
    assert promised <= gmsr.keys()
    low, high = gmsr["mean_jobs_ci95"]
    assert low < gmsr["mean_jobs"] < high
    assert gmsr["p50"] < gmsr["p95"] < gmsr["p99"]


def test_the_same_seed_prints_the_same_numbers() -> None:
    def numbers() -> list[object]:
        document = json.loads(run(EXAMPLES / "n_model.yaml", *SHORT, "--json").stdout)
        return [p["mean_jobs_ci95"] for p in document["policies"]]

    assert numbers() == numbers()


def test_several_loads_make_a_table_and_pictures(tmp_path: Path) -> None:
    loads = ("--load", "0.6,0.3", "--policy", "gmsr", "--out", tmp_path / "out")
    result = run(EXAMPLES / "regions.yaml", *loads, *SHORT)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.index("0.300") < result.stdout.index("0.600")
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"latency.png", "latency.svg", "latency.csv"} <= written


def test_an_infeasible_load_is_a_negative_answer_with_its_proof() -> None:
    result = run(EXAMPLES / "regions.yaml", "--load", "1.2", "--policy", "gmsr", *SHORT)
    assert result.exit_code == 1
    assert "frontends {eu} bring" in result.stderr
    assert "backends {eu-large, eu-small} can serve" in result.stderr
    assert "note: isocline plan says what is served of such a load" in result.stderr


def test_plan_is_not_pointed_to_where_it_refuses_the_curves(tmp_path: Path) -> None:
    file = tmp_path / "fleet.yaml"
    file.write_text(
        "kind: routing\n"
        "backends: [{name: a, curve: {type: servers, rate: 2, count: 4}}]\n"
        'frontends: [{name: f, rate: 9, backends: ["*"]}]\n'
    )
    result = run(file, "--policy", "jsq", *SHORT)
    assert result.exit_code == 1
    assert "can serve less than 8" in result.stderr
    assert "isocline plan" not in result.stderr


def test_the_json_of_an_infeasible_load_holds_the_violated_set() -> None:
    arguments = ("--load", "0.3,1.2", "--policy", "gmsr", *SHORT, "--json")
    result = run(EXAMPLES / "regions.yaml", *arguments)
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert document["status"] == "infeasible"
    assert document["bottleneck"] == {"frontends": ["eu"], "backends": ["eu-large", "eu-small"]}
    assert document["supply"] >= document["capacity"]
    assert document["policies"] == [{"policy": "gmsr", "status": "unstable", "mean_jobs": None}]


def test_a_load_that_cannot_be_served_does_not_spoil_the_others(tmp_path: Path) -> None:
    arguments = ("--load", "1.2,0.3,0.6", "--policy", "gmsr", *SHORT)
    result = run(EXAMPLES / "regions.yaml", *arguments, "--out", tmp_path)
    assert result.exit_code == 1
    assert "mean latency in" in result.stdout
    assert "0.600" in result.stdout
    assert "1.20" not in result.stdout
    assert "Load 1.2 is infeasible: frontends {eu} bring" in " ".join(result.stdout.split())
    assert "infeasible" not in result.stderr  # it is said once
    assert (tmp_path / "latency.png").exists()
    printed = run(EXAMPLES / "regions.yaml", *arguments, "--json")
    assert "isocline: at load 1.2: infeasible: frontends {eu} bring" in printed.stderr
    document = json.loads(printed.stdout)
    assert document["status"] == "infeasible"
    assert [one["load"] for one in document["loads"]] == pytest.approx([0.3, 0.6, 1.2])
    assert [one["status"] for one in document["loads"]] == ["feasible", "feasible", "infeasible"]


def test_all_policies_unstable_is_a_negative_answer() -> None:
    result = run(EXAMPLES / "mixed_fleet.yaml", "--load", "0.7", "--policy", "random", *SHORT)
    assert result.exit_code == 1
    assert "unstable" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--policy", "gmrs"), "did you mean gmsr"),
        (("--policy", "power_of_d:d=zero"), "whole number"),
        (("--trace", "no/such/file.csv"), "no/such/file.csv"),
        (("--replications", "1"), "2 or more"),
        (("--load", "half"), "0.5,0.7,0.9"),
        (("--load", "-1"), "above 0"),
        (("--horizon", "0"), "horizon"),
        (("--horizon", "5", "--warmup", "1"), "--horizon"),
        (("--discipline", "fcfs"), "servers curves"),
        (("--speed", "2"), "No such option"),
    ],
)
def test_a_mistake_is_named_and_exits_with_2(arguments: tuple[str, ...], words: str) -> None:
    result = run(EXAMPLES / "n_model.yaml", *arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert result.stdout == ""


def test_the_generated_trace_is_replayed_whole() -> None:
    arguments = ("--trace", "bursty", "--time-scale", "40", "--policy", "gmsr", "--json")
    result = run(EXAMPLES / "mixed_fleet.yaml", *arguments, "--replications", "2")
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["arrivals"].startswith("trace generated")
    assert document["policies"][0]["completed"] == 2 * 9000


@pytest.mark.skipif(not AZURE.exists(), reason="the real trace is not beside this checkout")
def test_the_real_trace_runs_on_the_mixed_fleet() -> None:
    arguments = ("--trace", AZURE, "--load", "0.5", "--policy", "gmsr", "--json")
    result = run(EXAMPLES / "mixed_fleet.yaml", *arguments, "--replications", "2")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["policies"][0]["completed"] == 2 * 8819


def processor_time(pid: int) -> float:
    """That a process has used so far, s."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def interrupted_after(seconds: float) -> tuple[int, str]:
    """Exit status and output of an endless simulation that gets a SIGINT.

    Args:
        seconds: Of processor time, which does not pass while others keep the machine busy.
    """
    command = [sys.executable, "-m", "isocline", "simulate", str(EXAMPLES / "n_model.yaml")]
    endless = ["--policy", "gmsr", "--replications", "100000", "--horizon", "3000", "--warmup", "9"]
    with running(
        [*command, *endless, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as process:
        until(lambda: processor_time(process.pid) > seconds, lambda: "it does nothing")
        process.send_signal(signal.SIGINT)
        stdout, _ = process.communicate(timeout=120)
        return process.returncode, stdout


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="times are read in /proc")
def test_ctrl_c_ends_with_what_is_done_so_far() -> None:
    run(EXAMPLES / "n_model.yaml", "--policy", "gmsr", *SHORT)  # so that all is compiled
    # Kernels load in about one second and a replication takes 10 ms; where the machine was so slow
    # that two were not done, nothing is printed.
    for seconds in (2.0, 8.0, 32.0):
        status, stdout = interrupted_after(seconds)
        assert status == 130
        if stdout:
            break
    document = json.loads(stdout)
    assert document["interrupted"] is True
    assert 2 <= document["replications"] < 100000


def test_a_trace_beyond_capacity_is_answered_with_a_warning() -> None:
    arguments = ("--trace", "bursty", "--load", "1.3", "--policy", "gmsr", "--replications", "2")
    told = run(EXAMPLES / "mixed_fleet.yaml", *arguments)
    assert told.exit_code == 0
    assert "Beyond capacity: the load of the trace is 1.30 times what can be served" in told.stdout
    document = json.loads(run(EXAMPLES / "mixed_fleet.yaml", *arguments, "--json").stdout)
    assert document["status"] == "overloaded"
    (policy,) = document["policies"]
    assert policy["status"] == "overloaded"
    assert policy["finished"] > document["horizon"]
    assert policy["arrival_rate"] * policy["mean_latency"] == pytest.approx(policy["mean_jobs"])


def test_a_run_beyond_the_budget_is_refused_with_a_remedy() -> None:
    told = run(EXAMPLES / "mixed_fleet.yaml", "--load", "0.99999999")
    assert told.exit_code == 2
    assert "--budget" in told.stderr
    assert "days of one core" in told.stderr
