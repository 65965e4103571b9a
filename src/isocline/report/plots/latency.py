"""Pictures of a sweep over loads: a line with intervals for each policy, and the bound.

They show the mean latency and, if jobs may leave unserved or late, their fates, as the policy with
the least latency may be the one that serves the fewest.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from isocline.report.conditions import conditions
from isocline.report.plots.end_labels import End, label_ends
from isocline.report.plots.lettering import wrapped
from isocline.report.plots.style import (
    BOUND,
    footnote,
    heading,
    house,
    key,
    new_figure,
    policy_looks,
    say_instead,
    value_axis,
)
from isocline.report.plots.theme import theme
from isocline.report.words import listed, time_unit
from isocline.simulate.common.estimate import Estimate
from isocline.simulate.common.results import LoadSweep
from isocline.simulate.routing.results import Comparison, Sweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Panel(NamedTuple):
    """One quantity of every policy."""

    label: str  # with its unit
    field: str  # of a policy's result
    scale: float  # what is one unit
    bounds: Sequence[float] = ()  # at each load
    bound: str = "bound"  # what it is called

    def estimate(self, policy: object) -> Estimate | None:
        """Value of one policy; None if it was not measured."""
        found: Estimate | None = getattr(policy, self.field)
        return found


def service_panels(comparisons: Sequence[Comparison]) -> list[Panel]:
    """Panels on the fates of jobs, if not all are served in time."""
    first = comparisons[0]
    panels: list[Panel] = []
    if first.patience is not None or first.deadline is not None:
        panels.append(Panel("goodput, jobs/s", "goodput", 1.0))
    if first.patience is not None:
        panels.append(Panel("jobs that gave up, %", "abandoned", 0.01))
    if first.deadline is not None:
        panels.append(Panel("jobs served late, %", "late", 0.01))
    return panels


@house()
def latency_plot(sweep: Sweep) -> "Figure":
    """Mean latency against load; a dotted line starts at a policy's last stable load."""
    # There is no bound where jobs give up.
    bound = [b for one in sweep.comparisons if not math.isnan(b := one.lower_bound_latency)]
    known_latencies = (p.mean_latency and p.mean_latency.value for p in sweep.results)
    scale, unit = time_unit(bound or known_latencies)
    served = service_panels(sweep.comparisons)
    panels = [
        *served,
        Panel(f"mean latency, {unit}", "mean_latency", scale, bound, sweep.bound_name),
    ]
    system = sweep.comparisons[0].system
    what = "jobs served, and their mean latency, over load" if served else "mean latency over load"
    return over_load(
        sweep,
        panels,
        f"{system}: {what}",
        "load (offered work over capacity)",
        conditions(*sweep.comparisons),
    )


def over_load(
    sweep: LoadSweep[Any], panels: Sequence[Panel], title: str, label: str, small: str
) -> "Figure":
    """Panels in a column; names are beside the lines of one panel, or in a key above several."""
    figure = new_figure(height=4.3 if len(panels) == 1 else 1.4 + 1.75 * len(panels))
    rows = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0].tolist()
    ends: list[End] = []
    for axes, panel in zip(rows, panels, strict=True):
        ends, shown = _draw(axes, sweep, panel)
        value_axis(axes, "y", panel.label, shown)
    wide = figure.get_figwidth() - 1.2  # inches, beside the labels of the other axis
    rows[-1].set_xlabel("\n".join(wrapped(label, wide, 9.0)))
    heading(figure, title)
    missing = [_never_stable(axes, sweep) for axes in rows]
    footnote(figure, missing[0] + small)
    if len(panels) == 1:
        label_ends(rows[0], ends)
    else:
        key(figure, rows[-1].get_legend_handles_labels()[0])
    return figure


def _draw(axes: "Axes", sweep: LoadSweep[Any], panel: Panel) -> tuple[list[End], list[float]]:
    """Draw one panel; returns the ends of its lines, and the values shown."""
    loads = [one.load for one in sweep.comparisons]
    shown = [bound / panel.scale for bound in panel.bounds]
    ends: list[End] = []
    if shown:
        axes.plot(loads, shown, color=theme().ink, label=panel.bound, **BOUND)
        ends.append(End(loads[-1], shown[-1], panel.bound, theme().ink))
    policies = sweep.comparisons[0].results
    for i, (policy, look) in enumerate(zip(policies, policy_looks(policies), strict=True)):
        known = [
            (one.load, estimate)
            for one in sweep.comparisons
            if (estimate := panel.estimate(one.results[i])) is not None
        ]
        if not known:
            continue
        x = [load for load, _ in known]
        y = [e.value / panel.scale for _, e in known]
        half = [e.half_width / panel.scale for _, e in known]
        axes.errorbar(x, y, yerr=half, capsize=2, elinewidth=1, label=policy.policy, **look)
        stops = " (then unstable)" if len(known) < len(loads) else ""
        ends.append(End(x[-1], y[-1], policy.policy, look["color"], stops))
        shown += y
    return ends, shown


def _never_stable(axes: "Axes", sweep: LoadSweep[Any]) -> str:
    """Sentence on policies without a line, for the small print; "" if all have one.

    Empty axes get a text instead.
    """
    if len(sweep.comparisons) == 1:
        axes.set_xticks([sweep.comparisons[0].load])
    if not axes.lines:
        say_instead(axes, "no policy is stable at any of these loads")
    of_each = zip(*(one.results for one in sweep.comparisons), strict=True)
    missing = [found[0].policy for found in of_each if all(p.mean_latency is None for p in found)]
    return f"No line, since unstable at each of these loads: {listed(missing)}. " if missing else ""
