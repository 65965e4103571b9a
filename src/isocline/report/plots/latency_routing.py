"""Picture of each backend at the optimum and under routing by expected latency.

At the optimum one more job costs the same at every backend, and latencies differ; under routing by
latency a frontend sees equal latencies, and fast backends are crowded.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from isocline.plural import counted
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
from isocline.theory.routing.plan_records import Plan

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_ROWS = 24  # rows of a picture that fits a page
# The dot fits into the square if both coincide.
_SERIES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("optimum", {"marker": "o", "ms": 4.0, "zorder": 3}),
    ("routing by latency", {"marker": "s", "ms": 7.0, "mfc": "none", "zorder": 2}),
)


def latency_routing_picture(rival: LatencyEquilibrium) -> "Figure":
    """`latency_routing_plot` beside the optimum of the same system."""
    return latency_routing_plot(plan(rival.system, edges_to_try=0), rival)


@house()
def latency_routing_plot(best: Plan, rival: LatencyEquilibrium) -> "Figure":
    """Jobs on the left and latency N/l(N) on the right, for the plan and for the equilibrium."""
    assert best.total_jobs is not None  # as the equilibrium exists
    jobs_of = list(zip((b.jobs for b in best.backends), rival.workloads.tolist(), strict=True))
    rates = list(zip((b.rate for b in best.backends), rival.inflow.tolist(), strict=True))
    # The rows that differ most, in the order of the file.
    differ = sorted(range(len(jobs_of)), key=lambda i: -abs(jobs_of[i][0] - jobs_of[i][1]))
    shown = sorted(differ[:_MOST_ROWS])
    names = [best.backends[i].name for i in shown]
    latencies = [
        [n / rate if rate > 0.0 else None for n, rate in zip(jobs_of[i], rates[i], strict=True)]
        for i in shown
    ]
    scale, unit = time_unit(value for row in latencies for value in row)
    figure = new_figure(height=1.8 + 0.24 * len(shown))
    heading(figure, f"{best.system.name}: each backend at the optimum and under routing by latency")
    jobs, latency = figure.subplots(1, 2, sharey=True)
    _rows(jobs, [jobs_of[i] for i in shown], "jobs at the backend")
    _rows(latency, [[v and v / scale for v in row] for row in latencies], f"latency N/l(N), {unit}")
    name_rows(jobs, names)
    jobs.set_ylim(len(names) - 0.5, -0.5)
    hidden = len(jobs_of) - len(shown)
    footnote(
        figure,
        f"Price of anarchy {number(rival.total_jobs / best.total_jobs)}: "
        f"{number(rival.total_jobs)} jobs in the system against {number(best.total_jobs)} at the "
        "optimum. No latency is shown for a backend without jobs."
        + (f" Left out, as they differ least: {counted(hidden, 'backend')}." if hidden else ""),
    )
    key(figure, jobs.get_legend_handles_labels()[0])
    return figure


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
