"""Picture of a timeline: a row for each node, a bar for each attempt."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from isocline.dispatch.batch.result import BatchResult
from isocline.dispatch.telemetry.records import LEVELS, Outcome, Ran
from isocline.dispatch.telemetry.timeline import FAILED, Timeline
from isocline.plural import counted
from isocline.report.plots.cluster import level_colors
from isocline.report.plots.style import (
    WIDTH,
    footnote,
    heading,
    house,
    key,
    name_rows,
    new_figure,
    say_instead,
)
from isocline.report.plots.theme import theme
from isocline.report.words import duration, time_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[np.float64]

_ROW, _MOST_HEIGHT, _FRAME = 0.22, 8.0, 1.8  # inches
_MOST_NAMES = 40  # nodes whose names find room
_MOST_BARS = 4000  # in an SVG as such; more are drawn as pixels there
_BAR = 0.8  # height of a bar in its row; without names rows touch
# Points, on axes about as wide as the page: what can be seen of a bar, and of a gap between two.
_LEAST_BAR, _LEAST_GAP = 1.5, 0.4
_SHORT = 3.0  # times the least width
_AXES = 72.0 * 0.85 * WIDTH


@house()
def timeline_plot(timeline: Timeline) -> "Figure":
    """All attempts that are remembered, from the first start to the last end."""
    figure, handles, notes = _draw(timeline, "Attempts at each node over time")
    footnote(figure, f"{_counts(timeline)} {notes}")
    key(figure, handles)
    return figure


@house()
def batch_plot(result: BatchResult) -> "Figure":
    """A batch's timeline, with how it went below."""
    title = f"{result.name}: attempts at each node over time"
    figure, handles, notes = _draw(result.timeline, title)
    found = result.statistics
    footnote(
        figure,
        f"{found.finished:,} tasks in {duration(found.elapsed)} by {result.policy}; one task takes "
        f"{_each(result)}. {notes}",
    )
    key(figure, handles)
    return figure


def _counts(timeline: Timeline) -> str:
    ran = timeline.ran
    return f"{counted(len(ran), 'attempt')} at {counted(len(timeline.nodes), 'node')}."


def _each(result: BatchResult) -> str:
    times = result.explanation.seconds
    return ", ".join(f"{duration(times[level])} {level}" for level in LEVELS if level in times)


def _draw(timeline: Timeline, title: str) -> "tuple[Figure, list[Any], str]":
    """The picture without key and small print, the key's entries, and notes for the small print."""
    nodes, ran = timeline.nodes, timeline.ran
    figure = new_figure(min(_ROW * max(len(nodes), 1), _MOST_HEIGHT) + _FRAME)
    heading(figure, title)
    axes = figure.subplots()
    first = min((entry.started for entry in ran), default=0.0)
    last = max((entry.ended for entry in ran), default=first + 1.0)
    scale, unit = time_unit([last - first])
    row = {node: number for number, node in enumerate(nodes)}
    span = (last - first) / scale
    # A thin edge in the colour of the paper tells neighbours apart; where there are many it would
    # be all that is seen.
    edge = 0.4 if len(ran) <= _MOST_BARS else 0.0
    thick = _BAR if len(nodes) <= _MOST_NAMES else 1.0
    handles: list[Any] = []
    for name, look, entries in _groups(ran):
        bars = _bars(axes, _rectangles(entries, row, first, scale, span), thick)
        bars.set(
            edgecolor=theme().paper, linewidth=edge, label=f"{name} ({len(entries):,})", **look
        )
        handles.append(bars if look["facecolor"] != "none" else _hatched(bars))
    if failed := [entry for entry in ran if entry.outcome in FAILED]:
        handles.append(_crosses(axes, failed, row, first, scale))
    _frame(axes, nodes, span, unit)
    return figure, handles, _notes(ran, first, span / _AXES * _LEAST_BAR * scale)


def _notes(ran: Sequence[Ran], first: float, least: float) -> str:
    said = []
    if first > 0.0:
        said.append(f"The first start is {duration(first)} after the scheduler began.")
    if any(entry.ended - entry.started < least for entry in ran):
        said.append(
            f"Bars are at least {duration(least, 2)} wide, so that short ones are seen; short "
            "ones of one kind that touch are drawn as one."
        )
    return " ".join(said)


