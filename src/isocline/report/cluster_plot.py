"""Pictures of clusters: policies at one load, completion time against load, tasks over time."""

from typing import TYPE_CHECKING

from isocline.report.cluster_conditions import cluster_conditions, cluster_time_unit
from isocline.report.style import (
    INK,
    LOG_FROM,
    NOTE,
    PALETTE,
    footnote,
    heading,
    house,
    label_ends,
    log_axis,
    new_figure,
    policy_looks,
)
from isocline.simulate.cluster.results import LEVELS, ClusterComparison, ClusterSweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEVEL_COLORS = dict(zip(LEVELS, (PALETTE[0], PALETTE[4], PALETTE[1]), strict=True))


@house()
def cluster_plot(comparison: ClusterComparison) -> "Figure":
    """Completion time on the left, mean and 99th percentile; on the right where tasks ran."""
    policies = comparison.policies
    figure = new_figure(height=2.1 + 0.26 * len(policies))
    times, places = figure.subplots(1, 2, sharey=True, width_ratios=[1.5, 1.0])
    _times(times, comparison)
    _places(places, comparison)
    times.set_yticks(range(len(policies)), [p.policy for p in policies])
    times.set_ylim(len(policies) - 0.5, -0.9)  # the first on top, with room for words
    for axes in (times, places):
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
    heading(figure, f"{comparison.system}: completion time of each policy")
    footnote(figure, cluster_conditions(comparison))
    return figure


def _times(axes: "Axes", comparison: ClusterComparison) -> None:
    bound = comparison.lower_bound_latency
    known = [p.mean_latency.value for p in comparison.policies if p.mean_latency]
    scale, unit = cluster_time_unit([bound, *known], comparison)
    shown = [bound / scale]
    for y, p in enumerate(comparison.policies):
        if p.mean_latency is None:
            axes.annotate("unstable", (0.98, y), xycoords=("axes fraction", "data"), color=NOTE,
                          ha="right", va="center", fontsize=8)  # fmt: skip
            continue
        for name, marker in (("mean_latency", "o"), ("p99", "|")):
            found = getattr(p, name)
            if found is None:
                continue
            shown.append(found.value / scale)
            label = {"o": "mean", "|": "99th percentile"}[marker] if y == 0 else None
            axes.errorbar(found.value / scale, y, xerr=found.half_width / scale, fmt=marker,
                          color=PALETTE[0], ms=3.5 if marker == "o" else 7, capsize=3,
                          elinewidth=1, label=label)  # fmt: skip
    axes.axvline(bound / scale, color=INK, lw=1.2, ls=(0, (4, 2)))
    axes.annotate("bound", (bound / scale, 1.0), xycoords=("data", "axes fraction"), xytext=(3, 0),
                  textcoords="offset points", va="top", fontsize=8)  # fmt: skip
    if max(shown) > LOG_FROM * min(shown):
        log_axis(axes, "x")
    axes.set_xlabel(f"completion time, {unit}")
    axes.set_title("completion time: ● mean, | 99th percentile", fontsize=8.5)


def _places(axes: "Axes", comparison: ClusterComparison) -> None:
    for y, p in enumerate(comparison.policies):
        left = 0.0
        for level, color in LEVEL_COLORS.items():
            share = getattr(p, f"{level}_share")
            if share is None:
                continue
            axes.barh(y, 100 * share.value, left=100 * left, color=color, height=0.55)
            left += share.value
    axes.set_xlim(0, 100)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("share of tasks, %")
    words = [level for level in LEVELS if _appears(comparison, level)] or ["local"]
    axes.set_title("where they ran", fontsize=8.5)
    sides = {1: ("left",), 2: ("left", "right"), 3: ("left", "center", "right")}[len(words)]
    for side, level in zip(sides, words, strict=True):
        at = {"left": 0.0, "center": 0.5, "right": 1.0}[side]
        axes.annotate(level, (at, 1.0), xycoords="axes fraction", va="top", ha=side,
                      color=LEVEL_COLORS[level], fontsize=8)  # fmt: skip


def _appears(comparison: ClusterComparison, level: str) -> bool:
    shares = [getattr(p, f"{level}_share") for p in comparison.policies]
    return any(share is not None and share.value > 0 for share in shares)


@house()
def load_plot(sweep: ClusterSweep) -> "Figure":
    """Mean completion time against load: where a policy is not stable its line has ended."""
    first = sweep.comparisons[0]
    loads = [one.load for one in sweep.comparisons]
    bound = [one.lower_bound_latency for one in sweep.comparisons]
    scale, unit = cluster_time_unit(bound, first)
    figure = new_figure(height=4.3)
    axes = figure.subplots()
    axes.plot(loads, [b / scale for b in bound], color=INK, lw=1.2, ls=(0, (4, 2)))
    ends = [(loads[-1], bound[-1] / scale, "bound", INK)]
    values = [b / scale for b in bound]
    for i, look in enumerate(policy_looks(first.policies)):
        found = [(one.load, e) for one in sweep.comparisons if (e := one.policies[i].mean_latency)]
        if not found:
            continue
        x, y = [load for load, _ in found], [e.value / scale for _, e in found]
        axes.errorbar(x, y, yerr=[e.half_width / scale for _, e in found], capsize=2, elinewidth=1,
                      **look)  # fmt: skip
        stops = " (then unstable)" if len(found) < len(loads) else ""
        ends.append((x[-1], y[-1], first.policies[i].policy + stops, look["color"]))
        values += y
    if max(values) > LOG_FROM * min(values):
        log_axis(axes, "y")
    axes.set_xlabel("load (arrivals over what all servers together can serve)")
    axes.set_ylabel(f"mean completion time, {unit}")
    heading(figure, f"{first.system}: mean completion time over load")
    footnote(figure, cluster_conditions(*sweep.comparisons))
    label_ends(axes, ends)
    return figure


@house()
def tasks_plot(comparison: ClusterComparison) -> "Figure":
    """Tasks in the cluster, mean over replications, in each block of the run."""
    figure = new_figure(height=3.4)
    axes = figure.subplots()
    axes.axvspan(0, comparison.warmup, color="#f2f2f2", lw=0, zorder=0)
    drawn = [p for p in comparison.policies if p.total_over_time.size]
    ends = []
    for p, look in zip(comparison.policies, policy_looks(comparison.policies), strict=True):
        if p not in drawn:
            continue
        axes.plot(comparison.times, p.total_over_time, lw=1.2, **(look | {"marker": None}))
        unstable = " (unstable)" if p.status == "unstable" else ""
        end = float(comparison.times[-1]), float(p.total_over_time[-1])
        ends.append((*end, p.policy + unstable, look["color"]))
    axes.set_xlim(0, float(comparison.times[-1]))
    axes.set_ylim(bottom=0)
    axes.set_xlabel(f"time, {comparison.unit}")
    axes.set_ylabel("tasks in the cluster")
    footnote(figure, cluster_conditions(comparison))
    label_ends(axes, ends)
    return figure
