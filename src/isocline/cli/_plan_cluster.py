"""`isocline plan` for a file of kind near-data."""

from pathlib import Path
from typing import TYPE_CHECKING

from isocline.cli import _output
from isocline.cli._waiting import waiting

if TYPE_CHECKING:
    from isocline.model.cluster import Cluster


def plan_cluster(cluster: "Cluster", as_json: bool, out: Path | None) -> bool:
    """Show and write the plan; whether the load is stable."""
    from isocline.theory.scheduling.near_data_plan import near_data_plan

    # A variance of its own is that of numbers per slot.
    own = cluster.arrivals.dispersion != 1.0
    with waiting("planning"):
        plan = near_data_plan(cluster, clock="slotted" if own else "continuous")
    if as_json:
        _output.show_json(plan.to_dict())
    else:
        from isocline.report.tables.near_data import near_data_report

        _output.show(near_data_report(plan))
    if out:
        from isocline.report.export.near_data import write_near_data_plan

        _output.say_written(write_near_data_plan(plan, out))
    return plan.status == "stable"
