"""Picture of sample paths of scaled systems: each backend's Y = N / c over time."""

from typing import TYPE_CHECKING

from isocline.plural import stem_of
from isocline.report.plots.end_labels import End, label_ends
from isocline.report.plots.style import footnote, heading, house, new_figure
from isocline.report.plots.theme import theme
from isocline.simulate.routing.paths import Paths

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_LINES = 20  # most replications drawn: more would blur
MOST_LABELS = 8  # most backends with a label each: more are labelled by kind


@house()
def paths_plot(paths: Paths) -> "Figure":
    """All backends in one picture, with thin lines for each of the first replications."""
    figure = new_figure(height=3.8)
    colors = theme()
    heading(figure, f"{paths.system} under {paths.policy}: paths of the workloads")
    axes = figure.subplots()
    labelled = len(paths.backends) <= MOST_LABELS
    looks = list(paths.backends if labelled else dict.fromkeys(map(stem_of, paths.backends)))
    drawn = paths.workloads[:MOST_LINES]
    ends = []
    for b, name in enumerate(paths.backends):
        at = looks.index(name if labelled else stem_of(name))
        color = colors.palette[at] if at < len(colors.palette) else colors.faint
        axes.plot(paths.times, drawn[:, :, b].T, lw=0.9 if len(drawn) == 1 else 0.5, color=color)
        ends.append(End(float(paths.times[-1]), float(drawn[:, -1, b].mean()), looks[at], color))
    axes.set_xlim(0, float(paths.times[-1]))
    axes.set_ylim(bottom=0)
    axes.set_xlabel("time, s")
    axes.set_ylabel(
        "jobs at a backend" if paths.scale == 1 else f"jobs at a backend / {paths.scale:g}"
    )
    shown = f"Replications 0 to {len(drawn) - 1}" if len(drawn) > 1 else "Replication 0"
    footnote(
        figure,
        f"{paths.source}, scale {paths.scale:g}. {shown}, seed {paths.seed}.",
    )
    one_each = {end.name: end for end in ends}
    label_ends(axes, list(one_each.values()))
    return figure
