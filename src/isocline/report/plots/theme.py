"""Colours of pictures, light and dark.

A picture is dark if matplotlib's active style is: `plt.style.use("dark_background")` in a notebook,
`matplotlib.style.context("dark_background")` in a program, `--dark` at the command line. All
colours are taken from `theme()`, so that none is unsuited to the background.
"""

from dataclasses import dataclass
from typing import Any, final

try:
    import matplotlib as mpl
except ImportError as _error:
    from isocline.errors import MissingExtraError

    raise MissingExtraError("pictures need: pip install 'isocline[plot]'") from _error

from matplotlib.colors import to_rgba


@final
@dataclass(frozen=True)
class Theme:
    """Colours by purpose; contrasts are against `paper`, by WCAG."""

    paper: str
    ink: str  # text, axes, bounds: at least 12 to 1
    note: str  # small print: at least 6.5 to 1; WCAG requires 4.5 for text
    faint: str  # less important lines
    grid: str
    shade: str  # areas behind lines, such as a warm-up or a phase
    spent: str  # bars of attempts without a result
    palette: tuple[str, ...]  # series: at least 3 to 1, as WCAG requires for graphics
    scales: tuple[str, ...]  # a system at growing scales, palest first


# Okabe and Ito's colours, which colour-blind readers can distinguish, by descending contrast,
# without yellow, which is too faint on white, and black, which is the bound's. Orange and sky blue
# are darker than the originals, whose contrast to white is 2.3 to 1.
LIGHT = Theme(
    paper="#ffffff",
    ink="#222222",
    note="#5a5a5a",
    faint="#8a8a8a",
    grid="#e4e4e4",
    shade="#f2f2f2",
    spent="#cfcfcf",
    palette=("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#BF8300", "#3D9BD6"),
    scales=("#b9d7ea", "#56a9d6", "#0072B2", "#D55E00"),
)
# The same hues, but lighter.
DARK = Theme(
    paper="#16181d",
    ink="#ececec",
    note="#b4b8c0",
    faint="#7f858f",
    grid="#2c3037",
    shade="#22252c",
    spent="#565b65",
    palette=("#3E9FE0", "#F0803C", "#2FC79A", "#E79AC4", "#F0B429", "#9AD4F5"),
    scales=("#2f5573", "#3b7fae", "#6fc0f5", "#F0803C"),
)


def theme() -> Theme:
    """Colours for matplotlib's active style."""
    return DARK if _dark(mpl.rcParams["figure.facecolor"]) else LIGHT


def on(area: str) -> str:
    """Black or white, whichever is legible on an area of this colour: at least 4.5 to 1."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgba(area)]
    luminance = _luma(linear[:3])
    # At the geometric mean of their luminances, both have a contrast of 4.58.
    return "#000000" if (luminance + 0.05) ** 2 > 0.05 * 1.05 else "#ffffff"


def _dark(paper: Any) -> bool:
    *color, alpha = to_rgba(paper)
    if alpha < 0.5:  # transparent, as in some notebooks: light text suggests a dark background
        return _luma(to_rgba(mpl.rcParams["text.color"])[:3]) > 0.5
    return _luma(color) < 0.5


def _luma(rgb: Any) -> float:
    red, green, blue = rgb
    return float(0.2126 * red + 0.7152 * green + 0.0722 * blue)
