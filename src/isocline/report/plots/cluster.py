"""Pictures of clusters: policies at one load, completion time against load, tasks over time."""

from typing import TYPE_CHECKING

from isocline.report.conditions import cluster_conditions, cluster_time_unit
from isocline.report.plots.end_labels import label_ends
from isocline.report.plots.latency import Panel, over_load
from isocline.report.plots.style import (
    footnote,
    heading,
    house,
    is_narrow,
    key,
    mark_bound,
    name_rows,
    new_figure,
    policy_looks,
    value_axis,
)
from isocline.report.plots.theme import theme
from isocline.report.plots.workload import draw_totals
from isocline.simulate.scheduling.results import LEVELS, ClusterComparison, ClusterSweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def level_colors() -> dict[str, str]:
    """Colour of each locality level, the same in all pictures."""
    palette = theme().palette
    return dict(zip(LEVELS, (palette[0], palette[4], palette[1]), strict=True))


@house()
def cluster_plot(comparison: ClusterComparison) -> "Figure":
    """Completion times on the left, mean and 99th percentile; shares of levels on the right."""
    policies = comparison.policies
    height = 2.4 + 0.26 * len(policies)
    if is_narrow():
        figure = new_figure(height=2.0 * height - 0.8)
        times, places = figure.subplots(2, 1, sharey=True)
        name_rows(places, [p.policy for p in policies])
    else:
        figure = new_figure(height=height)
        times, places = figure.subplots(1, 2, sharey=True, width_ratios=[1.5, 1.0])
    _times(times, comparison)
    _places(places, comparison)
    name_rows(times, [p.policy for p in policies])
    times.set_ylim(len(policies) - 0.5, -0.9)  # the first on top, with room for words
    places.tick_params(axis="y", length=0)
    places.spines["left"].set_visible(False)
    heading(figure, f"{comparison.system}: completion time of each policy")
    shown = [level for level in LEVELS if _appears(comparison, level)] or ["local"]
    colors = level_colors()
    footnote(figure, cluster_conditions(comparison))
    key(figure, [
        *times.get_legend_handles_labels()[0],
        *(places.bar(0, 0, color=colors[level], label=level) for level in shown),
    ])  # fmt: skip
    return figure


def _times(axes: "Axes", comparison: ClusterComparison) -> None:
    bound = comparison.lower_bound_latency
    known = [p.mean_latency.value for p in comparison.policies if p.mean_latency]
    colors = theme()
    looks = policy_looks(comparison.policies)
    scale, unit = cluster_time_unit([bound, *known], comparison)
    shown = [bound / scale]
    for y, p in enumerate(comparison.policies):
        if p.mean_latency is None:
            # On a background, as the line of the bound may be there.
            axes.annotate(p.status, (0.98, y), xycoords=("axes fraction", "data"), ha="right",
                          va="center", color=colors.note, fontsize=8,
                          bbox={"fc": colors.paper, "ec": "none", "pad": 1.0})  # fmt: skip
            continue
        for name, marker in (("mean_latency", "o"), ("p99", "|")):
            found = getattr(p, name)
            if found is None:
                continue
            shown.append(found.value / scale)
            axes.errorbar(found.value / scale, y, xerr=found.half_width / scale, fmt=marker,
                          color=looks[y]["color"], ms=3.5 if marker == "o" else 7, capsize=3,
                          elinewidth=1)  # fmt: skip
    for label, marker, size in (("mean", "o", 3.5), ("99th percentile", "|", 7.0)):
        axes.plot([], [], marker, color=colors.ink, ms=size, label=label)
    axes.update_datalim([(bound / scale, 0.0)], updatey=False)
    value_axis(axes, "x", f"completion time, {unit}", shown)
    mark_bound(axes, bound / scale)


def _places(axes: "Axes", comparison: ClusterComparison) -> None:
    for y, p in enumerate(comparison.policies):
        left = 0.0
        for level, color in level_colors().items():
            share = getattr(p, f"{level}_share")
            if share is None:
                continue
            axes.barh(y, 100 * share.value, left=100 * left, color=color, height=0.55)
            left += share.value
    axes.set_xlim(0, 100)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("share of tasks that ran so, %")


def _appears(comparison: ClusterComparison, level: str) -> bool:
    shares = [getattr(p, f"{level}_share") for p in comparison.policies]
    return any(share is not None and share.value > 0 for share in shares)


@house()
def load_plot(sweep: ClusterSweep) -> "Figure":
    """Mean completion time against load; a line ends where its policy stops being stable."""
    first = sweep.comparisons[0]
    bound = [one.lower_bound_latency for one in sweep.comparisons]
    scale, unit = cluster_time_unit(bound, first)
    return over_load(
        sweep,
        [Panel(f"mean completion time, {unit}", "mean_latency", scale, bound)],
        f"{first.system}: mean completion time over load",
        "load (arrivals over what all servers together can serve)",
        cluster_conditions(*sweep.comparisons),
    )


@house()
def tasks_plot(comparison: ClusterComparison) -> "Figure":
    """Tasks in the cluster, mean over replications, in each block of the run."""
    figure = new_figure(height=3.9)
    axes = figure.subplots()
    axes.axvspan(0, comparison.warmup, color=theme().shade, lw=0, zorder=0)
    ends = draw_totals(axes, comparison)
    axes.set_ylim(bottom=0)
    axes.set_xlabel(f"time, {comparison.unit}")
    axes.set_ylabel("tasks in the cluster")
    heading(figure, f"{comparison.system}: tasks in the cluster over time")
    footnote(figure, cluster_conditions(comparison, over_time=True))
    label_ends(axes, ends)
    return figure
