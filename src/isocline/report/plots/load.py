"""Picture of a run of load: quantiles of durations, on a scale of nines."""

from typing import TYPE_CHECKING

from isocline.loadgen.results import Distribution, LoadResult
from isocline.report.plots.end_labels import End, label_ends
from isocline.report.plots.style import (
    footnote,
    heading,
    house,
    looks,
    new_figure,
    say_instead,
    value_axis,
)
from isocline.report.tables.load import load_conditions
from isocline.report.words import time_unit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SHARES = (0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999)


@house()
def load_plot(result: LoadResult) -> "Figure":
    """One line for each kind of duration: latency, and for streams those of tokens."""
    drawn: list[tuple[str, Distribution | None]] = [
        ("latency", result.latency),
        ("first token", result.first_token),
        ("between tokens", result.between_tokens),
    ]
    known = [(name, found) for name, found in drawn if found is not None and found.count > 1]
    scale, unit = time_unit([found.p50 for _, found in known])
    figure = new_figure(height=4.0)
    heading(figure, "Latencies by the share of requests that are at most as long")
    axes = figure.subplots()
    ends: list[End] = []
    seen: list[float] = []
    for (name, found), look in zip(known, looks(len(known)), strict=True):
        points = [(1.0 / (1.0 - share), time / scale) for share, time in found.curve if time > 0]
        if points:
            x, y = zip(*points, strict=True)
            axes.plot(x, y, color=look["color"])
            seen += y
            ends.append(End(x[-1], y[-1], name, look["color"]))
    axes.set_xscale("log")
    last = max((x for x, *_ in ends), default=10.0)
    ticks = [share for share in _SHARES if 1.0 / (1.0 - share) <= last]
    axes.set_xticks(
        [1.0 / (1.0 - s) for s in ticks], [f"{100 * s:g} %" for s in ticks], minor=False
    )
    axes.set_xticks([], minor=True)
    axes.set_xlabel("share of requests, or tokens, at most as long (log scale)")
    value_axis(axes, "y", f"time, {unit}", seen)
    if not ends:
        say_instead(axes, "no request was completed")
    footnote(figure, load_conditions(result))
    label_ends(axes, ends)
    return figure
