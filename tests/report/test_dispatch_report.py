"""A live run's table and picture show what ran where, and what did not."""

import csv
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from isocline.dispatch.batch.ended import Failure
from isocline.dispatch.batch.result import BatchResult
from isocline.dispatch.demand import Demand
from isocline.dispatch.engines.contract import Node
from isocline.dispatch.explain import explain
from isocline.dispatch.records import LEVELS, Outcome, Ran
from isocline.dispatch.run_statistics import RunStatistics
from isocline.dispatch.timeline import Timeline
from isocline.report.dispatch_files import write_run
from isocline.report.dispatch_table import dispatch_report, shares
from isocline.report.timeline_plot import COLOURS, timeline_plot


def result(failures: int = 1, nodes: int = 3, tasks: int = 12) -> BatchResult:
    """Every fourth task is remote; the failed ones raised at n0."""
    ran, demand = [], Demand()
    for number in range(tasks):
        level = "remote" if number % 4 == 3 else "local"
        node, start = f"n{number % nodes}", 0.1 * (number // nodes)
        holders = ["n0"] if level == "remote" and node != "n0" else [node]
        demand.finished(f"c{number}", holders, node, level, 0.1)
        end = start + 0.1
        ran.append(Ran(f"c{number}", node, level, "", 0.0, start, end, 1, Outcome.FINISHED))
    failed = []
    for number in range(failures):
        ran.append(Ran(f"bad{number}", "n0", "local", "", 0.0, 1.0, 1.1, 1, Outcome.RAISED))
        failed.append(Failure(f"bad{number}", f"bad{number}", "n0", "ValueError: no", "Trace x\n"))
    levels = Counter(entry.level for entry in ran if entry.outcome is Outcome.FINISHED)
    attempts = Counter(str(entry.outcome) for entry in ran)
    statistics = RunStatistics(
        elapsed=2.0,
        waiting=0,
        running=0,
        finished=tasks,
        resumed=0,
        failed=failures,
        cancelled=0,
        levels={level: levels[level] for level in LEVELS},
        attempts={str(outcome): attempts[str(outcome)] for outcome in Outcome},
        nodes=nodes,
        unwritten=0,
    )
    known = [Node(f"n{number}") for number in range(nodes)]
    return BatchResult(
        "words",
        "late_binding",
        statistics,
        tuple(failed),
        explain(demand, known, 2.0),
        Timeline.of(ran),
        interrupted=False,
    )


def printed(record: object) -> str:
    console = Console(width=120, markup=False, highlight=False, emoji=False)
    with console.capture() as captured:
        console.print(record)
    return captured.get()


def test_the_table_has_nodes_shares_and_failures_with_tracebacks() -> None:
    text = printed(dispatch_report(result()))
    assert "words: failed  12 tasks in 2.00 s, 6.00/s, 75 % local, 25 % remote" in text
    assert "1 failed; attempts: 1 raised" in text
    row = next(line.split() for line in text.splitlines() if line.startswith("n0"))
    assert row == ["n0", "4", "3", "–", "1", "1", "45%"]
    assert "bad0 at n0: ValueError: no\nTrace x" in text


def test_many_failures_and_many_nodes_do_not_flood_the_screen() -> None:
    text = printed(dispatch_report(result(failures=9, nodes=60, tasks=60)))
    assert "and 4 more; the results have all" in text
    assert "first 40 of 60 nodes" in text
    assert text.count("Trace x") == 5


def test_the_picture_has_a_row_for_each_node_and_marks_failures() -> None:
    axes = timeline_plot(result().timeline).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["n0", "n1", "n2"]
    bars = {str(bar.get_label()): bar for bar in axes.collections}
    assert list(bars) == ["local (9)", "remote (3)", "no result (1)"]
    assert [len(bar.get_paths()) for bar in bars.values()] == [9, 3, 1]
    colours = [bar.get_facecolor()[0][:3] for bar in bars.values()]
    wanted = [tuple(int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)) for c in COLOURS.values()]
    assert [tuple(colour) for colour in colours[:2]] == [wanted[0], wanted[2]]
    (crosses,) = axes.lines
    assert list(crosses.get_xdata()) == pytest.approx([1.1])
    assert list(crosses.get_ydata()) == [0]


def test_a_run_of_nothing_can_be_drawn() -> None:
    assert not list(timeline_plot(Timeline(())).axes[0].collections)


@pytest.mark.parametrize("tasks", [12, 5000])
def test_a_run_writes_picture_data_and_trace(tmp_path: Path, tasks: int) -> None:
    made = result(tasks=tasks)
    written = write_run(made, tmp_path)
    names = ["timeline.png", "timeline.svg", "timeline.csv", "nodes.csv", "trace.json"]
    assert [path.name for path in written] == names
    assert all(path.stat().st_size > 0 for path in written)
    assert (tmp_path / "timeline.svg").stat().st_size < 1e6  # many bars are drawn as pixels
    with (tmp_path / "timeline.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == tasks + 1


def test_the_record_knows_its_json_and_frame() -> None:
    document = result().to_dict()
    assert document["status"] == "failed"
    assert document["statistics"]["levels"] == {"local": 9, "rack": 0, "remote": 3}
    assert document["failures"][0]["error"] == "ValueError: no"
    assert document["explanation"]["tasks"] == {"local": 9, "rack": 0, "remote": 3}
    assert result().to_frame().loc["n0", "tasks"] == 4


def test_shares_of_levels_add_up() -> None:
    statistics = result().statistics
    levels = {"local": 91, "rack": 0, "remote": 109}  # 45.5 % and 54.5 %
    found = replace(statistics, finished=200, levels=levels)
    assert sum(int(share) for share in re.findall(r"(\d+) %", shares(found))) == 100
