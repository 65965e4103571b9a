"""One look for all pictures: for print, for colour-blind readers, without ornament.

Figures are made without pyplot, so drawing touches no global state and needs no display.
"""

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, Protocol

from isocline.errors import MissingExtraError

try:
    import matplotlib as mpl
except ImportError as _error:
    raise MissingExtraError("pictures need: pip install 'isocline[plot]'") from _error

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator, SymmetricalLogLocator

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 6.5  # inches: the text width of a page, so that 9 pt stays 9 pt in print
INK = "#222222"
FAINT = "#9a9a9a"  # of lines
NOTE = "#5a5a5a"  # of small print: 6.9 to 1 against white, where 4.5 is what WCAG asks for
# Okabe and Ito's colours in an order of falling contrast, without their yellow, which is lost on
# white, and their black, which is the bound's.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKERS = ("o", "s", "^", "D")
_LINES = ("-", "--", ":", "-.")

LOG_FROM = 6.0  # ratio of two values from which a linear axis hides the smaller one

_RC: Any = {
    "font.size": 9,
    "font.family": "sans-serif",
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.labelsize": 9,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "text.color": INK,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.dpi": 100,
    "savefig.dpi": 200,
    "svg.fonttype": "none",  # text stays text: searchable, and set in the reader's font
    "svg.hashsalt": "isocline",  # the same picture gives the same file
}


@contextmanager
def house() -> Iterator[None]:
    """Draw inside this in the house style; also a decorator."""
    with mpl.rc_context(_RC):
        yield


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure whose parts never overlap; sizes in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def footnote(figure: "Figure", text: str) -> None:
    """Small print below a picture."""
    # 8 pt wide letters are 0.06 in on average.
    words = textwrap.fill(text, int(float(figure.get_figwidth()) / 0.06))
    figure.supxlabel(words, fontsize=8, color=NOTE, x=0.01, ha="left")


def heading(figure: "Figure", text: str) -> None:
    """What a picture is of, above it: pictures travel without their page."""
    figure.suptitle(textwrap.shorten(text, 90, placeholder=" ..."), x=0.01, ha="left", fontsize=10,
                    fontweight="bold")  # fmt: skip


def looks(count: int) -> list[dict[str, Any]]:
    """Colour, marker and line style of `count` series, all different up to 24."""
    rounds = [(i % len(PALETTE), i // len(PALETTE) % len(_MARKERS)) for i in range(count)]
    return [{"color": PALETTE[c], "marker": _MARKERS[r], "linestyle": _LINES[r]} for c, r in rounds]


# Those that are compared most get the first six colours; the others share them, in another line
# style and marker. Routing and scheduling policies never stand in one picture.
_ROUTING = (
    "gmsr", "jsq", "least_expected_latency", "random", "weighted_least_connections", "power_of_d",
    "gmsr_ahead", "jfsq", "peak_ewma", "round_robin", "weighted_round_robin", "jiq",
    "gmsr_hold", "static_optimal",
)  # fmt: skip
_SCHEDULING = (
    "local_first", "jsq_maxweight", "late_binding", "fifo", "balanced_pandas", "delay_scheduling",
    "jsq_local_only", "random_local",
)  # fmt: skip


class Named(Protocol):
    """What has the name of a policy."""

    @property
    def policy(self) -> str: ...


def policy_looks(policies: Sequence[Named]) -> list[dict[str, Any]]:
    """As `looks`; a policy has the same in every picture, whatever it is beside.

    One of your own, or the same one with other options, takes the next that is free.
    """
    all_looks = looks(len(PALETTE) * len(_MARKERS))
    taken: dict[int, int] = {}  # the policy, by its number, that has a look
    for at, found in enumerate(policies):
        known = found.policy.partition(":")[0].partition(" ")[0]
        for order in (_ROUTING, _SCHEDULING):
            if known in order:
                taken.setdefault(order.index(known), at)
    free = iter(i for i in range(len(all_looks)) if i not in taken)
    own = {at: look for look, at in taken.items()}
    return [
        all_looks[own[at] if at in own else next(free, at % len(all_looks))]
        for at in range(len(policies))
    ]


def log_axis(axes: "Axes", which: Literal["x", "y"]) -> None:
    """Logarithmic, with 1, 2, 5, 10 written as such; wide ranges show the powers of ten alone."""
    axes.set_xscale("log") if which == "x" else axes.set_yscale("log")
    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 300 * low else (1.0,)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(_plainly))


def log_above(axes: "Axes", threshold: float) -> None:
    """A vertical axis that is linear up to `threshold`, as for counts that can be 0."""
    axes.set_yscale("symlog", linthresh=threshold)
    axes.yaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=threshold, subs=[1, 3]))
    axes.yaxis.set_major_formatter(FuncFormatter(_plainly))


def _plainly(value: float, _position: object) -> str:
    return f"{value:,.10g}"


def label_ends(axes: "Axes", ends: Sequence[tuple[float, float, str, object]]) -> None:
    """Write names beside the right ends (x, y, name, colour) of lines, moved apart vertically.

    Call it last: it needs the final limits and layout.
    """
    # Settles limits and layout: a figure without a display has a canvas whose draw() does nothing.
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()
    to_points = axes.transData.transform
    dots = axes.figure.get_dpi() / 72.0
    placed = [(float(to_points((x, y))[1]) / dots, x, y, name, c) for x, y, name, c in ends]
    placed.sort(key=lambda entry: entry[0])
    heights = _apart([entry[0] for entry in placed], gap=10.5)
    right = max((x for x, *_ in ends), default=0.0)
    for (height, x, y, name, color), wanted in zip(placed, heights, strict=True):
        axes.annotate(
            name, (x, y), xytext=(_gap_to(axes, x, right) + 14, wanted - height),
            textcoords="offset points", va="center", color=color, fontsize=8,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": color, "lw": 0.5, "shrinkA": 0, "shrinkB": 3,
                        "relpos": (0, 0.5)},
        )  # fmt: skip


def _gap_to(axes: "Axes", x: float, right: float) -> float:
    """Points between two abscissae."""
    transform = axes.transData.transform
    span = float(transform((right, axes.get_ylim()[1]))[0] - transform((x, axes.get_ylim()[1]))[0])
    return span * 72.0 / axes.figure.get_dpi()


def _apart(heights: list[float], gap: float) -> list[float]:
    """Sorted heights moved as little as makes neighbours at least `gap` apart.

    Clusters that touch are merged and centred on the mean of what their members want.
    """
    clusters: list[tuple[float, int]] = []  # (centre, members)
    for height in heights:
        centre, members = height, 1
        while clusters and centre - clusters[-1][0] < gap * (members + clusters[-1][1]) / 2:
            other, more = clusters.pop()
            centre = (centre * members + other * more) / (members + more)
            members += more
        clusters.append((centre, members))
    return [c + gap * (i - (members - 1) / 2) for c, members in clusters for i in range(members)]
