"""Mean latency against load: one line per policy with intervals, and the bound."""

import math
from typing import TYPE_CHECKING

from isocline.report.conditions import conditions
from isocline.report.plots.end_labels import End, label_ends
from isocline.report.plots.over_load import never_stable
from isocline.report.plots.style import (
    BOUND,
    footnote,
    heading,
    house,
    new_figure,
    policy_looks,
    value_axis,
)
from isocline.report.plots.theme import theme
from isocline.report.words import time_unit
from isocline.simulate.routing.results import Sweep

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@house()
def latency_plot(sweep: Sweep) -> "Figure":
    """Loads without a steady state are left out: a dotted line leads from a policy's last one."""
    loads = [one.load for one in sweep.comparisons]
    # There is no bound where jobs give up.
    bound = [b for one in sweep.comparisons if not math.isnan(b := one.lower_bound_latency)]
    known_latencies = (p.mean_latency and p.mean_latency.value for p in sweep.results)
    scale, unit = time_unit(bound or known_latencies)
    figure = new_figure(height=4.3)
    axes = figure.subplots()
    ends: list[End] = []
    if bound:
        axes.plot(loads, [b / scale for b in bound], color=theme().ink, **BOUND)
        ends.append(End(loads[-1], bound[-1] / scale, "bound", theme().ink))
    values = [b / scale for b in bound]
    policies = sweep.comparisons[0].policies
    for i, (policy, look) in enumerate(zip(policies, policy_looks(policies), strict=True)):
        known = [
            (one.load, estimate)
            for one in sweep.comparisons
            if (estimate := one.policies[i].mean_latency) is not None
        ]
        if not known:
            continue
        x = [load for load, _ in known]
        y = [e.value / scale for _, e in known]
        half = [e.half_width / scale for _, e in known]
        axes.errorbar(x, y, yerr=half, capsize=2, elinewidth=1, **look)
        stops = " (then unstable)" if len(known) < len(loads) else ""
        ends.append(End(x[-1], y[-1], policy.policy, look["color"], stops))
        values += y
    axes.set_xlabel("load (offered work over capacity)")
    value_axis(axes, "y", f"mean latency, {unit}", values)
    heading(figure, f"{sweep.comparisons[0].system}: mean latency over load")
    footnote(figure, never_stable(axes, sweep) + conditions(*sweep.comparisons))
    label_ends(axes, ends)
    return figure
