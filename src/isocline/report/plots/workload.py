"""Pictures of workloads over time: the total by policy, and each backend's in one replication."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from isocline.plural import stem_of
from isocline.report.conditions import conditions
from isocline.report.plots.end_labels import End, label_ends
from isocline.report.plots.lettering import SMALL, shortened
from isocline.report.plots.style import (
    BOUND,
    LOG_FROM,
    PANEL,
    footnote,
    heading,
    house,
    key,
    log_above,
    new_figure,
    panels_in_rows,
    policy_looks,
)
from isocline.report.plots.theme import theme
from isocline.simulate.common.results import FloatArray
from isocline.simulate.routing.results import Comparison, PolicyResult
from isocline.simulate.scheduling.results import ClusterComparison, SchedulingResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LINEAR = 10.0  # jobs up to which a logarithmic axis is linear
_ROOM = 1.25  # an unstable policy may leave the frame this far above the highest stable one


@house()
def total_plot(comparison: Comparison) -> "Figure":
    """Jobs in the whole system over time, as means over replications in each block."""
    figure = new_figure(height=4.2)
    axes = figure.subplots()
    _shade_warmup(axes, comparison)
    end = float(comparison.times[-1])
    ends = []
    if not math.isnan(comparison.lower_bound):
        axes.axhline(comparison.lower_bound, color=theme().ink, **BOUND)
        ends = [End(end, comparison.lower_bound, comparison.bound_name, theme().ink)]
    drawn = [p for p in comparison.policies if p.total_over_time.size]
    _set_height(axes, drawn, [p.total_over_time for p in drawn], "jobs in the system")
    ends += draw_totals(axes, comparison)
    axes.set_xlabel("time, s")
    heading(figure, f"{comparison.system}: jobs in the system over time")
    footnote(figure, conditions(comparison, over_time=True))
    label_ends(axes, ends)
    return figure


def draw_totals(axes: "Axes", comparison: Comparison | ClusterComparison) -> list[End]:
    """Draw the total of each policy that was run, in a comparison of either kind."""
    ends, last = [], float(comparison.times[-1])
    policies: Sequence[PolicyResult | SchedulingResult] = comparison.policies
    for p, look in zip(policies, policy_looks(policies), strict=True):
        if not p.total_over_time.size:  # unstable by theory, and not run
            continue
        axes.plot(comparison.times, p.total_over_time, lw=1.2, **(look | {"marker": None}))
        unstable = " (unstable)" if p.status == "unstable" else ""
        ends.append(End(last, float(p.total_over_time[-1]), p.policy, look["color"], unstable))
    axes.set_xlim(0, last)
    return ends


@house()
def workload_plot(comparison: Comparison) -> "Figure":
    """One panel per policy, one line per backend, in the first replication."""
    drawn = [p for p in comparison.policies if p.workloads_over_time.size]
    rows, columns = panels_in_rows(len(drawn))
    figure = new_figure(height=1.7 + 1.5 * rows)
    heading(figure, f"{comparison.system}: jobs at each backend over time")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    colors = _colors(comparison.backends)
    for axes, policy in zip(panels, drawn, strict=False):
        _shade_warmup(axes, comparison)
        for b, name in enumerate(comparison.backends):
            axes.plot(comparison.times, policy.workloads_over_time[:, b], lw=0.9,
                      color=colors[stem_of(name)])  # fmt: skip
        axes.set_title(shortened(policy.policy, PANEL / columns, weight="bold"), fontsize=SMALL)
    for axes in panels[len(drawn) :]:
        axes.remove()
    _set_height(panels[0], drawn, [p.workloads_over_time for p in drawn], "jobs at a backend")
    words = panels[0].get_ylabel()
    panels[0].set_ylabel("")
    panels[0].set_xlim(0, float(comparison.times[-1]))
    for axes in panels[: len(drawn)]:  # ticks everywhere, as rows are read one by one
        axes.tick_params(labelleft=True, labelbottom=True)
    for axes in panels[max(len(drawn) - columns, 0) : len(drawn)]:  # the lowest of each column
        axes.set_xlabel("time, s")
    figure.supylabel(words, fontsize=9)
    footnote(figure, f"Replication 0. {conditions(comparison, over_time=True)}")
    key(figure, [panels[0].plot([], [], color=c, label=kind)[0] for kind, c in _named(colors)])
    return figure


def _shade_warmup(axes: "Axes", comparison: Comparison) -> None:
    axes.axvspan(0, comparison.warmup, color=theme().shade, lw=0, zorder=0)


def _set_height(
    axes: "Axes", policies: Sequence[PolicyResult], series: Sequence[FloatArray], label: str
) -> None:
    """Set limits that show all of the stable policies, and a scale that shows small values."""
    stable = [values for p, values in zip(policies, series, strict=True) if p.status != "unstable"]
    tops = [float(values.max()) for values in stable or series]
    top = max(tops) * (_ROOM if len(stable) < len(series) else 1.05)
    if top > LOG_FROM * _LINEAR and max(tops) > LOG_FROM * min(tops):
        log_above(axes, _LINEAR, label)  # workloads can be 0
    else:
        axes.set_ylabel(label)
    axes.set_ylim(0.0, top)


def _named(colors: dict[str, str]) -> list[tuple[str, str]]:
    """Kinds with their own colours, and one entry for all others."""
    most = len(theme().palette)
    named, others = list(colors.items())[:most], len(colors) - most
    return [*named, (f"{others} others", theme().faint)] if others > 0 else named


def _colors(names: tuple[str, ...]) -> dict[str, str]:
    """Colour of each kind of backend; kinds beyond the palette share one."""
    kinds, colors = list(dict.fromkeys(map(stem_of, names))), theme()
    most = len(colors.palette)
    return {kind: colors.palette[i] if i < most else colors.faint for i, kind in enumerate(kinds)}
