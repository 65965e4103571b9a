"""What all verbs take in: stdin, anchors, any names, traces of any table."""

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from isocline.cli import _traces, main
from isocline.cli._changes import changes
from isocline.errors import UsageError
from isocline.model.systemfile import load
from isocline.model.traffic import FORMATS, Arrivals
from isocline.simulate.routing.compare import sweep

SYSTEM = """\
x-fast: &fast {type: hyperbolic, peak: 40, half: 12}
x-more: {anything: [goes, here]}
kind: routing
backends:
  - {name: "a,b=1", curve: *fast}
  - {name: b, curve: {<<: *fast, peak: 6}}
frontends:
  - {name: all, rate: 9, backends: ["*"]}
  - {name: none yet, rate: 0, backends: [b]}
"""


def run(*arguments: str | Path, stdin: str | bytes | None = None) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)], input=stdin, prog_name="isocline")


def written(folder: Path, text: str = SYSTEM) -> Path:
    path = folder / "system.yaml"
    path.write_text(text)
    return path


def test_a_system_comes_from_stdin_and_may_hold_anchors_and_idle_frontends() -> None:
    result = run("plan", "-", "--json", stdin=SYSTEM)
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert {split["frontend"] for split in document["split"]} == {"all"}


def test_a_mistake_in_a_system_from_stdin_names_its_line() -> None:
    result = run("plan", "-", stdin=SYSTEM.replace("rate: 9", "rate: nine"))
    assert result.exit_code == 2
    assert "-:8: frontends[0] 'all', rate: is 'nine'" in result.stderr


def test_anchors_may_stand_in_a_near_data_file() -> None:
    text = (
        "x-r: &r {local: 1, remote: 0.5}\nkind: near-data\nservers: 4\nrates: *r\n"
        "tasks: {replicas: 2, rate: 2}\n"
    )
    assert run("plan", "-", stdin=text).exit_code == 0


def test_other_keys_at_the_top_are_still_unknown(tmp_path: Path) -> None:
    result = run("plan", written(tmp_path, "y-fast: 3\n" + SYSTEM))
    assert "system.yaml:1: y-fast: is an unknown key" in result.stderr


def test_serving_needs_a_file_that_can_be_read_again() -> None:
    result = run("serve", "-", stdin=SYSTEM)
    assert result.exit_code == 2
    assert "give a path in place of -" in result.stderr


@pytest.mark.parametrize(
    ("start", "jobs"),
    [("a,b=1=5", [5, 0]), ("b=2,a,b=1=5", [5, 2]), ("a,b=1=5,b=2", [5, 2]), ("b=2", [0, 2])],
)
def test_a_start_takes_names_with_commas(tmp_path: Path, start: str, jobs: list[float]) -> None:
    result = run("fluid", written(tmp_path), "--start", start, "--horizon", "1", "--json")
    assert result.exit_code == 0, result.stderr
    workloads = json.loads(result.stdout)["workloads"]
    assert [workloads["a,b=1"][0], workloads["b"][0]] == jobs


@pytest.mark.parametrize("start", ["b", "b=x", "b=1,b=2", "=3", "b=2,c"])
def test_a_start_that_is_none_is_refused(tmp_path: Path, start: str) -> None:
    result = run("fluid", written(tmp_path), "--start", start, "--horizon", "1")
    assert result.exit_code == 2
    assert "give each backend once, as in b1=5,b2=0" in result.stderr


SHORT = ("--policy", "jsq", "--replications", "2", "--json")


def test_a_slowdown_takes_names_with_commas(tmp_path: Path) -> None:
    slow = ("--slowdown", "a,b=1=2@50,told", "--horizon", "100", *SHORT)
    result = run("simulate", written(tmp_path), *slow)
    assert result.exit_code == 0, result.stderr
    assert "a,b=1 2 times as slow from 50 s" in json.loads(result.stdout)["arrivals"]


