"""Picture of a timeline: a row for each node, a bar for each attempt."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from isocline.dispatch.batch.result import BatchResult
from isocline.dispatch.telemetry.records import LEVELS, AttemptRecord, Outcome
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
_MOST_NAMES = 40  # most nodes with room for names
_MOST_BARS = 4000  # most vector bars in an SVG; more are rasterised
_BAR = 0.8  # height of a bar relative to its row; without names, rows touch
# Smallest visible bar and gap, in points, on axes about as wide as the page.
_LEAST_BAR, _LEAST_GAP = 1.5, 0.4
_SHORT = 3.0  # times the least width
_AXES = 72.0 * 0.85 * WIDTH


@house()
def timeline_plot(timeline: Timeline) -> "Figure":
    """All recorded attempts, from the first start to the last end."""
    figure, handles, notes = _draw(timeline, "Attempts at each node over time")
    footnote(figure, f"{_counts(timeline)} {notes}")
    key(figure, handles)
    return figure


@house()
def batch_plot(result: BatchResult) -> "Figure":
    """Timeline of a batch, with its outcome below."""
    title = f"{result.name}: attempts at each node over time"
    figure, handles, notes = _draw(result.timeline, title)
    found = result.statistics
    footnote(
        figure,
        f"{counted(found.finished, 'task')} in {duration(found.elapsed)} by {result.policy}; one "
        f"task takes {_each(result)}. {notes}",
    )
    key(figure, handles)
    return figure


def _counts(timeline: Timeline) -> str:
    attempts = timeline.attempts
    return f"{counted(len(attempts), 'attempt')} at {counted(len(timeline.nodes), 'node')}."


def _each(result: BatchResult) -> str:
    times = result.explanation.seconds
    return ", ".join(f"{duration(times[level])} {level}" for level in LEVELS if level in times)


def _draw(timeline: Timeline, title: str) -> "tuple[Figure, list[Any], str]":
    """Draw the picture without key and small print; returns it, entries of the key, and notes."""
    nodes, attempts = timeline.nodes, timeline.attempts
    figure = new_figure(min(_ROW * max(len(nodes), 1), _MOST_HEIGHT) + _FRAME)
    heading(figure, title)
    axes = figure.subplots()
    first = min((entry.started for entry in attempts), default=0.0)
    last = max((entry.ended for entry in attempts), default=first + 1.0)
    scale, unit = time_unit([last - first])
    row = {node: number for number, node in enumerate(nodes)}
    span = (last - first) / scale
    # A thin edge in the background colour separates neighbours; with many bars, only edges would be
    # visible.
    edge = 0.4 if len(attempts) <= _MOST_BARS else 0.0
    thick = _BAR if len(nodes) <= _MOST_NAMES else 1.0
    handles: list[Any] = []
    for name, look, entries in _groups(attempts):
        bars = _bars(axes, _rectangles(entries, row, first, scale, span), thick)
        bars.set(
            edgecolor=theme().paper, linewidth=edge, label=f"{name} ({len(entries):,})", **look
        )
        handles.append(bars if look["facecolor"] != "none" else _hatched(bars))
    if failed := [entry for entry in attempts if entry.outcome in FAILED]:
        handles.append(_crosses(axes, failed, row, first, scale))
    _frame(axes, nodes, span, unit)
    return figure, handles, _notes(attempts, first, span / _AXES * _LEAST_BAR * scale)


def _notes(attempts: Sequence[AttemptRecord], first: float, least: float) -> str:
    said = []
    if first > 0.0:
        said.append(f"The first start is {duration(first)} after the scheduler began.")
    if any(entry.ended - entry.started < least for entry in attempts):
        said.append(
            f"Bars are at least {duration(least, 2)} wide, so that short ones are seen; short "
            "ones of one kind that touch are drawn as one."
        )
    return " ".join(said)


def _groups(
    attempts: Sequence[AttemptRecord],
) -> list[tuple[str, dict[str, Any], list[AttemptRecord]]]:
    """Groups of bars with name and style; later ones are drawn over earlier ones."""
    colors, spent = level_colors(), theme().spent
    finished = [entry for entry in attempts if entry.outcome is Outcome.FINISHED]
    unfinished = [entry for entry in attempts if entry.outcome is not Outcome.FINISHED]
    cold = {"facecolor": "none", "hatch": "//////"}
    groups: list[tuple[str, dict[str, Any], list[AttemptRecord]]] = [
        *((level, {"facecolor": colors[level]}, [e for e in finished if e.level == level])
          for level in LEVELS),
        ("no result", {"facecolor": spent}, unfinished),
        ("not measured: first of a worker", cold, [e for e in attempts if e.cold]),
    ]  # fmt: skip
    return [group for group in groups if group[2]]


def _rectangles(
    attempts: Sequence[AttemptRecord], row: dict[str, int], first: float, scale: float, span: float
) -> FloatArray:
    """(n, 3) left end, right end and row of the bars of one kind.

    Short bars are widened to be visible, and merged if they then touch.
    """
    left = (np.array([entry.started for entry in attempts]) - first) / scale
    right = (np.array([entry.ended for entry in attempts]) - first) / scale
    # The last bar must not exceed the frame.
    least = _LEAST_BAR * span / _AXES
    left = np.minimum(left, span - least)
    right = np.maximum(right, left + least)
    rows = np.array([row[entry.node] for entry in attempts], dtype=np.float64)
    order = np.lexsort((left, rows))
    left, right, rows = left[order], right[order], rows[order]
    # Ends so far in the same row: rows are shifted by more than the length of the axis.
    far = 2.0 * max(span, 1e-300)
    reach = np.maximum.accumulate(right + far * rows) - far * rows
    gap = _LEAST_GAP * span / _AXES
    # Long bars are distinguishable, and kept separate.
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
    """Entry of the key for hatched bars, as hatches in the background colour need a bar."""
    from matplotlib.patches import Patch  # noqa: PLC0415

    return Patch(facecolor=theme().faint, edgecolor=theme().paper, hatch=bars.get_hatch(),
                 label=bars.get_label(), linewidth=0.0)  # fmt: skip


def _crosses(
    axes: "Axes", failed: Sequence[AttemptRecord], row: dict[str, int], first: float, scale: float
) -> Any:
    counts = Counter(one.outcome for one in failed)
    label = ", ".join(f"{count:,} {outcome}" for outcome, count in counts.items())
    x, y = zip(*(((one.ended - first) / scale, row[one.node]) for one in failed), strict=True)
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
        axes.set_ylabel(f"{counted(len(nodes), 'node')}, by name")
        axes.set_yticks([])
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    if not nodes:
        say_instead(axes, "nothing was started")
