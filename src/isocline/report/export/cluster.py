"""Pictures and data of clusters, side by side in a directory."""

from pathlib import Path

from isocline.report.export.files import total_rows, write_picture, write_rows
from isocline.simulate.scheduling.results import ClusterComparison


def write_cluster(comparison: ClusterComparison, directory: Path) -> list[Path]:
    """Write policies and tasks (over time), each as .png, .svg and .csv."""
    from isocline.report.plots.cluster import cluster_plot, tasks_plot  # noqa: PLC0415 - matplotlib

    written = write_picture(cluster_plot(comparison), directory, "policies")
    written.append(write_rows(directory / "policies.csv", comparison.rows()))
    if any(policy.total_over_time.size for policy in comparison.policies):
        written += write_picture(tasks_plot(comparison), directory, "tasks")
        written.append(
            write_rows(directory / "tasks.csv", total_rows(comparison.times, comparison.policies))
        )
    return written
