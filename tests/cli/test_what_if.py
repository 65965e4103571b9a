"""`--add`, `--remove` and `--rate`: a system before and after a change, side by side."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import isocline
from isocline.cli import main

EXAMPLES = Path(__file__).parents[2] / "examples"
FLEET = EXAMPLES / "mixed_fleet.yaml"


def run(verb: str, *arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [verb, *map(str, arguments)], prog_name="isocline")


def document(verb: str, *arguments: str | Path) -> Any:
    result = run(verb, *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_the_document_has_the_plans_of_both_files(tmp_path: Path) -> None:
    by_hand = tmp_path / "by_hand.yaml"
    line = "  - {name: h100-2,    curve: *h100}\n"
    text = FLEET.read_text().replace(line, line + line.replace("h100-2", "h100-3"))
    by_hand.write_text(text.replace("rate: 60.0", "rate: 90.0"))
    found = document("plan", FLEET, "--add", "h100=1", "--rate", "chat=x1.5")
    assert found["before"] == document("plan", FLEET)
    assert found["after"] == document("plan", by_hand)
    assert (found["kind"], found["status"]) == ("routing", "optimal")
    assert found["changes"] == {
        "add": [{"name": "h100", "count": 1, "frontends": []}],
        "remove": [],
        "rates": [{"name": "chat", "value": 1.5, "is_factor": True}],
    }
    chat = found["frontends"][0]
    assert chat["frontend"] == "chat"
    assert (chat["before"]["rate"], chat["after"]["rate"]) == pytest.approx((60.0, 90.0))
    for side in ("before", "after"):  # frontends' latencies add up to the mean
        rows = [row[side] for row in found["frontends"]]
        total = sum(row["rate"] for row in rows)
        mean = sum(row["rate"] * row["mean_latency"] for row in rows) / total
        assert mean == pytest.approx(found[side]["mean_latency"], rel=1e-9)


def test_the_table_has_both_sides(tmp_path: Path) -> None:
    printed = run("plan", FLEET, "--add", "h100", "--remove", "a10g=2", "--out", tmp_path).stdout
    words = " ".join(printed.split())
    assert "mixed fleet: +1 h100, −2 a10g" in words
    assert "mean latency 1.93 s 1.90 s −" in words
    assert "h100-3 new – → 1" in words
    assert "a10g (× 2) gone 2 → –" in words
    assert "office 2 → 2 20.00 → 20.00" in words
    names = {"plan.png", "plan.svg", "backends.csv", "split.csv"}
    for side in ("before", "after"):
        assert {path.name for path in (tmp_path / side).iterdir()} == names
    assert "h100-3" in (tmp_path / "after" / "backends.csv").read_text()


def test_the_exit_status_is_that_of_the_system_after(tmp_path: Path) -> None:
    too_much = run("plan", FLEET, "--remove", "h100", "--rate", "x1.1")
    assert too_much.exit_code == 1
    assert "optimal infeasible" in " ".join(too_much.stdout.split())
    assert "bring 150.7 jobs/s" in too_much.stdout
    overloaded = tmp_path / "overloaded.yaml"
    overloaded.write_text(FLEET.read_text().replace("rate: 60.0", "rate: 160.0"))
    assert run("plan", overloaded).exit_code == 1
    enough = run("plan", overloaded, "--add", "h100")
    assert enough.exit_code == 0
    assert "infeasible optimal" in " ".join(enough.stdout.split())


def test_a_cluster_is_shown_before_and_after() -> None:
    file = EXAMPLES / "near_data.yaml"
    found = document("plan", file, "--add", "servers=100", "--rate", "x1.1")
    assert len(found["after"]["loads"]) == 1100
    assert found["before"] == document("plan", file)
    printed = " ".join(run("plan", file, "--add", "servers=100").stdout.split())
    assert "servers 1,000 1,100 +100 (+10.0%)" in printed
    assert "most arrivals at this mix, tasks/s 833.3 916.7" in printed
    small = " ".join(run("plan", EXAMPLES / "small_cluster.yaml", "--remove", "a1").stdout.split())
    # 21.7 and 21.8 by the digits that are not shown.
    assert re.search(r"remote share of tasks 4\.3% 26\.1% \+21\.\d points ", small)
    full = run("plan", file, "--rate", "x1.3")
    assert full.exit_code == 1
    assert "queues grow without end" in full.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--add", "h10"], "did you mean 'h100'?"),
        (["--rate", "chta=x2"], "did you mean 'chat'?"),
        (["--rate", "chat"], "give NAME=RATE, NAME=xFACTOR or xFACTOR"),
        (["--add", "h100", "--compare"], "--add does not apply with --compare"),
    ],
)
def test_a_change_that_cannot_be_made_is_said(words: list[str], said: str) -> None:
    result = run("plan", FLEET, *words)
    assert result.exit_code == 2
    assert said in result.stderr


QUICK = ("--policy", "gmsr", "--policy", "jsq", "--horizon", "300", "--replications", "3")


def test_each_policy_is_simulated_before_and_after(tmp_path: Path) -> None:
    found = document("simulate", FLEET, *QUICK, "--add", "h100")
    assert found["before"]["system"] == "mixed fleet"
    assert len(found["after"]["policies"]) == 2
    for policy, before, after in zip(
        found["policies"], found["before"]["policies"], found["after"]["policies"], strict=True
    ):
        assert policy["policy"] == before["policy"] == after["policy"]
        low, high = policy["difference_ci95"]
        assert low < policy["difference"] < high < 0.0  # one machine more helps
        assert policy["ratio"] == pytest.approx(after["mean_latency"] / before["mean_latency"])
        # The same jobs on both sides: their difference is known better than either.
        assert high - low < before["mean_latency_ci95"][1] - before["mean_latency_ci95"][0]
    result = run("simulate", FLEET, *QUICK, "--add", "h100", "--out", tmp_path)
    assert "mixed fleet: +1 h100" in result.stdout
    assert "the same jobs" in result.stdout
    for side in ("before", "after"):
        assert (tmp_path / side / "policies.csv").exists()


def test_jobs_are_the_same_on_both_sides() -> None:
    found = document("simulate", FLEET, *QUICK, "--remove", "a10g", "--warmup", "30")
    rates = [[p["arrival_rate"] for p in found[side]["policies"]] for side in ("before", "after")]
    assert rates[0] == rates[1]


def test_simulating_beyond_capacity_shows_what_can_be_served() -> None:
    result = run("simulate", EXAMPLES / "n_model.yaml", *QUICK, "--rate", "x3", "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert found["after"]["status"] == "infeasible"
    assert found["after"]["bottleneck"] == {"frontends": ["f1", "f2"], "backends": ["b1", "b2"]}
    assert found["before"]["policies"][0]["status"] == "stable"
    assert found["policies"][0] == {
        "policy": "gmsr", "difference": None, "difference_ci95": None,
        "ratio": None, "ratio_ci95": None,
    }  # fmt: skip
    assert "isocline: after: infeasible" in result.stderr


def test_a_load_is_that_of_the_system_before_and_its_arrivals_those_of_both() -> None:
    half = ("--load", "0.5", "--warmup", "30")
    found = document("simulate", FLEET, *QUICK, *half, "--add", "h100=1")
    assert found["before"]["load"] == pytest.approx(0.5)
    assert found["after"]["load"] < 0.4
    rates = [[p["arrival_rate"] for p in found[side]["policies"]] for side in ("before", "after")]
    assert rates[0] == rates[1]
    cluster = document(
        "simulate", EXAMPLES / "small_cluster.yaml", "--policy", "local_first",
        "--horizon", "2000", "--replications", "2", "--load", "0.6", "--add", "b1",
    )  # fmt: skip
    assert cluster["before"]["load"] == pytest.approx(0.6)
    assert cluster["after"]["load"] < 0.6


def test_a_frontend_that_goes_is_said_in_words() -> None:
    printed = run("plan", FLEET, "--remove", "chat", "--remove", "a10g=2").stdout
    assert printed.startswith("mixed fleet: without chat, −2 a10g")
    found = document("plan", FLEET, "--remove", "chat")
    assert found["changes"]["remove"] == [{"name": "chat", "count": 1, "is_frontend": True}]


CHANGES = [
    ["--add", "h100=2", "--rate", "chat=x1.5"],
    ["--add", "a10g=2@office", "--remove", "rtx4090-1"],
    ["--remove", "chat", "--remove", "a10g=3"],
    ["--rate", "x1.1", "--rate", "code=12"],
]


@pytest.mark.parametrize("words", CHANGES, ids=" ".join)
def test_a_written_file_has_the_plan_that_was_shown(words: list[str], tmp_path: Path) -> None:
    after = tmp_path / "after.yaml"
    result = run("plan", FLEET, *words, "--write", after, "--json")
    assert f"wrote {after}" in result.stderr
    shown, kept = json.loads(result.stdout)["after"], document("plan", after)
    for key in ("mean_latency", "total_jobs", "capacity_scale"):
        assert kept[key] == pytest.approx(shown[key], rel=1e-9)
    assert [b["name"] for b in kept["backends"]] == [b["name"] for b in shown["backends"]]


def test_a_written_file_keeps_settings_and_laws_and_copies_have_no_address(tmp_path: Path) -> None:
    file, after = tmp_path / "before.yaml", tmp_path / "after.yaml"
    file.write_text(
        "kind: routing\n"
        "serve: {workers: 2}\n"
        "backends:\n"
        "  - {name: a-1, url: 'http://a:1', weight: 2, "
        "curve: {type: hyperbolic, peak: 40, half: 8}}\n"
        "frontends:\n"
        "  - {name: day, arrivals: {type: piecewise, steps: [[0, 4], [60, 8]], period: 120}, "
        "backends: [a-1]}\n"
    )
    run("plan", file, "--add", "a=1", "--rate", "x2", "--write", after)
    text = after.read_text()
    assert text.count("http://a:1") == text.count("workers: 2") == text.count("weight: 2") == 1
    kept, made = isocline.load(after), isocline.changed(isocline.load(file), add="a", rates="x2")
    assert kept.frontends == made.frontends
    assert [b.curve for b in kept.backends] == [b.curve for b in made.backends]


def test_a_change_without_a_form_in_the_file_is_not_written(tmp_path: Path) -> None:
    (tmp_path / "jobs.csv").write_text("at,out\n0.5,1\n1.5,1\n4.0,1\n")
    file, after = tmp_path / "before.yaml", tmp_path / "after.yaml"
    file.write_text(
        "kind: routing\n"
        "backends:\n  - {name: a, curve: {type: hyperbolic, peak: 40, half: 8}}\n"
        "frontends:\n  - {name: f, backends: [a]}\n"
        "trace: {file: jobs.csv, columns: {time: at, output: out}}\n"
    )
    result = run("plan", file, "--rate", "x2", "--write", after)
    assert result.exit_code == 2
    assert "--write: this change has no form in a system file" in result.stderr
    assert not after.exists()
    assert (
        run("plan", EXAMPLES / "near_data.yaml", "--rate", "x1.1", "--write", after).exit_code == 2
    )


def test_a_cluster_is_simulated_before_and_after() -> None:
    found = document(
        "simulate", EXAMPLES / "small_cluster.yaml", "--policy", "local_first",
        "--horizon", "20000", "--warmup", "2000", "--replications", "4", "--add", "b1",
    )  # fmt: skip
    assert (found["before"]["servers"], found["after"]["servers"]) == (6, 7)
    (policy,) = found["policies"]
    assert policy["difference_ci95"][1] < 0.0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--add", "h100", "--load", "0.5,0.6"], "with a change it is that of the system before"),
        (["--add", "h100", "--load", "0.5", "--trace", "bursty"], "with --trace and a change"),
        (["--add", "h100", "--then", "5=x.yaml"], "--add does not apply with --then"),
        (["--write", "x.yaml"], "--write does not apply without a change; add --add"),
        (["--rate", "x2", "--trace", "bursty"], "--rate does not apply with --trace"),
        (["--remove", "h10"], "did you mean 'h100'?"),
    ],
)
def test_what_does_not_go_with_a_change_is_refused(words: list[str], said: str) -> None:
    result = run("simulate", FLEET, *words)
    assert result.exit_code == 2
    assert said in result.stderr


def test_python_makes_the_same_change() -> None:
    system = isocline.load(FLEET)
    after = isocline.plan(isocline.changed(system, remove="a10g=3", rates="x0.5"))
    found = document("plan", FLEET, "--remove", "a10g=3", "--rate", "x0.5")
    assert found["after"]["mean_latency"] == after.mean_latency
