"""Tables, pictures and data of clusters show what they must."""

import csv
import json
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console, RenderableType

from isocline.report.export.files import write_cluster, write_sweep
from isocline.report.plots.cluster import cluster_plot, load_plot, tasks_plot
from isocline.report.tables.cluster import cluster_report, cluster_sweep_report
from isocline.simulate.scheduling.results import ClusterSweep
from tests.report.cluster_results import READING, SERVERS, make


def printed(report: RenderableType) -> str:
    out = StringIO()
    Console(file=out, width=160).print(report)
    return " ".join(out.getvalue().split())


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_table_shows_each_policy_where_its_tasks_ran_and_how_it_was_read() -> None:
    text = printed(cluster_report(make()))
    assert text.count("local_first") >= 3  # both tables, and the reading
    assert "rack, %" in text
    assert text.count(READING) == 1  # of all policies that say the same
    assert "Continuous clock" in text
    assert "where its data is (level data; the paper's R_m: level queue)" in text


def test_without_racks_there_is_no_column_for_them() -> None:
    plain = make()
    bare = [replace(p, rack_share=replace(p.rack_share, value=0.0)) for p in plain.policies]  # type: ignore[type-var]
    assert "rack, %" not in printed(cluster_report(replace(plain, policies=tuple(bare))))


def test_slots_are_not_seconds() -> None:
    text = printed(cluster_report(make(clock="slotted", level="queue")))
    assert "completion, slots" in text
    assert "300 slots" in text
    assert "in whose queue it waited, the paper's R_m (level queue)" in text


def test_jobs_of_a_trace_have_a_table_of_their_own() -> None:
    assert "last task" not in printed(cluster_report(make()))
    text = printed(cluster_report(make(jobs=True)))
    assert "until the last task has ended" in text
    assert "1,399" in text


def test_an_unstable_policy_is_said_to_be_and_where() -> None:
    text = printed(cluster_report(make(unstable=("random_local",))))
    assert "random_local is unstable: tasks at a1, a2 grow without end" in text
    everywhere = make(unstable=("random_local",))
    last = replace(everywhere.policies[-1], overloaded=SERVERS)
    text = printed(cluster_report(replace(everywhere, policies=(last,))))
    assert "at all servers" in text


def test_a_load_that_nobody_can_serve_is_said_once_and_no_table_of_places_follows() -> None:
    none = make(1.1, unstable=tuple(p.policy for p in make().policies))
    text = printed(cluster_report(none))
    assert text.count("No policy is stable") == 1
    assert "where they ran" not in text


def test_a_sweep_has_a_column_per_load_and_says_all_bounds() -> None:
    sweep = ClusterSweep((make(0.5), make(0.9, bound_in_words="M/M/n", unstable=("random_local",))))
    text = printed(cluster_sweep_report(sweep))
    assert "0.500" in text
    assert "At load 0.900: random_local is unstable" in text
    assert "where the data is; or M/M/n" in text


@pytest.mark.parametrize("jobs", [False, True])
def test_a_comparison_writes_pictures_and_their_data(tmp_path: Path, jobs: bool) -> None:
    written = write_cluster(make(unstable=("random_local",), jobs=jobs), tmp_path)
    stems = ("policies", "tasks")
    assert {p.name for p in written} == {f"{s}.{k}" for s in stems for k in ("png", "svg", "csv")}
    assert all(path.stat().st_size > 0 for path in written)
    data = rows(tmp_path / "policies.csv")
    assert data[0]["mean_latency_ci95_low"]
    assert data[-1]["mean_latency"] == ""
    assert ("job_latency_p99" in data[0]) == jobs
    assert len(rows(tmp_path / "tasks.csv")) == 50


def test_a_sweep_writes_one_row_per_load_and_policy(tmp_path: Path) -> None:
    write_sweep(ClusterSweep((make(0.5), make(0.8), make(0.9))), tmp_path)
    assert len(rows(tmp_path / "latency.csv")) == 12


def test_a_policy_without_a_mean_at_any_load_has_no_line_and_one_that_stops_says_so() -> None:
    def texts(*comparisons: object) -> str:
        figure = load_plot(ClusterSweep(comparisons))  # type: ignore[arg-type]
        return " ".join(text.get_text() for text in figure.axes[0].texts)

    stops = texts(make(0.5), make(0.9, unstable=("random_local",)))
    assert "random_local (then unstable)" in stops
    never = texts(make(0.5, unstable=("random_local",)), make(0.9, unstable=("random_local",)))
    assert "random_local" not in never


def test_pictures_name_policies_places_and_conditions() -> None:
    left, _ = (figure := cluster_plot(make())).axes
    assert [label.get_text() for label in left.get_yticklabels()][:2] == [
        "local_first",
        "jsq_maxweight",
    ]
    words = {text.get_text() for text in figure.legends[0].get_texts()}
    assert words == {"mean", "99th percentile", "local", "rack", "remote"}
    assert "Student-t" in figure.get_supxlabel()
    assert tasks_plot(make()).axes[0].get_ylim()[0] == 0.0


def test_the_json_is_finite_and_has_what_both_kinds_of_system_promise() -> None:
    bare = make(jobs=True)
    unknown = replace(bare.policies[0], littles_law=float("nan"), idle_by_server=np.empty(0))
    document = json.loads(replace(bare, policies=(unknown, bare.policies[1])).to_json())
    assert document["kind"] == "near-data"
    promised = {
        *("policy", "mean_jobs", "mean_jobs_ci95", "mean_latency", "mean_latency_ci95"),
        *("p50", "p95", "p99", "completed", "ratio_to_bound", "events", "events_per_second"),
    }
    assert promised <= document["policies"][0].keys()
    assert document["policies"][0]["littles_law"] is None
    assert document["policies"][1]["job_latency"]["completed"] == 1399


def test_frames_have_a_row_per_policy() -> None:
    assert len(make().to_frame()) == 4
    assert len(ClusterSweep((make(0.5), make(0.9))).to_frame()) == 8
