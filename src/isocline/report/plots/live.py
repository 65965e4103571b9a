"""Picture of policies compared live: latency over the optimum, and jobs at each backend."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from isocline.demo.results import LiveComparison
from isocline.plural import counted
from isocline.report.plots.style import (
    BOUND,
    footnote,
    heading,
    house,
    key,
    name_rows,
    new_figure,
    policy_looks,
    value_axis,
)
from isocline.report.plots.theme import theme
from isocline.report.tables.live import live_conditions

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_BACKENDS = 24  # rows of a picture that fits a page
_FRAME, _ROW, _BACKEND = 2.3, 0.32, 0.34  # inches; a backend has dots side by side
_NAME = 1.4  # inches: two columns of names leave so much to each


@house()
def live_plot(found: LiveComparison) -> "Figure":
    """Mean and 99th percentile over the optimum's mean on the left, jobs on the right."""
    shown = _that_differ(found)
    rows = max(_ROW * len(found.policies), _BACKEND * len(shown))
    figure = new_figure(height=_FRAME + rows)
    left, right = figure.subplots(1, 2)
    _latencies(left, found)
    _jobs(right, found, shown)
    heading(figure, f"Fleet {found.fleet}, measured live: latency over the optimum, and jobs")
    hidden = len(found.backends) - len(shown)
    footnote(
        figure,
        live_conditions(found)
        + (
            f" Left out, as closest to the optimum: {counted(hidden, 'backend')}." if hidden else ""
        ),
    )
    key(figure, left.get_legend_handles_labels()[0])
    return figure


def _latencies(axes: "Axes", found: LiveComparison) -> None:
    """Draw a dot with interval for the mean, a bar for the percentile, and the key."""
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
    name_rows(axes, [policy.policy for policy in found.policies], _NAME)
    axes.set_ylim(count - 0.5, -0.9)  # the first on top
    tails = [policy.p99 / bound for policy in found.policies]
    value_axis(axes, "x", "latency over the optimum's mean", [1.0, *tails])


def _that_differ(found: LiveComparison) -> list[int]:
    """The backends whose jobs differ most from the optimum's, in the order of the fleet."""
    jobs = np.array([policy.jobs for policy in found.policies])
    apart = np.abs(jobs - np.array(found.optimal_jobs)).max(axis=0)
    return sorted(np.argsort(-apart, kind="stable")[:_MOST_BACKENDS].tolist())


def _jobs(axes: "Axes", found: LiveComparison, shown: Sequence[int]) -> None:
    """Draw a line at each backend's optimum, and a dot per policy, coloured as on the left."""
    places, count = np.arange(len(shown)), len(found.policies)
    optimum = [found.optimal_jobs[b] for b in shown]
    axes.vlines(optimum, places - 0.4, places + 0.4, color=theme().ink, lw=1.2,
                linestyles=BOUND["ls"])  # fmt: skip
    shifts = np.linspace(-0.3, 0.3, count) if count > 1 else np.zeros(1)
    for policy, shift, look in zip(
        found.policies, shifts, policy_looks(found.policies), strict=True
    ):
        jobs = [policy.jobs[b] for b in shown]
        axes.plot(jobs, places + shift, look["marker"], color=look["color"], ms=3.5)
    name_rows(axes, [found.backends[b] for b in shown], _NAME)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.set_xlabel("mean jobs at the backend")
    axes.grid(visible=False, axis="y")
