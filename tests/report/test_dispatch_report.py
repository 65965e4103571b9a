"""A live run's table and picture show what ran where, and what did not."""

import csv
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from isocline.dispatch.telemetry.records import AttemptRecord, Outcome
from isocline.dispatch.telemetry.timeline import Timeline
from isocline.report.export.files import write_run
from isocline.report.plots.cluster import level_colors
from isocline.report.plots.timeline import timeline_plot
from isocline.report.tables.dispatch import dispatch_report, shares
from tests.report.dispatch_results import result


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
    colours = [np.asarray(bar.get_facecolor())[0, :3] for bar in bars.values()]
    wanted = [
        tuple(int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)) for c in level_colors().values()
    ]
    assert [tuple(colour) for colour in colours[:2]] == [wanted[0], wanted[2]]
    (crosses,) = axes.lines
    assert np.asarray(crosses.get_xdata()).tolist() == pytest.approx([1.1])
    assert np.asarray(crosses.get_ydata()).tolist() == [0]


def test_a_run_of_nothing_can_be_drawn() -> None:
    assert not list(timeline_plot(Timeline(())).axes[0].collections)


@pytest.mark.parametrize("tasks", [12, 5000])
def test_a_run_writes_picture_data_and_trace(tmp_path: Path, tasks: int) -> None:
    made = result(tasks=tasks)
    written = write_run(made, tmp_path)
    names = ["timeline.png", "timeline.svg", "timeline.csv", "nodes.csv", "trace.json", "run.json"]
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


def bars_of(ran: list[AttemptRecord]) -> np.ndarray:
    """(n, 2) left and right ends of the bars, in units of the axis, in the order of drawing."""
    axes = timeline_plot(Timeline.of(ran)).axes[0]
    return np.array(
        [
            (ends.min(), ends.max())
            for bars in axes.collections
            for ends in (np.asarray(path.vertices)[:, 0] for path in bars.get_paths())
        ]
    )


def attempt(start: float, length: float, node: str = "n0") -> AttemptRecord:
    return AttemptRecord("t", node, "local", "", 0.0, start, start + length, 1, Outcome.FINISHED)


def test_a_timeline_begins_at_the_first_start_and_says_when_that_was() -> None:
    figure = timeline_plot(Timeline.of([attempt(60.0, 5.0), attempt(70.0, 5.0)]))
    assert bars_of([attempt(60.0, 5.0), attempt(70.0, 5.0)]) == pytest.approx(
        np.array([[0.0, 5.0], [10.0, 15.0]])
    )
    assert figure.axes[0].get_xlim() == pytest.approx((0.0, 15.0))
    assert figure.axes[0].get_xlabel() == "time since the first start, s"
    assert "first start is 60.0 s after" in figure.get_supxlabel()


def test_an_attempt_of_a_moment_is_seen() -> None:
    figure = timeline_plot(Timeline.of([attempt(0.0, 100.0, "n1"), attempt(50.0, 1e-4)]))
    ((left, right),) = bars_of([attempt(0.0, 100.0, "n1"), attempt(50.0, 1e-4)])[:1]
    assert left == pytest.approx(50.0)
    assert right - left > 100.0 / 650  # a pixel of a picture of 650
    assert "at least" in figure.get_supxlabel()


def test_short_attempts_that_touch_are_one_bar_and_long_ones_stay_two() -> None:
    short = [attempt(0.01 * i, 0.009) for i in range(1000)]
    assert len(bars_of([*short, attempt(50.0, 10.0)])) == 2
    assert len(bars_of([attempt(0.0, 5.0), attempt(5.0, 5.0)])) == 2


def test_the_last_short_attempt_stays_within_the_frame() -> None:
    bars = bars_of([attempt(0.0, 1.0), attempt(99.9999, 1e-4)])
    assert bars.max() <= 100.0 + 1e-9
