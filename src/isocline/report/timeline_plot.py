"""Picture of a timeline: a row for each node, a bar for each attempt."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from isocline.dispatch.batch.result import BatchResult
from isocline.dispatch.records import LEVELS, Outcome, Ran
from isocline.dispatch.timeline import FAILED, Timeline
from isocline.report.style import INK, PALETTE, footnote, house, new_figure
from isocline.report.words import duration, time_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = dict(zip(LEVELS, (PALETTE[0], PALETTE[2], PALETTE[1]), strict=True))
_WASTED = "#cfcfcf"
_ROW, _MOST_HEIGHT, _FRAME = 0.22, 8.0, 1.1  # inches
_MOST_NAMES = 40  # nodes whose names find room
_MOST_BARS = 4000  # in an SVG as such; more are drawn as pixels there
_BAR = 0.8  # height of a bar in its row; without names rows touch


@house()
def timeline_plot(timeline: Timeline) -> "Figure":
    """All attempts that are remembered."""
    nodes = timeline.nodes
    height = min(_ROW * len(nodes), _MOST_HEIGHT) + _FRAME
    figure = new_figure(height)
    axes = figure.subplots()
    row = {node: number for number, node in enumerate(nodes)}
    last = max((ran.ended for ran in timeline.ran), default=1.0)
    scale, unit = time_unit([last])
    groups = _groups(timeline.ran)
    for name, (colour, ran) in groups.items():
        _bars(axes, ran, row, scale, colour, f"{name} ({len(ran):,})", len(timeline.ran))
    cold = [ran for ran in timeline.ran if ran.cold]
    if cold:
        label = f"not measured: first of a worker ({len(cold):,})"
        _bars(axes, cold, row, scale, "none", label, len(timeline.ran), hatch="//////")
    failed = [ran for ran in timeline.ran if ran.outcome in FAILED]
    if failed:
        counts = Counter(ran.outcome for ran in failed)
        label = ", ".join(f"{count:,} {outcome}" for outcome, count in counts.items())
        x, y = zip(*((ran.ended / scale, row[ran.node]) for ran in failed), strict=True)
        size = 4.0 if len(nodes) <= _MOST_NAMES else 1.5
        axes.plot(x, y, "x", color=INK, markersize=size, markeredgewidth=size / 4, label=label)
    _frame(axes, nodes, last / scale, unit)
    return figure


@house()
def batch_plot(result: BatchResult) -> "Figure":
    """A batch's timeline, with how it went below."""
    figure = timeline_plot(result.timeline)
    found = result.statistics
    footnote(
        figure,
        f"{result.name}: {found.finished:,} tasks in {duration(found.elapsed)} by "
        f"{result.policy}; one task takes {_each(result)}.",
    )
    return figure


def _each(result: BatchResult) -> str:
    times = result.explanation.seconds
    return ", ".join(f"{duration(times[level])} {level}" for level in LEVELS if level in times)


def _groups(ran: Sequence[Ran]) -> dict[str, tuple[str, list[Ran]]]:
    """Bars by what they are called, with their colour."""
    groups: dict[str, tuple[str, list[Ran]]] = {}
    for level in LEVELS:
        finished = [e for e in ran if e.outcome is Outcome.FINISHED and e.level == level]
        if finished:
            groups[level] = COLOURS[level], finished
    wasted = [e for e in ran if e.outcome is not Outcome.FINISHED]
    if wasted:
        groups["no result"] = _WASTED, wasted
    return groups


def _bars(
    axes: "Axes",
    ran: Sequence[Ran],
    row: dict[str, int],
    scale: float,
    colour: str,
    label: str,
    total: int,
    hatch: str | None = None,
) -> None:
    from matplotlib.collections import PolyCollection  # noqa: PLC0415 - by way of style

    left = np.array([entry.started for entry in ran]) / scale
    right = np.array([entry.ended for entry in ran]) / scale
    middle = np.array([row[entry.node] for entry in ran])
    half = 0.5 * (_BAR if len(row) <= _MOST_NAMES else 1.0)
    low, high = middle - half, middle + half
    corners = np.stack([left, low, right, low, right, high, left, high], axis=1)
    # A thin white edge tells neighbours apart; where there are many it would be all that is seen.
    edge = 0.4 if total <= _MOST_BARS else 0.0
    bars = PolyCollection(
        list(corners.reshape(-1, 4, 2)),
        facecolors=colour,
        edgecolors="white",
        linewidths=edge,
        hatch=hatch,
    )
    bars.set_label(label)
    bars.set_rasterized(total > _MOST_BARS)
    axes.add_collection(bars)


def _frame(axes: "Axes", nodes: Sequence[str], end: float, unit: str) -> None:
    axes.set_xlim(0.0, end)
    axes.set_ylim(max(len(nodes), 1) - 0.5, -0.5)
    axes.set_xlabel(f"time, {unit}")
    if len(nodes) <= _MOST_NAMES:
        axes.set_yticks(range(len(nodes)), nodes)
    else:
        axes.set_ylabel(f"{len(nodes)} nodes, by name")
        axes.set_yticks([])
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    if nodes:
        axes.figure.legend(loc="outside upper left", ncols=5, handlelength=1.2, columnspacing=1.4)