LOG = "ts;who;cost;text\n" + "".join(
    f"{1731000000000 + 150 * i};{'all' if i % 3 else 'none yet'};{1 + i % 5};hello\n"
    for i in range(600)
)
COLUMNS = ("--trace-columns", "time=ts,work=cost,frontend=who", "--trace-time-unit", "ms")


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("piped", [False, True])
def test_any_table_is_replayed_by_its_columns(tmp_path: Path, packed: bool, piped: bool) -> None:
    data = gzip.compress(LOG.encode()) if packed else LOG.encode()
    (tmp_path / "log").write_bytes(data)
    trace = ("--trace", "-" if piped else tmp_path / "log")
    result = run("simulate", written(tmp_path), *trace, *COLUMNS, *SHORT, stdin=data)
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["policies"][0]["completed"] == 2 * 600
    assert document["arrivals"].endswith("each request at the frontend it names")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("--trace-columns", "time=ts"),
            "--trace-columns does not apply without --trace; add --trace FILE",
        ),
        (
            ("--trace", "bursty", "--trace-time-unit", "ms"),
            "--trace-time-unit does not apply with --trace bursty",
        ),
        (("--trace", "LOG"), "columns ts, who, cost, text; known formats"),
        (("--trace", "LOG", "--trace-format", "csv"), "swim"),
        (("--trace", "LOG", "--trace-columns", "prompt=p"), "time is missing"),
        (("--trace", "LOG", "--trace-columns", "time=tss"), "did you mean 'ts'?"),
    ],
)
def test_a_mistake_about_a_trace_names_its_remedy(
    tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    (tmp_path / "log").write_text(LOG)
    given = [str(tmp_path / "log") if word == "LOG" else word for word in arguments]
    result = run("simulate", written(tmp_path), *given)
    assert result.exit_code == 2
    assert words in result.stderr


def test_the_help_names_every_format() -> None:
    assert set(_traces.FORMATS) == set(FORMATS)
    assert all(name in run("simulate", "--help").stdout for name in (*FORMATS, "swim"))


def test_a_law_of_arrivals_is_given_in_the_file_or_on_the_command_line(tmp_path: Path) -> None:
    in_file = SYSTEM.replace("rate: 9", "arrivals: {type: gamma, rate: 9, cv: 2}")
    found = []
    for text, options in ((SYSTEM, ("--arrivals", "gamma:cv=2")), (in_file, ())):
        result = run("simulate", written(tmp_path, text), *options, "--horizon", "500", *SHORT)
        assert result.exit_code == 0, result.stderr
        found.append(json.loads(result.stdout))
    assert found[0]["arrivals"] == "Gamma (cv 2) arrivals, exponential sizes"
    assert found[0]["policies"][0]["mean_jobs"] == found[1]["policies"][0]["mean_jobs"]


@dataclass(frozen=True)
class Pulses(Arrivals):
    """Jobs at equal distances, `late` of the first of them missing."""

    every: float
    late: int = 0
    is_stationary = True  # read only, there

    @property
    def rate(self) -> float:
        return 1.0 / self.every

    def sped_up(self, factor: float) -> "Pulses":
        return Pulses(self.every / factor, self.late)

    def sample(self, rng: np.random.Generator, until: float) -> Any:  # noqa: ARG002
        return np.arange(0.0, until, self.every)[self.late :]


@pytest.mark.parametrize("given", ["every=0.1", "every=3,late=0"])
def test_ones_own_law_of_arrivals_has_the_rates_of_the_frontends(
    tmp_path: Path, given: str
) -> None:
    law = f"{__name__}:Pulses:{given}"
    options = ("--arrivals", law, "--horizon", "500", "--warmup", "0", *SHORT)
    result = run("simulate", written(tmp_path), *options)
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["arrivals"] == "Pulses arrivals, exponential sizes"
    # 9 jobs/s at equal distances; the few that are still there have not been completed.
    assert found["policies"][0]["completed"] == pytest.approx(2 * 9 * 500, rel=0.01)


@pytest.mark.parametrize(
    ("law", "words"),
    [
        ("no.such:Law", "cannot import no.such"),
        (f"{__name__}:Pulses:pace=2", "it takes every, late"),
        (f"{__name__}:Pulses:every", "'every' has no value"),
        (f"{__name__}:Pulses:every=inf", "rate is 0.0; it must be a finite number"),
        (f"{__name__}:written", "is no class that derives from isocline.Arrivals"),
    ],
)
def test_what_is_no_law_of_ones_own_is_refused(tmp_path: Path, law: str, words: str) -> None:
    result = run("simulate", written(tmp_path), "--arrivals", law)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())


def test_an_unknown_law_of_arrivals_is_answered_with_examples(tmp_path: Path) -> None:
    result = run("simulate", written(tmp_path), "--arrivals", "pareto:shape=2")
    assert result.exit_code == 2
    assert "unknown law 'pareto'; examples: poisson, gamma:cv=3" in result.stderr


