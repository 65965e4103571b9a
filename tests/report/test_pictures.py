"""Every picture is drawn, beside its data, and shows what it must."""

import builtins
import csv
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.container import ErrorbarContainer
from matplotlib.text import Text

from isocline.errors import MissingExtraError, UsageError
from isocline.model.fleet import RoutingSystem
from isocline.model.systemfile import load
from isocline.policies import routing, scheduling
from isocline.report.export import files
from isocline.report.plots.curve import curve_plot
from isocline.report.plots.end_labels import End, apart, label_ends
from isocline.report.plots.latency import latency_plot
from isocline.report.plots.lettering import wrapped
from isocline.report.plots.policies import policies_plot
from isocline.report.plots.style import looks, new_figure, panels_in_rows, policy_looks
from isocline.report.plots.workload import total_plot, workload_plot
from isocline.report.words import number
from isocline.simulate.common.estimate import Estimate
from isocline.simulate.routing.compare import DEFAULT_POLICIES
from isocline.simulate.routing.results import Comparison, Sweep
from isocline.theory.routing.equilibrium import plan
from tests.report import gallery

Make = Callable[..., Comparison]
EXAMPLES = Path(__file__).parents[2] / "examples"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("count", [1, 4])
def test_a_comparison_writes_three_pictures_and_their_data(
    tmp_path: Path, comparison: Make, count: int
) -> None:
    written = files.write_comparison(comparison(count=count), tmp_path)
    stems = ("policies", "total_jobs", "workloads")
    assert {p.name for p in written} == {f"{s}.{k}" for s in stems for k in ("png", "svg", "csv")}
    assert all(path.stat().st_size > 0 for path in written)
    assert rows(tmp_path / "policies.csv")[0]["mean_latency_ci95_low"]
    assert len(rows(tmp_path / "workloads.csv")) == 50 * count


def test_a_comparison_without_workloads_writes_no_picture_of_them(
    tmp_path: Path, comparison: Make
) -> None:
    full = comparison(count=1)
    bare = replace(full.policies[0], workloads_over_time=np.zeros((0, 3)))
    written = files.write_comparison(replace(full, policies=(bare,)), tmp_path)
    assert not any(path.stem == "workloads" for path in written)


def test_a_sweep_writes_one_row_per_load_and_policy(tmp_path: Path, comparison: Make) -> None:
    sweep = Sweep((comparison(0.5), comparison(0.9, unstable=("random",))))
    assert len(files.write_sweep(sweep, tmp_path)) == 3
    data = rows(tmp_path / "latency.csv")
    assert len(data) == 8
    assert data[-1]["status"] == "unstable"
    assert data[-1]["mean_latency"] == ""


def test_the_same_record_gives_the_same_files(tmp_path: Path, comparison: Make) -> None:
    for folder in ("a", "b"):
        files.write_sweep(Sweep((comparison(0.5), comparison(0.9))), tmp_path / folder)
    for name in ("latency.png", "latency.svg", "latency.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_latency_has_an_interval_at_each_load_and_a_line_ends_where_a_policy_is_unstable(
    comparison: Make,
) -> None:
    sweep = Sweep((comparison(0.5), comparison(0.7), comparison(0.9, unstable=("random",))))
    axes = latency_plot(sweep).axes[0]
    texts = {text.get_text() for text in axes.texts}
    assert texts == {"bound", "gmsr", "jsq", "power_of_d:d=2", "random (then unstable)"}
    assert len(axes.containers) == 4
    bars = [one for one in axes.containers if isinstance(one, ErrorbarContainer)]
    assert [np.size(one.lines[0].get_xdata()) for one in bars] == [3, 3, 3, 2]
    assert axes.get_yscale() == "log"  # 1.1 to 12 times the bound
    assert axes.get_ylabel() == "mean latency, ms (log scale)"


def test_small_differences_are_drawn_on_a_linear_axis(comparison: Make) -> None:
    assert latency_plot(Sweep((comparison(0.5, count=2),))).axes[0].get_yscale() == "linear"


def test_a_policy_without_steady_state_at_any_load_has_no_line(comparison: Make) -> None:
    axes = latency_plot(Sweep((comparison(unstable=("gmsr",)),))).axes[0]
    assert len(axes.containers) == 3


def test_unstable_policies_are_named_so_among_the_dots(comparison: Make) -> None:
    mean, p99 = policies_plot(comparison(unstable=("random",))).axes
    assert {t.get_text() for t in mean.texts} == {"unstable", "bound", "366.7", "666.7", "3,000"}
    assert p99.get_xlabel().startswith("99th percentile")


