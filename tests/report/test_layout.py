"""Every picture can be read: on light paper and on dark, in print and on a slide."""

import base64
import io
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import pytest
from click.testing import CliRunner
from matplotlib.colors import to_hex, to_rgb
from matplotlib.image import imread
from matplotlib.text import Annotation

from isocline.cli import main
from isocline.policies import routing, scheduling
from isocline.report.export.files import write_picture
from isocline.report.plots.style import new_figure
from isocline.report.plots.theme import DARK, LIGHT, Theme, on, theme
from tests.report.gallery import PICTURES, path
from tests.report.layout import LOOKS, check, contrast, paper

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POLICIES = {*routing.ALL, *scheduling.ALL}


Drawn = Callable[[str, str], "Figure"]


@pytest.fixture(scope="module")
def drawn() -> Drawn:
    """Each picture by its name and look, made once."""

    @cache
    def of(name: str, look: str) -> "Figure":
        with paper(look):
            return PICTURES[name]()

    return of


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_can_be_read(name: str, look: str, drawn: Drawn) -> None:
    figure = drawn(name, look)
    with paper(look):
        check(figure)


def named_colors(figure: "Figure") -> Iterator[tuple[str, str]]:
    """Policies with their colours: at the ends of lines, in rows of dots and in legends."""
    for axes in figure.axes:
        for text in axes.texts:
            if isinstance(text, Annotation) and text.arrow_patch is not None:
                name = re.sub(r" \(.*", "", text.get_text())
                yield name, to_hex(text.arrow_patch.get_edgecolor())
        rows = dict(zip(axes.get_yticks(), axes.get_yticklabels(), strict=False))
        for bars in axes.containers:
            line = getattr(bars, "lines", [None])[0]
            if line is not None and len(line.get_ydata()) == 1:
                label = rows.get(line.get_ydata()[0])
                yield label.get_text() if label else "", to_hex(line.get_color())
    for legend in figure.legends:
        for text, handle in zip(legend.get_texts(), legend.legend_handles, strict=True):
            if handle is not None and hasattr(handle, "get_color"):
                yield text.get_text(), to_hex(handle.get_color())


def test_a_policy_has_one_colour_in_all_pictures(drawn: Drawn) -> None:
    found: dict[str, set[str]] = defaultdict(set)
    for name in PICTURES:
        for policy, color in named_colors(drawn(name, "light")):
            if policy in POLICIES:
                found[policy].add(color)
    assert found.keys() >= {"gmsr", "jsq", "local_first", "jsq_maxweight", "least_expected_latency"}
    assert {policy: colors for policy, colors in found.items() if len(colors) > 1} == {}


@pytest.mark.parametrize("look", LOOKS)
def test_a_file_has_the_width_of_a_page_and_the_paper_of_the_style(
    tmp_path: Path, look: str
) -> None:
    with paper(look):
        png, _ = write_picture(PICTURES["policies"](), tmp_path, look)
    pixels = imread(png)
    assert pixels.shape[1] == round(6.5 * 200)
    assert (pixels[0, 0, :3].mean() < 0.2) == (look == "dark")


def test_dark_pictures_are_asked_for_at_the_command_line(tmp_path: Path) -> None:
    file = Path(__file__).parents[2] / "examples" / "n_model.yaml"
    for folder, options in (("light", []), ("dark", ["--dark"])):
        arguments = ["curves", str(file), "--out", str(tmp_path / folder), *options]
        result = CliRunner().invoke(main, arguments, prog_name="isocline")
        assert result.exit_code == 0, result.output
    light, dark = (imread(tmp_path / folder / "curves.png")[0, 0, :3] for folder in LOOKS)
    assert light.min() == 1.0
    assert dark.max() < 0.2
    # What was asked for one run holds for no other.
    assert to_hex(PICTURES["curves"]().get_facecolor()) == "#ffffff"


@pytest.mark.parametrize("look", LOOKS)
def test_a_record_in_a_notebook_has_the_paper_of_the_style(look: str) -> None:
    with paper(look):
        shown = path("n_model", b1=5.0)._repr_html_()
    png = base64.b64decode(re.findall(r"base64,([^\"]*)", shown)[0])
    corner = imread(io.BytesIO(png))[0, 0, :3]
    with paper(look):
        wanted = to_rgb(theme().paper)
    assert corner == pytest.approx(wanted, abs=1 / 255)


@pytest.mark.parametrize("colors", [LIGHT, DARK])
def test_colours_are_told_from_the_paper_and_text_from_areas(colors: Theme) -> None:
    assert min(contrast(color, colors.paper) for color in (colors.ink, colors.note)) >= 4.5
    assert min(contrast(color, colors.shade) for color in (colors.ink, colors.note)) >= 4.5
    assert min(contrast(color, colors.paper) for color in (*colors.palette, colors.faint)) >= 3.0
    assert min(contrast(on(color), color) for color in colors.palette) >= 4.5
    assert len({*LIGHT.palette}) == len({*DARK.palette}) == 6


@pytest.mark.parametrize(("ink", "dark"), [("white", True), ("black", False)])
def test_on_transparent_paper_the_colour_of_the_text_tells_which_it_is(
    ink: str, *, dark: bool
) -> None:
    with matplotlib.rc_context({"figure.facecolor": "none", "text.color": ink}):
        assert (theme() is DARK) == dark


def test_what_cannot_be_read_is_found() -> None:
    def drawn_with(*texts: tuple[float, str, dict[str, Any]]) -> "Figure":
        figure = new_figure(height=3)
        figure.suptitle("title")
        figure.subplots().set_axis_off()
        for x, text, options in texts:
            figure.text(x, 0.5, text, **options)
        return figure

    check(drawn_with((0.2, "one", {}), (0.7, "other", {})))
    for texts, says in (
        ([(0.2, "tiny", {"fontsize": 7})], "smaller than 8 pt"),
        ([(0.99, "a long text", {})], "outside"),
        ([(0.2, "one", {}), (0.21, "other", {})], "one on the other"),
        ([(0.2, "pale", {"color": "#999999"})], "contrast"),
    ):
        with pytest.raises(AssertionError, match=says):
            check(drawn_with(*texts))
