"""Pictures of a sweep, over load: what they say of policies that have no line."""

from typing import TYPE_CHECKING, Any

from isocline.report.plots.style import say_instead
from isocline.report.words import listed
from isocline.simulate.routing.results import LoadSweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def never_stable(axes: "Axes", sweep: LoadSweep[Any]) -> str:
    """Which policies have no line, to be said below the picture; "" if all have one.

    Axes on which there is nothing at all say so themselves.
    """
    if len(sweep.comparisons) == 1:
        axes.set_xticks([sweep.comparisons[0].load])
    if not axes.lines:
        say_instead(axes, "no policy is stable at any of these loads")
    of_each = zip(*(one.policies for one in sweep.comparisons), strict=True)
    missing = [found[0].policy for found in of_each if all(p.mean_latency is None for p in found)]
    return f"No line, since unstable at each of these loads: {listed(missing)}. " if missing else ""
