"""How fast clusters are simulated, on one core: `python -m benchmarks.cluster_simulation`.

Every figure is the median of three stretches of one long run, in tasks (arrivals) per second of the
processor, compiling and setting up not counted. Goals are this project's own.
"""

import os
import platform
import resource
import statistics
import time
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.table import Table

from isocline.model.cluster import Cluster, Rates, SampledTasks
from isocline.policies.parse import scheduling_policy as parse
from isocline.policies.scheduling import ALL
from isocline.simulate.common.replication import Run
from isocline.simulate.common.run_settings import CLOCKS
from isocline.simulate.scheduling.engine import ClusterEngine
from isocline.simulate.scheduling.engines import EventEngine, engine_for
from isocline.simulate.scheduling.kernels import state
from isocline.simulate.scheduling.prepare import prepare_cluster
from isocline.simulate.scheduling.run_settings import ClusterRunSettings

ROUNDS = 3
LOAD = 0.95
MANY = 1_000_000
# (case, speed, goal in words, whether it is met)
Row = tuple[str, str, str, bool | None]


def cluster(servers: int) -> Cluster:
    """Three uniform replicas, slowdown 2, evenly loaded: the near-data paper, Section 6."""
    return Cluster.numbered(servers, Rates(1.0, 0.5), SampledTasks(3, LOAD * servers))


def engine(servers: int, clock: Any, percentiles: bool, policy: str = "local_first") -> Any:
    """At the paper's own reading of what is local."""
    run = ClusterRunSettings(1.0, percentiles=percentiles, clock=clock, level="queue")
    return engine_for(Run(prepare_cluster(cluster(servers)), parse(policy), run))


def stretches(run: ClusterEngine, tasks: float, rounds: int = ROUNDS) -> float:
    """Seconds per task: the median over stretches of about `tasks` each, after a tenth of that."""
    length = max(round(tasks / run.prepared.cluster.arrival_rate), 1)
    end = max(length // 10, 1)
    run.advance(end)
    found = []
    for _ in range(rounds):
        end += length
        before, started = int(run.count[state.ARRIVALS]), time.process_time()
        run.advance(end)
        passed = time.process_time() - started
        found.append(passed / (int(run.count[state.ARRIVALS]) - before))
    return statistics.median(found)


def local_first() -> Iterator[Row]:
    """The paper's policy, by clock: means, percentiles, and a thousand times the servers."""
    for clock in CLOCKS:
        case = f"local_first, 1 000 servers, {clock}"
        small = stretches(engine(1000, clock, percentiles=False), 1e7)
        yield f"{case}: means", f"{1e-6 / small:.1f} M/s", "≥ 15 M/s", small <= 1e-6 / 15
        timed = stretches(engine(1000, clock, percentiles=True), 1e7)
        yield f"{case}: percentiles", f"{1e-6 / timed:.1f} M/s", "≥ 8 M/s", timed <= 1e-6 / 8
        large = stretches(engine(MANY, clock, percentiles=False), 1e7)
        ratio = large / small
        yield "  a task at 10⁶ servers", f"{large * 1e9:.0f} ns, {ratio:.1f} ×", "≤ 4 ×", ratio <= 4


def hundred_million() -> Iterator[Row]:
    """10⁸ tasks on 10⁶ servers, from nothing, setting up included."""
    for clock in CLOCKS:
        started = time.process_time()
        run = engine(MANY, clock, percentiles=False)
        run.advance(round(1e8 / run.prepared.cluster.arrival_rate))
        seconds = time.process_time() - started
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        case = f"10⁸ tasks, 10⁶ servers, {clock}"
        yield case, f"{seconds:.0f} s", "< 60 s", seconds < 60
        yield "  memory at most", f"{memory:.1f} GB", "< 2 GB", memory < 2


def others() -> Iterator[Row]:
    """All policies, percentiles included, and any law of service."""
    for policy in ALL:
        # At this load some of them have no steady state: then the queues are long, too.
        speed = stretches(engine(1000, "continuous", True, policy), 2e6)
        yield f"{policy}, continuous, percentiles", f"{1e-6 / speed:.1f} M/s", "", None
    run = ClusterRunSettings(1.0)
    general = EventEngine(Run(prepare_cluster(cluster(1000)), parse("local_first"), run))
    speed = stretches(general, 3e6)
    yield "local_first, an end scheduled for each task", f"{1e-6 / speed:.1f} M/s", "", None


def main() -> None:
    """Measure and print; a goal that is missed is printed as missed."""
    table = Table(
        "Case", "Speed", "Goal", "Met",
        title="Simulation of clusters, one core",
        caption=f"load {LOAD}, 3 replicas; {platform.machine()}, Python "
        f"{platform.python_version()}; {os.getloadavg()[0]:.1f} cores busy at the start",
    )  # fmt: skip
    for case in (hundred_million, local_first, others):
        for name, speed, goal, met in case():
            reached = {True: "yes", False: "[bold]no[/bold]", None: ""}[met]
            table.add_row(name, speed, goal, reached)
        table.add_section()
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
