"""The files of a cluster's plan: its picture and its data."""

from pathlib import Path

from isocline.report.export.files import write_picture, write_rows
from isocline.theory.scheduling.plan_records import NearDataPlan


def write_near_data_plan(plan: NearDataPlan, directory: Path) -> list[Path]:
    """Write plan.png and .svg, servers.csv and, if anybody helps, helps.csv."""
    from isocline.report.plots.near_data import near_data_picture  # noqa: PLC0415 - matplotlib

    data = [write_rows(directory / "servers.csv", plan.rows())]
    if plan.helps:
        helps = (entry._asdict() for entry in plan.helps)
        data.append(write_rows(directory / "helps.csv", helps))
    return [*write_picture(near_data_picture(plan), directory, "plan"), *data]
