"""Pictures and data of clusters, side by side in a directory."""

from collections.abc import Iterable
from pathlib import Path

from isocline.report.files import Row, write_picture, write_rows
from isocline.simulate.cluster.results import ClusterComparison, ClusterSweep


def write_cluster(comparison: ClusterComparison, directory: Path) -> list[Path]:
    """Write policies and tasks (over time), each as .png, .svg and .csv."""
    from isocline.report.cluster_plot import cluster_plot, tasks_plot  # noqa: PLC0415 - matplotlib

    written = write_picture(cluster_plot(comparison), directory, "policies")
    written.append(write_rows(directory / "policies.csv", comparison.rows()))
    if any(policy.total_over_time.size for policy in comparison.policies):
        written += write_picture(tasks_plot(comparison), directory, "tasks")
        written.append(write_rows(directory / "tasks.csv", _task_rows(comparison)))
    return written


def write_cluster_sweep(sweep: ClusterSweep, directory: Path) -> list[Path]:
    """Write latency.png, .svg and .csv: mean completion time against load."""
    from isocline.report.cluster_plot import load_plot  # noqa: PLC0415

    rows = [row for one in sweep.comparisons for row in one.rows()]
    data = write_rows(directory / "latency.csv", rows)
    return [*write_picture(load_plot(sweep), directory, "latency"), data]


def _task_rows(comparison: ClusterComparison) -> Iterable[Row]:
    drawn = [policy for policy in comparison.policies if policy.total_over_time.size]
    for i, time in enumerate(comparison.times):
        yield {"time": time} | {policy.policy: policy.total_over_time[i] for policy in drawn}
