"""Page elements of all figures: panel titles and small print."""

import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SMALL = 7.0  # pt: the least that is read with ease in print
_CHARACTERS = 132  # of 7 pt sans-serif that fit into 6.5 inches
GREY = "#555555"


def small_print(figure: "Figure", text: str) -> None:
    """Model, parameters and seeds below a picture."""
    lines = textwrap.fill(text, _CHARACTERS)
    figure.supxlabel(lines, fontsize=SMALL, color=GREY, x=0.01, ha="left", linespacing=1.3)


def panel_title(axes: "Axes", letter: str, text: str) -> None:
    """A letter and a few words at the left above a panel."""
    axes.set_title(f"{letter}   {text}", fontsize=8.5)