def test_a_system_may_become_another_during_a_simulation(tmp_path: Path) -> None:
    later = tmp_path / "later.yaml"
    later.write_text(SYSTEM.replace("name: b,", "name: c,").replace("[b]", "[c]"))
    then = ("--then", f"40={later}", "--out", tmp_path / "out")
    result = run("simulate", written(tmp_path), *then, *SHORT)
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["horizon"] == 80.0
    assert document["lower_bound"] is None
    assert "later from 40 s" in document["arrivals"]


def test_files_of_one_name_are_told_apart_by_their_paths(tmp_path: Path) -> None:
    """Of a system without a name, the file's own is its name."""
    files = []
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        files.append(written(tmp_path / folder))
    system = load(files[0])
    texts = [f"{time}={file}" for time, file in ((20, files[1]), (40, files[0]))]
    found = changes(texts, files[0], system)
    assert [(time, other.name) for time, other in found] == [
        (20.0, str(files[1])),
        (40.0, system.name),
    ]


def test_a_load_that_is_given_twice_is_refused(tmp_path: Path) -> None:
    result = run("simulate", written(tmp_path), "--load", "0.5,0.7,0.50", *SHORT)
    assert result.exit_code == 2
    assert "--load: '0.5,0.7,0.50': 0.5 is given twice; give each load once" in result.stderr
    with pytest.raises(UsageError, match=r"loads \[0.5, 0.5\]: 0.5 is given twice; give it once"):
        sweep(load(written(tmp_path)), loads=[0.5, 0.5])


def test_a_change_that_is_none_is_refused(tmp_path: Path) -> None:
    result = run("simulate", written(tmp_path), "--then", "soon")
    assert result.exit_code == 2
    assert "give a time in s and a system file" in result.stderr


def test_jobs_give_up_at_any_load_as_the_file_or_the_flag_says(tmp_path: Path) -> None:
    file = written(tmp_path, "patience: {type: exponential, mean: 0.2}\n" + SYSTEM)
    result = run("simulate", file, "--load", "1.5", "--deadline", "0.1", *SHORT)
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert (document["status"], document["lower_bound"]) == ("feasible", None)
    assert (document["patience"], document["deadline"]) == (
        "exponential patience of mean 0.2 s",
        0.1,
    )
    for policy in document["policies"]:
        assert policy["status"] == "stable"
        assert policy["abandoned"] + policy["late"] < 1.0
        low, high = policy["goodput_ci95"]
        assert low < policy["goodput"] < high
    stays = run("simulate", file, "--patience", "none", "--load", "1.5", *SHORT)
    assert stays.exit_code == 1


def test_shares_of_jobs_that_gave_up_are_in_tables_and_pictures(tmp_path: Path) -> None:
    given = ("--patience", "exponential:mean=0.2", "--deadline", "0.1", "--horizon", "600")
    few = ("--replications", "2", "--policy", "jsq", "--policy", "random")
    one = run("simulate", written(tmp_path), *given, *few, "--out", tmp_path / "one")
    assert one.exit_code == 0, one.stderr
    said = " ".join(one.stdout.split())
    for words in (
        "abandoned,",
        "late,",
        "goodput,",
        "No bound: jobs give up, so that every load is stable",
        "Late: completed more",
    ):
        assert words in said
    assert "bound," not in said
    loads = run(
        "simulate", written(tmp_path), *given, *few, "--load", "0.5,1.5", "--out", tmp_path / "two"
    )
    assert loads.exit_code == 0, loads.stderr
    assert "abandoned, %" in loads.stdout
    assert "late, %" in loads.stdout
    assert {path.suffix for path in (tmp_path / "two").iterdir()} >= {".png", ".csv"}


def test_a_backend_may_fail_during_a_simulation(tmp_path: Path) -> None:
    system = SYSTEM.replace("rate: 0, backends: [b]", 'rate: 0, backends: ["*"]')
    fails = (
        "--failure",
        "b@20",
        "--failure",
        "b@50,lost",
        "--then",
        f"40={written(tmp_path, system)}",
    )
    result = run("simulate", tmp_path / "system.yaml", *fails, *SHORT)
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["horizon"] == 100.0
    assert "b fails at 20 s, its jobs are sent again" in document["arrivals"]
    assert any(policy["resent"] for policy in document["policies"])
    wrong = run("simulate", tmp_path / "system.yaml", "--failure", "b=20", *SHORT)
    assert wrong.exit_code == 2
    assert "give NAME@TIME" in wrong.stderr