def test_a_comparison_of_unstable_policies_only_is_drawn(tmp_path: Path, comparison: Make) -> None:
    names = ("gmsr", "jsq")
    assert files.write_comparison(comparison(count=2, unstable=names), tmp_path)


def test_workloads_have_a_panel_per_policy_and_a_colour_per_kind(comparison: Make) -> None:
    figure = workload_plot(comparison())
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "gmsr", "jsq", "power_of_d:d=2", "random",
    ]  # fmt: skip
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["h100", "a10g"]


def test_an_unstable_policy_leaves_the_frame_and_the_others_keep_it(comparison: Make) -> None:
    stable = comparison(count=2)
    top = total_plot(replace(stable, policies=stable.policies[:1])).axes[0].get_ylim()[1]
    wild = replace(
        stable.policies[1],
        status="unstable",
        total_over_time=1e4 * stable.policies[1].total_over_time,
    )
    policies = (stable.policies[0], wild)
    assert total_plot(replace(stable, policies=policies)).axes[0].get_ylim()[1] < 2 * top


def test_curves_show_dropped_points_as_crosses() -> None:
    rate = curve_plot(load(EXAMPLES / "regions.yaml")).axes[0]
    crosses = [line for line in rate.lines if line.get_marker() == "x"]
    assert [np.size(line.get_xdata()) for line in crosses] == [2]


def test_an_infeasible_plan_has_no_picture(tmp_path: Path) -> None:
    system = load(EXAMPLES / "n_model.yaml")
    assert isinstance(system, RoutingSystem)
    beyond = plan(system.sped_up(4.0))
    assert beyond.status == "infeasible"
    assert {file.suffix for file in files.write_plan(beyond, None, tmp_path)} == {".csv"}


def test_two_dozen_series_look_different() -> None:
    assert len({tuple(look.values()) for look in looks(24)}) == 24


def test_labels_at_one_height_are_moved_apart() -> None:
    axes = new_figure(height=3).subplots()
    axes.set_ylim(0, 1)
    label_ends(axes, [End(1.0, 0.5, name, "k") for name in "abc"])
    heights = sorted(text.get_position()[1] for text in axes.texts)
    assert np.diff(heights)[0] == pytest.approx(np.diff(heights)[1])
    assert heights[1] == pytest.approx(0.5)


@given(
    heights=st.lists(st.floats(0.0, 100.0), min_size=1, max_size=9).map(sorted),
    room=st.just(100.0),
)
def test_names_keep_their_order_their_distance_and_the_height_of_the_axes(
    heights: list[float], room: float
) -> None:
    placed = apart(heights, 10.5, room)
    assert placed[0] >= -1e-9
    assert placed[-1] <= room + 1e-9
    assert all(high - low >= 10.5 - 1e-9 for low, high in pairwise(placed))


def test_a_label_that_needs_no_room_stays_where_its_line_ends() -> None:
    assert apart([3.0, 50.0, 97.0], 10.5, 100.0) == [3.0, 50.0, 97.0]


def test_more_names_than_there_is_room_for_are_spread_evenly() -> None:
    assert apart([50.0] * 5, 10.5, 20.0) == pytest.approx([0.0, 5.0, 10.0, 15.0, 20.0])


def test_no_panel_is_alone_in_the_last_row_if_it_can_be() -> None:
    alone = [n for n in range(2, 25) if n % panels_in_rows(n)[1] == 1 and panels_in_rows(n)[1] > 1]
    assert alone == [13]  # of three and of four columns


def test_text_is_wrapped_as_wide_as_its_letters_are() -> None:
    wide, narrow = wrapped("W" * 30 + " " + "W" * 30, 3.0, 8.0), wrapped("i" * 30 + " i", 3.0, 8.0)
    assert "".join(wide) == "W" * 60
    assert len(wide) > 2
    assert narrow == ["i" * 30 + " i"]


def test_names_at_the_ends_of_lines_never_overlap(comparison: Make) -> None:
    """On a linear axis, too: its limits were not settled when the names were moved apart."""
    one = comparison(0.5)
    latencies = (0.201, 0.205, 0.21, 0.9)  # s, beside a bound of 0.2
    policies = tuple(
        replace(policy, mean_latency=Estimate(mean, mean, mean))
        for policy, mean in zip(one.policies, latencies, strict=True)
    )
    figure = latency_plot(Sweep((replace(one, policies=policies),)))
    figure.draw_without_rendering()
    boxes = sorted(
        (Text.get_window_extent(text) for text in figure.axes[0].texts), key=lambda box: box.y0
    )
    assert len(boxes) == 5
    assert all(low.y1 <= high.y0 + 1 for low, high in pairwise(boxes))


