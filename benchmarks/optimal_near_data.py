"""How far scheduling policies are from the optimum: `python -m benchmarks.optimal_near_data`.

Small clusters are solved exactly by `isocline.theory.scheduling.optimal_policy`, and simulated
under the policies with the same arrivals, in continuous time. Printed is each policy's mean number
of tasks over the least that any policy can have, with its 95 % interval.
`--quick` takes two loads and one rate of remote tasks.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from isocline.errors import RunTooShortError, UsageError
from isocline.model.cluster import Cluster, ExplicitTasks, Rates
from isocline.model.graph import CompatibilityGraph
from isocline.simulate.common.estimate import Estimate
from isocline.simulate.scheduling.compare import simulate_cluster
from isocline.theory.scheduling.near_data_plan import near_data_plan
from isocline.theory.scheduling.optimal_policy import OptimalPolicy, optimal_policy, usual_room

POLICIES = ("late_binding", "local_first", "jsq_maxweight", "balanced_pandas", "fifo")
LOADS = (0.3, 0.5, 0.7, 0.9)
REMOTE = (0.3, 0.5, 0.8)  # over the local rate, which is 1; the rack rate is the geometric mean
MOST_LOST = 1e-3
REPLICATIONS = 5


class System(NamedTuple):
    """Where data is, and how often each type of task comes."""

    name: str
    servers: int
    racks: int
    local: tuple[tuple[int, ...], ...]
    share: tuple[float, ...]

    def cluster(self, remote: float, load: float) -> Cluster:
        """At a share of its capacity."""
        graph = CompatibilityGraph.from_neighbours(self.servers, self.local)
        rates = Rates(1.0, remote, remote**0.5 if self.racks > 1 else None)
        tasks = ExplicitTasks(graph, np.array(self.share) / sum(self.share))
        found = Cluster.numbered(self.servers, rates, tasks, racks=self.racks)
        return found.sped_up(load * near_data_plan(found, replicas_to_try=0).capacity_scale)


SYSTEMS = (
    System("2 servers, 1 replica, even", 2, 1, ((0,), (1,)), (1.0, 1.0)),
    System("2 servers, 1 replica, hot", 2, 1, ((0,), (1,)), (8.0, 2.0)),
    System("2 servers, 1 or 2 replicas", 2, 1, ((0,), (0, 1)), (1.0, 1.0)),
    System("3 servers, 1 without data", 3, 1, ((0,), (1,)), (1.0, 1.0)),
    System("3 servers, 2 replicas in a row", 3, 1, ((0, 1), (1, 2)), (1.0, 1.0)),
    System("3 servers, 1 replica, even", 3, 1, ((0,), (1,), (2,)), (1.0, 1.0, 1.0)),
    System("3 servers, 2 replicas, even", 3, 1, ((0, 1), (1, 2), (0, 2)), (1.0, 1.0, 1.0)),
    System("3 servers, 2 racks, 1 replica", 3, 2, ((0,), (2,)), (1.0, 1.0)),
    System("3 servers, 2 racks, one rack hot", 3, 2, ((0,), (1,)), (1.0, 1.0)),
    System("4 servers, 2 racks, 1 replica", 4, 2, ((0,), (2,)), (1.0, 1.0)),
)


class Case(NamedTuple):
    """One cluster of the grid."""

    system: System
    load: float
    remote: float


def grid(quick: bool) -> Iterator[Case]:
    """All of them, or few."""
    for system in SYSTEMS:
        for load in (0.5, 0.7) if quick else LOADS:
            for remote in (0.5,) if quick else REMOTE:
                yield Case(system, load, remote)


def optimum(cluster: Cluster) -> OptimalPolicy | None:
    """Solve it with as much room as there can be; None if more than 1 in 1000 tasks are lost."""
    room = usual_room(cluster)
    while room > 4:
        try:
            found = optimal_policy(cluster, room)
        except UsageError:
            room = room * 4 // 5
            continue
        return found if found.lost <= MOST_LOST else None
    return None


def ratios(cluster: Cluster, load: float, least: float, seed: int) -> dict[str, Estimate | None]:
    """Mean number of tasks of each policy over the least; None where it is not steady."""
    horizon = round(20_000 / (1.0 - load) ** 1.5) / cluster.arrival_rate
    for policies in (POLICIES, POLICIES[:-1]):  # near its boundary fifo needs far longer runs
        try:
            found = simulate_cluster(
                cluster, policies, percentiles=False, seed=seed, horizon=horizon,
                warmup=horizon / 20, replications=REPLICATIONS, threads=1,
            )  # fmt: skip
        except RunTooShortError:
            continue
        means = {each.policy: each.mean_tasks for each in found.policies}
        return {name: one.over(least) if (one := means.get(name)) else None for name in POLICIES}
    return dict.fromkeys(POLICIES)


def show(results: dict[Case, dict[str, Estimate | None]], means: dict[Case, float]) -> None:
    """Every cluster, then the median and the most at each load."""
    console = Console(width=150)
    table = Table("System", "Load", "Remote", "Least", *POLICIES, title="Mean tasks over the least")
    for case, found in results.items():
        cells = [
            "-" if one is None else f"{one.value:.3f} ± {one.half_width:.3f}"
            for one in found.values()
        ]
        table.add_row(
            case.system.name, f"{case.load:g}", f"{case.remote:g}", f"{means[case]:.4f}", *cells
        )
    console.print(table)
    kinds: dict[tuple[str, float], list[dict[str, Estimate | None]]] = defaultdict(list)
    for case, found in results.items():
        kinds["racks" if case.system.racks > 1 else "no racks", case.load].append(found)
    short = Table("", "Load", "Systems", *POLICIES, title="Median and most")
    for (kind, load), rows in sorted(kinds.items()):
        cells = []
        for name in POLICIES:
            values = [one.value if (one := row[name]) else np.inf for row in rows]
            middle, most = float(np.median(values)), max(values)
            cells.append(f"{middle:.3f} {most:.3f}")
        short.add_row(kind, f"{load:g}", str(len(rows)), *cells)
    console.print(short)


def main() -> None:
    """Run the grid and print; progress goes to stderr."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true", help="two loads, remote rate 0.5")
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    results: dict[Case, dict[str, Estimate | None]] = {}
    means: dict[Case, float] = {}
    cases = list(grid(given.quick))
    for case in track(cases, console=Console(stderr=True)):
        cluster = case.system.cluster(case.remote, case.load)
        if (found := optimum(cluster)) is not None:
            means[case] = found.low
            results[case] = ratios(cluster, case.load, found.low, given.seed)
    print(f"{len(cases) - len(results)} of {len(cases)} clusters are too large to be solved")
    show(results, means)


if __name__ == "__main__":
    main()
