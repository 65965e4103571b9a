"""Pictures of distributions of latencies: quantiles on a scale of nines, which shows tails."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from isocline.report.conditions import cluster_conditions, cluster_time_unit, conditions
from isocline.report.plots.end_labels import End, label_ends
from isocline.report.plots.style import (
    footnote,
    heading,
    house,
    is_narrow,
    new_figure,
    policy_looks,
    say_instead,
    value_axis,
)
from isocline.report.words import time_unit
from isocline.simulate.routing.results import Comparison
from isocline.simulate.scheduling.results import ClusterComparison

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SHARES = (0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999)
_FIRST = 0.1  # share from which a line is drawn


class Quantiles(NamedTuple):
    """A line of a picture."""

    name: str
    curve: Sequence[tuple[float, float]]  # (share, time in s not exceeded by it)
    look: dict[str, Any]  # style of the line


@house()
def latencies_plot(comparison: Comparison | ClusterComparison) -> "Figure":
    """Latencies, or completion times of tasks, of each policy with a steady state."""
    figure = new_figure(height=4.0)
    policies = comparison.policies
    lines = [
        Quantiles(policy.policy, policy.latency_curve, look | {"marker": None})
        for policy, look in zip(policies, policy_looks(policies), strict=True)
        if policy.latency_curve
    ]
    tails = [p.p95 and p.p95.value for p in policies]
    if isinstance(comparison, ClusterComparison):
        heading(figure, f"{comparison.system}: distribution of completion times")
        scale, unit = cluster_time_unit(tails, comparison)
        footnote(figure, cluster_conditions(comparison))
        what = "completion time"
    else:
        heading(figure, f"{comparison.system}: distribution of latencies")
        scale, unit = time_unit(tails)
        footnote(figure, conditions(comparison))
        what = "latency"
    draw_quantiles(figure.subplots(), lines, f"{what}, {unit}", scale, "no policy was timed")
    return figure


def draw_quantiles(
    axes: "Axes", lines: Sequence[Quantiles], label: str, scale: float, instead: str
) -> None:
    """Draw lines with their names; call it after heading and small print are set.

    Args:
        axes: The only axes of the figure.
        lines: Lines without times of 0, which a logarithmic axis cannot show.
        label: Label of the times.
        scale: Seconds in the label's unit.
        instead: Text if there is nothing to draw.
    """
    ends: list[End] = []
    seen: list[float] = []
    for line in lines:
        known = [
            (1.0 / (1.0 - share), time / scale)
            for share, time in line.curve
            if time > 0 and share >= _FIRST
        ]
        if known:
            x, y = zip(*known, strict=True)
            axes.plot(x, y, **line.look)
            seen += y
            ends.append(End(x[-1], y[-1], line.name, line.look["color"]))
    axes.set_xscale("log")
    last = max((x for x, *_ in ends), default=10.0)
    step = 2 if is_narrow() else 1
    ticks = [share for share in _SHARES[::step] if 1.0 / (1.0 - share) <= last]
    axes.set_xticks(
        [1.0 / (1.0 - s) for s in ticks], [f"{100 * s:g} %" for s in ticks], minor=False
    )
    axes.set_xticks([], minor=True)
    axes.set_xlabel("share that is at most as long (log scale)")
    value_axis(axes, "y", label, seen)
    if not ends:
        say_instead(axes, instead)
    label_ends(axes, ends)