def test_a_policy_looks_alike_whatever_it_is_beside() -> None:
    def drawn(*names: str) -> dict[str, dict[str, Any]]:
        found = [SimpleNamespace(policy=name) for name in names]
        return dict(zip(names, policy_looks(found), strict=True))

    few, many = drawn("jsq", "gmsr"), drawn("my.policy:f", "random", "gmsr", "power_of_d", "jsq")
    assert few["gmsr"] == many["gmsr"]
    assert few["jsq"] == many["jsq"]
    everyone = [*routing.ALL, "power_of_d:d=3", "my.policy:f"]
    assert len({tuple(look.values()) for look in drawn(*everyone).values()}) == len(everyone)
    assert len({look["color"] for look in drawn(*DEFAULT_POLICIES).values()}) == 5
    assert len({tuple(look.values()) for look in drawn(*scheduling.ALL).values()}) == len(
        scheduling.ALL
    )


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path, comparison: Make) -> None:
    taken = tmp_path / "taken"
    taken.write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        files.write_sweep(Sweep((comparison(),)), taken)


def test_without_matplotlib_the_install_line_is_given(
    tmp_path: Path, comparison: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest)

    for name in [n for n in sys.modules if n.startswith("isocline.report.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"pip install 'isocline\[plot\]'"):
        files.write_sweep(Sweep((comparison(),)), tmp_path)


def small_print(figure: Any) -> str:
    return " ".join(figure.get_supxlabel().split())


def test_pictures_of_jobs_that_give_up_show_how_many_are_served() -> None:
    """Latencies alone would put the policies into the other order."""
    one = gallery.impatient()
    for figure, axis in (
        (policies_plot(one), "x"),
        (latency_plot(Sweep((gallery.impatient(0.5), gallery.impatient(0.9)))), "y"),
    ):
        labels = [getattr(axes, f"get_{axis}label")().partition(" (log")[0] for axes in figure.axes]
        shown = labels[:4]
        assert shown[:3] == ["goodput, jobs/s", "jobs that gave up, %", "jobs served late, %"]
        assert shown[3].startswith("mean latency")
        assert figure.get_suptitle().startswith("small fleet: jobs served")
    values = [text.get_text() for text in policies_plot(one).axes[0].texts]
    assert values == [number(p.goodput.value) for p in one.policies if p.goodput]
    assert [values[0], values[-1]] == ["70.00", "280.0"]
    # The axes of one comparison share their rows: the names stand on the left of each.
    named = policies_plot(one).axes[2].get_yticklabels()
    assert [name.get_text() for name in named] == [p.policy for p in one.policies]


def test_without_patience_and_deadline_there_are_latencies_alone(comparison: Make) -> None:
    assert len(policies_plot(comparison()).axes) == 2
    assert len(latency_plot(Sweep((comparison(0.5), comparison(0.7)))).axes) == 1
    late = replace(comparison(), deadline=1.0)
    labels = [axes.get_xlabel() for axes in policies_plot(late).axes]
    assert "jobs that gave up, %" not in labels
    assert "jobs served late, %" in labels


OVER_TIME = ("total-jobs", "total-jobs-all", "workloads", "cluster-tasks", "workloads-all")


@pytest.mark.parametrize("name", gallery.PICTURES)
def test_small_print_is_of_what_the_picture_shows(name: str) -> None:
    figure = gallery.PICTURES[name]()
    said, title = small_print(figure), figure.get_suptitle()
    assert title.partition(":")[0] not in said, "the name of the system, once more"
    drawn = any(
        isinstance(one, ErrorbarContainer) for axes in figure.axes for one in axes.containers
    )
    assert ("Student-t" in said) <= drawn
    if name in OVER_TIME:
        assert said
        assert "±" not in said


def test_pictures_over_time_say_nothing_of_latencies() -> None:
    one = gallery.impatient()
    for figure in (total_plot(one), workload_plot(one)):
        assert "Latencies" not in small_print(figure)
        assert "Late:" not in small_print(figure)
    assert "Late: completed more than 1.00 s" in small_print(policies_plot(one))
