"""Common elements of all figures: frame, and titles of panels."""

from typing import TYPE_CHECKING

from isocline.report.plots.style import footnote, heading

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def frame(figure: "Figure", title: str, conditions: str) -> None:
    """Write the title above a picture, and model, parameters and seeds below."""
    heading(figure, title[:1].upper() + title[1:])
    footnote(figure, conditions, grows=False)


def panel_title(axes: "Axes", letter: str, text: str) -> None:
    """Write a letter and a few words above a panel, at the left."""
    axes.set_title(f"{letter}   {text}", fontsize=8.5)
