"""Policies compared live: latency over the optimum, and jobs beside those of the optimum."""

from typing import TYPE_CHECKING

import numpy as np

from isocline.demo.results import LiveComparison
from isocline.report.live_table import live_conditions
from isocline.report.style import (
    BOUND,
    footnote,
    heading,
    house,
    key,
    new_figure,
    policy_looks,
    value_axis,
)
from isocline.report.theme import theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@house()
def live_plot(found: LiveComparison) -> "Figure":
    """Mean and 99th percentile over the optimum's mean on the left, jobs on the right."""
    figure = new_figure(height=2.7 + 0.32 * len(found.policies))
    left, right = figure.subplots(1, 2)
    _latencies(left, found)
    _jobs(right, found)
    heading(figure, "Measured live: latency over the optimum, and jobs at each backend")
    key(figure, left.get_legend_handles_labels()[0])
    footnote(figure, live_conditions(found))
    return figure


def _latencies(axes: "Axes", found: LiveComparison) -> None:
    """A dot with its interval for the mean, a bar for the percentile; the key of both panels."""
    colors = theme()
    bound, count = found.lower_bound_latency, len(found.policies)
    for y, (policy, look) in enumerate(
        zip(found.policies, policy_looks(found.policies), strict=True)
    ):
        ratio = policy.ratio_to_bound
        axes.errorbar(ratio.value, y, xerr=ratio.half_width, fmt=look["marker"],
                      color=look["color"], ms=3.5, capsize=3, elinewidth=1)  # fmt: skip
        axes.plot(policy.p99 / bound, y, "|", color=look["color"], ms=8, mew=1.6)
        axes.plot([], [], look["marker"], color=look["color"], ms=3.5, label=policy.policy)
    axes.plot([], [], "|", color=colors.ink, ms=8, mew=1.6, label="99th percentile")
    axes.axvline(1.0, color=colors.ink, **BOUND)
    axes.plot([], [], color=colors.ink, label="optimum", **BOUND)
    axes.set_yticks(range(count), [policy.policy for policy in found.policies])
    axes.set_ylim(count - 0.5, -0.9)  # the first on top
    tails = [policy.p99 / bound for policy in found.policies]
    value_axis(axes, "x", "latency over the optimum's mean", [1.0, *tails])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _jobs(axes: "Axes", found: LiveComparison) -> None:
    """A line at the optimum of each backend, and a dot for each policy, coloured as on the left."""
    places, count = np.arange(len(found.backends)), len(found.policies)
    axes.hlines(found.optimal_jobs, places - 0.4, places + 0.4, color=theme().ink, lw=1.2,
                linestyles=BOUND["ls"])  # fmt: skip
    shifts = np.linspace(-0.3, 0.3, count)
    for policy, shift, look in zip(
        found.policies, shifts, policy_looks(found.policies), strict=True
    ):
        axes.plot(places + shift, policy.jobs, look["marker"], color=look["color"], ms=3.5)
    axes.set_xticks(places, found.backends)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("mean jobs at the backend")
