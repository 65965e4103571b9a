"""Awkward input makes pictures that can be read all the same."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from matplotlib.text import Text

from isocline.report.export.files import write_picture
from isocline.report.plots.curve import curve_plot, plan_picture
from isocline.report.plots.latency import latency_plot
from isocline.report.plots.policies import policies_plot
from isocline.report.plots.workload import workload_plot
from isocline.simulate.routing.results import Sweep
from isocline.theory.routing.equilibrium import plan
from tests.report.awkward import BACKENDS, DOLLARS, LONG, PICTURES, comparison, fleet, learned
from tests.report.gallery import system
from tests.report.layout import check

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def small_print(figure: "Figure") -> str:
    return " ".join(figure.get_supxlabel().split())


@pytest.mark.parametrize("name", PICTURES)
def test_an_awkward_picture_can_be_read(name: str) -> None:
    figure = PICTURES[name]()
    check(figure)  # which lays it out
    assert small_print(figure)
    # Axes are the picture: what is written about them takes no more than half of it.
    height = sum(axes.bbox.height for axes in figure.axes)
    assert height > 0.25 * figure.bbox.height


@pytest.mark.parametrize("bound", [True, False])
@pytest.mark.parametrize("spread", [1e-6, 0.01, 0.4])
def test_values_of_policies_lie_beside_the_axes(spread: float, *, bound: bool) -> None:
    """Where no dot, interval, bound or name can be."""
    figure = policies_plot(comparison(["gmsr", "jsq"], bound=bound, spread=spread))
    figure.draw_without_rendering()
    for axes in figure.axes:
        values = [text for text in axes.texts if text.get_text() != "bound"]
        assert len(values) == 2
        assert all(Text.get_window_extent(text).x0 > axes.bbox.x1 for text in values)


def test_addresses_over_learned_curves_are_whole() -> None:
    names = [f"192.168.100.{i}:8000" for i in range(3)]
    titles = [axes.get_title("left") for axes in learned(names).axes]
    assert [title.partition(":\n")[0] for title in titles] == names


def test_an_axis_is_not_magnified_until_equal_values_differ() -> None:
    one = comparison(["gmsr", "jsq"], bound=False, spread=1e-7)
    first, second = one.policies
    close = replace(second, mean_latency=first.mean_latency)
    axes = policies_plot(replace(one, policies=(first, close))).axes[0]
    low, high = axes.get_xlim()
    assert high - low > 0.01 * high


def test_names_are_drawn_as_they_are_written() -> None:
    """Dollars begin no formula."""
    figure = policies_plot(comparison(DOLLARS))
    figure.draw_without_rendering()
    labels = figure.axes[0].get_yticklabels()
    assert [label.get_text() for label in labels] == DOLLARS
    assert not any(label.get_parse_math() for label in labels)


def test_policies_without_a_line_are_named_below() -> None:
    assert "gmsr, jsq" in small_print(PICTURES["latency, none stable"]())
    assert "No line" not in small_print(latency_plot(Sweep((comparison(["gmsr"]),))))
    axes = PICTURES["latency, none stable"]().axes[0]
    assert [text.get_text() for text in axes.texts] == ["no policy is stable at any of these loads"]


def test_kinds_beyond_the_palette_are_one_entry_of_the_key() -> None:
    figure = workload_plot(comparison(["gmsr"], backends=BACKENDS))
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(labels) == 7
    assert labels[-1] == "34 others"


def test_a_plan_says_what_it_is_of_and_how_exact() -> None:
    found = plan(system("mixed_fleet"))
    assert found.certificate is not None
    said = small_print(plan_picture(found))
    for words in (
        "10 backends, 3 frontends", f"Load {1 / found.capacity_scale:.3f}",
        f"conservation residual {found.certificate.conservation:.1e}",
        f"slope gap {found.certificate.slope_gap:.1e}",
    ):  # fmt: skip
        assert words in said


def test_curves_that_are_not_drawn_are_counted() -> None:
    assert "the first 12 of 40 different curves" in small_print(curve_plot(fleet(BACKENDS)))
    assert "the first" not in small_print(curve_plot(fleet(["a", "b"])))


def test_letters_that_no_font_has_are_told_of_once(tmp_path: Path) -> None:
    """A character for private use, which no font of others has."""
    figure = policies_plot(comparison(["\U000f1234", "gmsr"]))
    with pytest.warns(UserWarning, match="no installed font has \U000f1234") as heard:
        write_picture(figure, tmp_path, "policies")
    assert len(heard) == 1
    assert "\U000f1234" in (tmp_path / "policies.svg").read_text(encoding="utf-8")


def test_long_names_stay_different() -> None:
    labels = [t.get_text() for t in policies_plot(comparison(LONG)).axes[0].get_yticklabels()]
    assert len(set(labels)) == len(LONG)
    assert all("…" in label for label in labels)
