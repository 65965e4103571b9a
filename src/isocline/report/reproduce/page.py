"""Page elements of all figures: the frame, and the titles of panels."""

from typing import TYPE_CHECKING

from isocline.report.plots.style import footnote, heading

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def frame(figure: "Figure", title: str, conditions: str) -> None:
    """The title above a picture; model, parameters and seeds below."""
    heading(figure, title[:1].upper() + title[1:])
    footnote(figure, conditions, grows=False)


def panel_title(axes: "Axes", letter: str, text: str) -> None:
    """A letter and a few words at the left above a panel."""
    axes.set_title(f"{letter}   {text}", fontsize=8.5)
