"""Picture of a load run: quantiles of durations, on a scale of nines."""

from typing import TYPE_CHECKING

from isocline.loadgen.results import Distribution, LoadResult
from isocline.report.plots.distribution import Quantiles, draw_quantiles
from isocline.report.plots.style import footnote, heading, house, looks, new_figure
from isocline.report.tables.load import load_conditions
from isocline.report.words import time_unit

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@house()
def load_plot(result: LoadResult) -> "Figure":
    """One line per kind of duration: latency and, for streams, those of tokens."""
    drawn: list[tuple[str, Distribution | None]] = [
        ("latency", result.latency),
        ("first token", result.first_token),
        ("between tokens", result.between_tokens),
    ]
    known = [(name, found) for name, found in drawn if found is not None and found.count > 1]
    scale, unit = time_unit([found.p50 for _, found in known])
    figure = new_figure(height=4.0)
    heading(figure, "Latencies by the share of requests that are at most as long")
    lines = [
        Quantiles(name, found.curve, {"color": look["color"]})
        for (name, found), look in zip(known, looks(len(known)), strict=True)
    ]
    footnote(figure, load_conditions(result))
    draw_quantiles(figure.subplots(), lines, f"time, {unit}", scale, "no request was completed")
    return figure
