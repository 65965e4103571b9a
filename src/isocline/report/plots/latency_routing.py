"""Each backend at the optimum and under routing by expected latency.

At the optimum one more job costs the same wherever it goes, and latencies differ; under routing by
latency a frontend sees one latency, and the fast backends are crowded.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from isocline.report.plots.style import (
    footnote,
    heading,
    house,
    key,
    name_rows,
    new_figure,
    value_axis,
)
from isocline.report.plots.theme import theme
from isocline.report.words import number, time_unit
from isocline.theory.routing.equilibrium import plan
from isocline.theory.routing.latency_routing import LatencyEquilibrium

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Row = Mapping[str, Any]

_MOST_ROWS = 24  # of a picture that fits a page
# A dot fits into the square where both fall on one place.
_SERIES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("optimum", {"marker": "o", "ms": 4.0, "zorder": 3}),
    ("routing by latency", {"marker": "s", "ms": 7.0, "mfc": "none", "zorder": 2}),
)


def latency_routing_picture(record: LatencyEquilibrium) -> "Figure":
    """`latency_routing_plot` of a record, for `LatencyEquilibrium.plot()`."""
    best = plan(record.system, edges_to_try=0).to_dict()
    ratio = record.total_jobs / best["total_jobs"]
    rival = record.to_dict() | {"price_of_anarchy": ratio}
    return latency_routing_plot(best | {"latency_routing": rival}, record.system.name)


@house()
def latency_routing_plot(document: Row, name: str) -> "Figure":
    """Jobs on the left, latency N/l(N) on the right, from the JSON document of `plan --compare`."""
    rival = document["latency_routing"]
    pairs = list(zip(document["backends"], rival["backends"], strict=True))
    # The rows that differ most, in the order of the file.
    differ = sorted(range(len(pairs)), key=lambda i: -abs(_jobs(pairs[i][0]) - _jobs(pairs[i][1])))
    shown = [pairs[i] for i in sorted(differ[:_MOST_ROWS])]
    names = [best["name"] for best, _ in shown]
    latencies = [
        [row["jobs"] / row["rate"] if row["rate"] > 0.0 else None for row in pair] for pair in shown
    ]
    scale, unit = time_unit(value for row in latencies for value in row)
    figure = new_figure(height=1.8 + 0.24 * len(shown))
    heading(figure, f"{name}: each backend at the optimum and under routing by latency")
    jobs, latency = figure.subplots(1, 2, sharey=True)
    _rows(jobs, [[_jobs(row) for row in pair] for pair in shown], "jobs at the backend")
    _rows(latency, [[v and v / scale for v in row] for row in latencies], f"latency N/l(N), {unit}")
    name_rows(jobs, names)
    jobs.set_ylim(len(names) - 0.5, -0.5)
    hidden = len(pairs) - len(shown)
    footnote(
        figure,
        f"Price of anarchy {number(rival['price_of_anarchy'])}: {number(rival['total_jobs'])} jobs "
        f"in the system against {number(document['total_jobs'])} at the optimum. No latency is "
        "shown for a backend without jobs."
        + (f" The {hidden} backends that differ least are left out." if hidden else ""),
    )
    key(figure, jobs.get_legend_handles_labels()[0])
    return figure


def _jobs(row: Row) -> float:
    return float(row["jobs"])


def _rows(axes: "Axes", rows: Sequence[Sequence[float | None]], title: str) -> None:
    for y, row in enumerate(rows):
        known = [value for value in row if value is not None]
        axes.plot(known, [y] * len(known), "-", color=theme().faint, lw=1.0, zorder=1)
    for s, (label, look) in enumerate(_SERIES):
        at = [(row[s], y) for y, row in enumerate(rows) if row[s] is not None]
        x, heights = zip(*at, strict=True) if at else ((), ())
        axes.plot(x, heights, ls="", label=label, clip_on=False, color=theme().palette[s], **look)
    values = [value for row in rows for value in row if value is not None]
    axes.margins(x=0.08)
    value_axis(axes, "x", title, values)
    if axes.get_xscale() == "linear":
        axes.set_xlim(left=0.0)
    axes.tick_params(axis="y", length=0, pad=7)
    axes.spines["left"].set_visible(False)