def _groups(ran: Sequence[Ran]) -> list[tuple[str, dict[str, Any], list[Ran]]]:
    """Bars by what they are called, with their look; the later lie on the earlier."""
    colors, spent = level_colors(), theme().spent
    finished = [entry for entry in ran if entry.outcome is Outcome.FINISHED]
    cold = {"facecolor": "none", "hatch": "//////"}
    groups: list[tuple[str, dict[str, Any], list[Ran]]] = [
        *((level, {"facecolor": colors[level]}, [e for e in finished if e.level == level])
          for level in LEVELS),
        ("no result", {"facecolor": spent}, [e for e in ran if e.outcome is not Outcome.FINISHED]),
        ("not measured: first of a worker", cold, [e for e in ran if e.cold]),
    ]  # fmt: skip
    return [group for group in groups if group[2]]


def _rectangles(
    ran: Sequence[Ran], row: dict[str, int], first: float, scale: float, span: float
) -> FloatArray:
    """(n, 3) left end, right end and row of the bars of one kind.

    Short ones are widened to what can be seen, and those of them that come to touch are merged.
    """
    left = (np.array([entry.started for entry in ran]) - first) / scale
    right = (np.array([entry.ended for entry in ran]) - first) / scale
    # The last may not jut out of the frame.
    least = _LEAST_BAR * span / _AXES
    left = np.minimum(left, span - least)
    right = np.maximum(right, left + least)
    rows = np.array([row[entry.node] for entry in ran], dtype=np.float64)
    order = np.lexsort((left, rows))
    left, right, rows = left[order], right[order], rows[order]
    # Ends so far of the same row: rows are moved apart by more than the axis is long.
    far = 2.0 * max(span, 1e-300)
    reach = np.maximum.accumulate(right + far * rows) - far * rows
    gap = _LEAST_GAP * span / _AXES
    # Long ones, that can be told apart, are kept apart.
    short = right - left < _SHORT * least
    joins = (rows[1:] == rows[:-1]) & (left[1:] <= reach[:-1] + gap) & short[1:] & short[:-1]
    begins = np.r_[True, ~joins]
    at = np.flatnonzero(begins)
    ends = np.r_[at[1:], rows.size] - 1
    return np.column_stack([left[at], reach[ends], rows[at]])


def _bars(axes: "Axes", rectangles: FloatArray, thick: float) -> Any:
    from matplotlib.collections import PolyCollection  # noqa: PLC0415 - by way of style

    left, right, middle = rectangles.T
    low, high = middle - 0.5 * thick, middle + 0.5 * thick
    corners = np.stack([left, low, right, low, right, high, left, high], axis=1)
    bars = PolyCollection(list(corners.reshape(-1, 4, 2)))
    bars.set_rasterized(len(rectangles) > _MOST_BARS)
    axes.add_collection(bars)
    return bars


def _hatched(bars: Any) -> Any:
    """For the key: hatches, in the colour of the paper, are seen on a bar only."""
    from matplotlib.patches import Patch  # noqa: PLC0415

    return Patch(facecolor=theme().faint, edgecolor=theme().paper, hatch=bars.get_hatch(),
                 label=bars.get_label(), linewidth=0.0)  # fmt: skip


def _crosses(
    axes: "Axes", failed: Sequence[Ran], row: dict[str, int], first: float, scale: float
) -> Any:
    counts = Counter(ran.outcome for ran in failed)
    label = ", ".join(f"{count:,} {outcome}" for outcome, count in counts.items())
    x, y = zip(*(((ran.ended - first) / scale, row[ran.node]) for ran in failed), strict=True)
    size = 4.0 if len(row) <= _MOST_NAMES else 1.5
    return axes.plot(x, y, "x", color=theme().ink, markersize=size, markeredgewidth=size / 4,
                     label=label, clip_on=False)[0]  # fmt: skip


def _frame(axes: "Axes", nodes: Sequence[str], end: float, unit: str) -> None:
    axes.set_xlim(0.0, end)
    axes.set_ylim(max(len(nodes), 1) - 0.5, -0.5)
    axes.set_xlabel(f"time since the first start, {unit}")
    if len(nodes) <= _MOST_NAMES:
        name_rows(axes, nodes)
    else:
        axes.set_ylabel(f"{len(nodes)} nodes, by name")
        axes.set_yticks([])
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    if not nodes:
        say_instead(axes, "nothing was started")
