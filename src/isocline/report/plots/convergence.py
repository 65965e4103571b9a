"""Picture of Lemma 13 of the GMSR paper for one system: the slack that each kappa leaves."""

from typing import TYPE_CHECKING

import numpy as np

from isocline.report.plots.style import BOUND, footnote, heading, house, key, new_figure
from isocline.report.plots.theme import theme
from isocline.report.words import number
from isocline.theory.routing.convergence import Convergence

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_POINTS = 41  # points of the line; each costs a maximum flow per frontend


@house()
def convergence_picture(record: Convergence) -> "Figure":
    """Largest Delta against kappa, which falls to about 0; the proof's pair as a dot.

    Above 5000 frontends, where Delta is not computed, only the dot is shown.
    """
    figure = new_figure(height=3.4)
    colors = theme()
    heading(figure, f"{record.system.name}: the slack that each κ leaves (Lemma 13)")
    axes = figure.subplots()
    if record.slack is not None:
        kappa = np.linspace(0.02, 1.0, _POINTS) * record.kappa_largest
        slack = [record.slack_at(float(k)) for k in kappa]
        axes.plot(kappa, slack, color=colors.palette[0], label="largest Δ that holds")
    axes.plot(
        record.kappa,
        record.delta,
        "o",
        color=colors.palette[1],
        label="κ and Δ of the proof",
        clip_on=False,
    )
    axes.axvline(record.kappa_largest, color=colors.ink, label="largest κ", **BOUND)
    axes.axhline(0.0, color=colors.faint, lw=0.8)
    axes.set_xlim(0.0, 1.05 * record.kappa_largest)
    axes.set_ylim(bottom=0.0)
    axes.set_xlabel("κ, jobs/s per job")
    axes.set_ylabel("slack Δ, jobs/s")
    footnote(
        figure,
        "Every set of frontends brings at least Δ less than its backends serve at the workloads of "
        f"marginal rate κ. In the end V falls at {number(record.kappa_largest)} /s or faster; "
        f"outside K some workload falls at {number(record.eta)} jobs/s or faster.",
    )
    key(figure, axes.get_legend_handles_labels()[0])
    return figure
