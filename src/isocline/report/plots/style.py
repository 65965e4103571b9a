"""Common style of all pictures: for print and slides, for colour-blind readers, without ornament.

Figures are made without pyplot and without a display. Colours are those of `theme.theme()` when a
figure is drawn.

Whether an axis is logarithmic is decided by one rule, `value_axis`: it is if the largest value
shown exceeds `LOG_FROM` times the smallest, since a linear axis would crowd the small values. Axes
on which a law becomes a straight line (power laws, exponential decay, curves over decades of
workload) are always logarithmic: `log_axis`. The label of a logarithmic axis says so.
"""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, final

from isocline.report.plots.lettering import (
    SMALL,
    Weight,
    families,
    ignore_gaps,
    short_names,
    width,
    wrapped,
)
from isocline.report.plots.theme import Theme, theme
from isocline.report.plots.ticks import LogTicks, Numbers

# After theme, which reports what to install if matplotlib is missing.
import matplotlib as mpl  # isort: skip
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

WIDTH = 6.5  # inches: the text width of a page, so that 9 pt stays 9 pt in print
PANEL = 5.0  # inches shared by panels beside each other, including gaps
BOUND: Any = {"lw": 1.2, "ls": (0, (4, 2))}  # line of a bound or an optimum, in the text colour
_MARKERS = ("o", "s", "^", "D", "v", "P")
_LINES: tuple[Any, ...] = ("-", "--", ":", "-.", (0, (7, 2)), (0, (4, 1, 1, 1, 1, 1)))

LOG_FROM = 3.0  # ratio of two values from which on a linear axis crowds the smaller ones
_NARROW = 5.0  # inches, least width for panels beside each other
_MARGIN = 0.01  # share of the width, on both sides of text above and below a picture
_MOST_LINES = 2  # lines of a heading
_USUAL_LINES = 3  # lines of small print for which a picture's height has room
_MOST_COLUMNS = 4  # columns of panels
_NAME = 2.0  # inches: the longest name beside rows or lines
_LONGEST_LABEL = 2.6  # inches, of a legend
_LINE = 0.14  # inches from one line of small print to the next
_LEAST_SPAN = 0.02  # relative span of values on an axis; finer differences are not shown


def _rc(colors: Theme) -> Any:
    ink = colors.ink
    return {
        "font.size": 9,
        "font.family": families(),
        # Names are plain text: "$" and "_" have no special meaning.
        "text.parse_math": False,
        "text.usetex": False,
        "axes.formatter.useoffset": False,  # numbers are written in full
        "figure.facecolor": colors.paper,
        "figure.edgecolor": colors.paper,
        "savefig.facecolor": "auto",  # the figure's own, whatever the active style has
        "savefig.edgecolor": "auto",
        "axes.facecolor": "none",  # the figure's
        "axes.titlesize": 9,
        "axes.titlelocation": "left",
        "axes.titleweight": "bold",
        "axes.labelsize": 9,
        "axes.edgecolor": ink,
        "axes.labelcolor": ink,
        "axes.linewidth": 0.8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": colors.grid,
        "grid.linewidth": 0.6,
        "grid.linestyle": "-",
        "hatch.color": ink,
        "patch.edgecolor": ink,
        "xtick.color": ink,
        "ytick.color": ink,
        "xtick.labelsize": SMALL,
        "ytick.labelsize": SMALL,
        "text.color": ink,
        "lines.linewidth": 1.6,
        "lines.markersize": 4.5,
        "legend.frameon": False,
        "legend.fontsize": SMALL,
        "figure.dpi": 100,
        "savefig.dpi": 200,
        "svg.fonttype": "none",  # text stays text: searchable, and set in the reader's font
        "svg.hashsalt": "isocline",  # the same picture gives the same file
    }


@contextmanager
def house() -> Iterator[None]:
    """Context, or decorator, for drawing in the common style."""
    with mpl.rc_context(_rc(theme())), warnings.catch_warnings():
        ignore_gaps()
        yield


@final
@dataclass
class Place:
    """Place for a picture on a page, with the texts that the page sets itself.

    Attributes:
        width: Width of the picture, inches.
        heading: Title of the picture drawn for it.
        small: Small print of the picture.
    """

    width: float
    heading: str = ""
    small: str = ""


_PLACE: ContextVar[Place | None] = ContextVar("place", default=None)


@contextmanager
def placed(width: float) -> Iterator[Place]:
    """Context for drawing a picture of this width, inches, without heading and small print.

    Both are collected as text, because the page sets them itself, also for screen readers.
    """
    place = Place(width)
    token = _PLACE.set(place)
    try:
        yield place
    finally:
        _PLACE.reset(token)


