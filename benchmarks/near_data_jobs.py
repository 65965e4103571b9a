"""Near-data scheduling of real jobs: `python -m benchmarks.near_data_jobs TRACE [DIRECTORY]`.

TRACE is a SWIM file with input paths, such as FB-2010_samples_24_times_1hr_withInputPaths_0.tsv of
SWIMProjectUCB/SWIM. Its busiest hour runs on 200 servers in 10 racks, with one, two and three
replicas of each chunk, under every policy; local tasks take 0.5 s. Printed are what the plan says
of the hour and of its minutes, and what tasks and jobs take; a picture goes to DIRECTORY.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from isocline.model.cluster import Cluster, ExplicitTasks, Rates, SampledTasks
from isocline.model.cluster.blocks import BlockTrace
from isocline.model.cluster.swim import read_swim
from isocline.policies.scheduling import ALL
from isocline.simulate.common.estimate import Estimate
from isocline.simulate.scheduling.compare import simulate_cluster
from isocline.simulate.scheduling.results import ClusterComparison
from isocline.theory.scheduling.near_data_plan import near_data_plan

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HOUR, WINDOW = 3600.0, 60.0
REPLICAS = (1, 2, 3)
RATES = Rates(local=2.0, rack=1.6, remote=1.0)
CLUSTER = Cluster.numbered(200, RATES, SampledTasks(1, 1.0), racks=10, name="Facebook 2010")
ENOUGH = 1000  # tasks in a window, for its capacity to mean something


def capacities(hour: BlockTrace, replicas: int) -> list[float]:
    """Capacity for the mixture of each window, over what it were if all could be local."""
    holders = hour.place(CLUSTER, replicas)
    found = []
    for start in np.arange(0.0, HOUR, WINDOW):
        low, high = np.searchsorted(hour.times, [start, start + WINDOW])
        ranges = [
            np.arange(first, first + count)
            for first, count in zip(hour.first_chunk[low:high], hour.blocks[low:high], strict=True)
        ]
        if not ranges or (rows := holders[np.concatenate(ranges)]).shape[0] < ENOUGH:
            continue
        tasks = ExplicitTasks.from_rows(200, rows, np.full(len(rows), 1.0 / WINDOW))
        cluster = Cluster(CLUSTER.servers, CLUSTER.rack, CLUSTER.racks, RATES, tasks)
        scale = near_data_plan(cluster, replicas_to_try=0).capacity_scale
        found.append(scale * cluster.arrival_rate / (200 * RATES.local))
    return found


def show(replicas: int, found: ClusterComparison) -> None:
    """One line per policy."""
    for p in found.policies:
        if p.jobs is None or p.mean_latency is None or p.local_share is None:
            print(f"{replicas:>8}  {p.policy:18} unstable")
            continue
        jobs = p.jobs
        p50, p99 = (e.value if e else float("nan") for e in (jobs.p50, jobs.p99))
        far = [abs(s.value) if s else 0.0 for s in (p.rack_share, p.remote_share)]
        print(
            f"{replicas:>8}  {p.policy:18}{p.mean_latency.value:>9.2f}{jobs.mean.value:>9.2f}"
            f" ±{jobs.mean.half_width:>5.2f}{p50:>9.2f}{p99:>9.1f}{100 * p.local_share.value:>8.1f}"
            f"{100 * far[0]:>7.1f}{100 * far[1]:>8.1f}",
            flush=True,
        )


def draw(results: dict[int, ClusterComparison], directory: Path) -> None:
    """Mean latency of jobs and share of tasks run elsewhere, by policy and replicas."""
    from isocline.report.conditions import cluster_conditions
    from isocline.report.export.files import write_picture
    from isocline.report.plots.style import footnote, house, new_figure

    with house():
        figure = new_figure(height=3.8)
        jobs, elsewhere = figure.subplots(1, 2, sharey=True)
        policies = [p.policy for p in results[REPLICAS[0]].policies]
        latency, away = {}, {}
        for replicas, found in results.items():
            for y, p in enumerate(found.policies):
                if p.jobs is not None and p.local_share is not None:
                    latency[replicas, y] = p.jobs.mean
                    far = 100.0 - p.local_share.over(0.01).value
                    away[replicas, y] = Estimate(far, far, far)
        dots(jobs, latency)
        dots(elsewhere, away)
        jobs.set_yticks(range(len(policies)), policies)
        jobs.invert_yaxis()
        jobs.set_xlabel("mean latency of jobs, s")
        elsewhere.set_xlabel("tasks that ran where their data was not, %")
        figure.legend(*jobs.get_legend_handles_labels(), loc="outside upper center", ncols=3)
        # What all have in common is said once, and the replicas of the first are not that.
        said = cluster_conditions(*results.values())
        footnote(figure, said.replace("1 replica of each", "1 to 3 replicas of each"))
        write_picture(figure, directory, "near_data_jobs")


def dots(axes: "Axes", values: dict[tuple[int, int], Estimate]) -> None:
    """One for each policy; what lies beyond a gap of a factor of 3 is written at the border."""
    from isocline.report.plots.theme import theme

    colors = theme().palette

    ordered = np.sort([e.value for e in values.values()])
    gaps = np.flatnonzero((ordered[1:] > 3.0 * ordered[:-1]) & (ordered[:-1] > 0.0))
    edge = ordered[gaps[-1]] if gaps.size else ordered[-1]
    for (replicas, y), e in values.items():
        i = REPLICAS.index(replicas)
        if e.value > edge:
            axes.annotate(
                f"{e.value:,.0f}", (0.9 - 0.15 * i, y), xycoords=("axes fraction", "data"),
                va="center", ha="right", color=colors[i], fontsize=8,
            )  # fmt: skip
            continue
        name = f"{replicas} replica{'s' if replicas > 1 else ''}" if y == 0 else None
        axes.errorbar(e.value, y, xerr=e.half_width, fmt="os^"[i], color=colors[i], ms=4,
                      capsize=2, label=name)  # fmt: skip
    axes.grid(axis="y", color=theme().faint, lw=0.3)


def main(path: str, directory: str | None = None) -> None:
    hour = read_swim(path).busiest(HOUR)
    print(f"{hour.name}: {hour.jobs:,} jobs, {hour.tasks:,} tasks in the busiest hour")
    for replicas in REPLICAS:
        found = np.array(capacities(hour, replicas))
        print(
            f"{replicas} replica(s): capacity over that with all data everywhere, in windows of "
            f"{WINDOW:g} s: median {np.median(found):.3f}, least {found.min():.3f}"
        )
    print(
        f"{'replicas':>8}  {'policy':18}{'task, s':>9}{'job, s':>9}{'':7}{'p50':>9}{'p99':>9}"
        f"{'local %':>8}{'rack':>7}{'remote':>8}"
    )
    results = {}
    for replicas in REPLICAS:
        results[replicas] = simulate_cluster(
            CLUSTER, tuple(ALL), trace=hour, replicas=replicas, replications=5
        )
        show(replicas, results[replicas])
    if directory:
        draw(results, Path(directory))


if __name__ == "__main__":
    main(*sys.argv[1:])