def is_narrow() -> bool:
    """Whether the picture is for a phone, where panels are in a column."""
    place = _PLACE.get()
    return place is not None and place.width < _NARROW


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """Make an empty figure whose parts never overlap; sizes are in inches."""
    place = _PLACE.get()
    wide = width if place is None else place.width
    return Figure(figsize=(wide, height), layout="constrained")


def footnote(figure: "Figure", text: str, *, grows: bool = True) -> None:
    """Write small print below a picture, which grows if the text is long.

    With `grows=False` it does not, as the picture's height was chosen for its small print.
    """
    if (place := _PLACE.get()) is not None:
        place.small = text
        return
    lines = wrapped(text, _room(figure), SMALL)
    figure.supxlabel("\n".join(lines), fontsize=SMALL, color=theme().note, x=_MARGIN, ha="left")
    if grows:
        grow(figure, max(len(lines) - _USUAL_LINES, 0) * _LINE)


def heading(figure: "Figure", text: str) -> None:
    """Write a title above a picture, as pictures are used without their page, too."""
    if (place := _PLACE.get()) is not None:
        place.heading = text
        return
    size = 10.0
    weight: Weight = "bold"
    lines = wrapped(text, _room(figure), size, weight)
    if len(lines) > _MOST_LINES:
        dots = " ..."
        rest, room = lines[_MOST_LINES - 1].rstrip(" ,;:"), _room(figure)
        while width(rest + dots, size, weight) > room:
            rest = rest[:-1]
        lines = [*lines[: _MOST_LINES - 1], rest + dots]
    figure.suptitle("\n".join(lines), x=_MARGIN, ha="left", fontsize=size, fontweight=weight)


def grow(figure: "Figure", inches: float) -> None:
    """Make a picture taller, so that text around it takes no room from it."""
    if inches > 0.0:
        figure.set_figheight(figure.get_figheight() + inches)


def key(figure: "Figure", handles: Sequence["Artist"], *, title: str = "") -> None:
    """Draw a legend in rows below the heading, and make room for it.

    Call it after heading and footnote, as matplotlib would draw a legend "outside" over the
    heading. A legend of many rows makes the picture taller.
    """
    if not handles:
        return
    labels = short_names([str(one.get_label()) for one in handles], _LONGEST_LABEL)
    options: Any = {
        "handles": handles, "labels": labels, "loc": "upper left", "borderaxespad": 0.0,
        "handlelength": 1.6, "columnspacing": 1.4, "title": title or None, "alignment": "left",
    }  # fmt: skip
    for columns in range(len(handles), 0, -1):
        legend = figure.legend(ncols=columns, **options)
        size = legend.get_window_extent()
        if size.width <= figure.bbox.width or columns == 1:
            break
        legend.remove()
    tall = size.height / figure.dpi
    grow(figure, tall - _LINE)
    legend.set_bbox_to_anchor((0.0, 1.0 - _heading_height(figure)), transform=figure.transFigure)
    legend.set_in_layout(False)
    engine: Any = figure.get_layout_engine()
    engine.set(rect=(0.0, 0.0, 1.0, 1.0 - tall / figure.get_figheight()))


def name_rows(axes: "Axes", names: Sequence[str], room: float = _NAME) -> None:
    """Label rows with names, the first on top, without an axis line."""
    axes.set_yticks(range(len(names)), short_names(names, room))
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def mark_bound(axes: "Axes", bound: float, name: str = "bound") -> None:
    """Draw a named vertical line, with the name on the wider side; limits must be final."""
    axes.get_xlim()  # makes the limits final
    across = (axes.transData - axes.transAxes).transform((bound, 0.0))[0]
    shift, side = (3, "left") if across < 0.5 else (-3, "right")
    axes.axvline(bound, color=theme().ink, **BOUND)
    axes.annotate(
        name, (bound, 1.0), xycoords=("data", "axes fraction"), xytext=(shift, 0), ha=side,
        textcoords="offset points", va="top", fontsize=SMALL,
    )  # fmt: skip


def say_instead(axes: "Axes", words: str) -> None:
    """Write text on axes that have nothing to show."""
    axes.annotate(words, (0.5, 0.5), xycoords="axes fraction", ha="center", va="center",
                  color=theme().note, fontsize=SMALL)  # fmt: skip
    axes.grid(visible=False)
    axes.set_xticks([])
    axes.set_yticks([])


def _heading_height(figure: "Figure") -> float:
    """Share of a figure's height for its heading, including gaps."""
    words: Any = getattr(figure, "_suptitle", None)
    pad = 2.0 * 0.04167  # inches: the layout's, above and below
    height = words.get_window_extent().height if words else 0.0
    return float(height / figure.bbox.height + pad / figure.get_figheight())


def _room(figure: "Figure") -> float:
    return float(figure.get_figwidth()) * (1.0 - 2.0 * _MARGIN)


def panels_in_rows(count: int) -> tuple[int, int]:
    """(rows, columns) of a grid for panels, with few gaps and if possible none alone in a row."""
    if count <= _MOST_COLUMNS:
        columns = 2 if count == _MOST_COLUMNS else max(count, 1)
    else:
        columns = min((3, 4), key=lambda wide: (count % wide == 1, -count % wide))
    return -(-count // columns), columns


def looks(count: int) -> list[dict[str, Any]]:
    """Styles (colour, marker, line) for `count` series, all different up to 36."""
    palette = theme().palette
    rounds = [(i % len(palette), i // len(palette) % len(_MARKERS)) for i in range(count)]
    return [{"color": palette[c], "marker": _MARKERS[r], "linestyle": _LINES[r]} for c, r in rounds]


# The most compared policies have the first six colours; others reuse them with another line style
# and marker. Routing and scheduling policies are never in one picture.
_ROUTING = (
    "gmsr", "jsq", "least_expected_latency", "gmsr_secant", "weighted_least_connections",
    "power_of_d", "gmsr_ahead", "jfsq", "peak_ewma", "round_robin", "weighted_round_robin", "jiq",
    "gmsr_hold", "static_optimal", "prequal", "dgd_lb", "least_request", "drain_rate",
    "least_work", "predicted_latency", "lmetric", "sticky_tokens", "cache_threshold", "linear_cost",
    "bounded_hash", "model_affinity", "shuffle_of_k", "rendezvous", "random",
)  # fmt: skip
_SCHEDULING = (
    "local_first", "jsq_maxweight", "late_binding", "fifo", "balanced_pandas", "delay_scheduling",
    "jsq_local_only", "random_local", "priced_help",
)  # fmt: skip


class Named(Protocol):
    """Result of a policy."""

    @property
    def policy(self) -> str: ...


def policy_looks(policies: Sequence[Named]) -> list[dict[str, Any]]:
    """Like `looks`, but each policy has the same style in every picture."""
    return looks_of([found.policy for found in policies])


def looks_of(names: Sequence[str]) -> list[dict[str, Any]]:
    """Styles by name of the policy: "jsq", "power_of_d:d=3".

    Your own policies, and further variants of a policy, get the next free styles.
    """
    count = len(theme().palette) * len(_MARKERS)
    all_looks, built_in = looks(count), max(len(_ROUTING), len(_SCHEDULING))
    taken: dict[int, int] = {}  # number of the policy that has a style, by style
    for at, name in enumerate(names):
        known = name.partition(":")[0].partition(" ")[0]
        for order in (_ROUTING, _SCHEDULING):
            if known in order:
                taken.setdefault(order.index(known), at)
    others = [*range(built_in, count), *range(built_in)]
    free = iter(look for look in others if look not in taken)
    own = {at: look for look, at in taken.items()}
    return [all_looks[own[at] if at in own else next(free, at % count)] for at in range(len(names))]


def value_axis(axes: "Axes", which: Literal["x", "y"], label: str, values: Iterable[float]) -> None:
    """Label an axis of magnitudes after drawing; it is logarithmic by the rule of this module."""
    known = [value for value in values if value is not None]
    if known and max(known) > LOG_FROM * min(known) > 0.0:
        log_axis(axes, which, label)
        return
    axes.set(**{f"{which}label": label})
    low, high = axes.dataLim.intervalx if which == "x" else axes.dataLim.intervaly
    if known and high - low < _LEAST_SPAN * abs(high + low) / 2.0:
        middle, half = (high + low) / 2.0, _LEAST_SPAN * abs(high + low) / 4.0
        axes.set(**{f"{which}lim": (middle - half, middle + half)})


def log_axis(axes: "Axes", which: Literal["x", "y"], label: str = "") -> None:
    """Make an axis logarithmic, with as many ticks as there is room for.

    A label, if any, says so.
    """
    axes.set_xscale("log") if which == "x" else axes.set_yscale("log")
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(LogTicks())
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(Numbers())
    if label:
        axes.set(**{f"{which}label": f"{label} (log scale)"})


def log_above(axes: "Axes", threshold: float, label: str) -> None:
    """Make the vertical axis linear up to `threshold`, for counts that may be 0."""
    axes.set_yscale("symlog", linthresh=threshold, linscale=0.4)
    axes.yaxis.set_major_locator(LogTicks(linear_up_to=threshold))
    axes.yaxis.set_major_formatter(Numbers())
    if label:
        axes.set_ylabel(f"{label} (log scale above {threshold:g})")
