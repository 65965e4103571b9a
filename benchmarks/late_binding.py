"""Where late binding is slower than the paper's policy: `python -m benchmarks.late_binding`.

Every system of a grid is simulated under `local_first`, as in the near-data paper, and under
`late_binding`, with the same arrivals and, in continuous time, the same service draws. Printed are,
for each clock and kind of system, quantiles of the ratio of mean completion times, and every system
in which the ratio is above 1 beyond its 95 % interval. `--quick` takes a small part of the grid.
"""

import argparse
import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from isocline.errors import RunTooShortError
from isocline.model.cluster import Cluster, HotSpot, Rates, SampledTasks, ServiceLaw
from isocline.model.traffic import DeterministicSizes, ExponentialSizes, LognormalSizes
from isocline.policies.scheduling.contract import SchedulingPolicy
from isocline.simulate.common.estimate import Estimate
from isocline.simulate.common.run_settings import Clock
from isocline.simulate.scheduling.compare import simulate_cluster

LOADS = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95)
OTHER_LOADS = (0.7, 0.95)  # for the laws of service other than the exponential one
QUICK_LOADS = (0.5, 0.8, 0.95)
HOT = HotSpot(servers=0.5, share=0.8)  # near-data paper, Section 6
RACKS = {8: 4, 100: 10}  # servers: racks
LAWS: dict[str, ServiceLaw] = {
    "exponential": ExponentialSizes(),
    "deterministic": DeterministicSizes(),
    "lognormal": LognormalSizes(1.5),
}
# Tasks in each of the replications, the first third discarded; few servers are noisier.
TASKS = {8: 120_000, 100: 60_000}
REPLICATIONS = 5


class Case(NamedTuple):
    """One system of the grid."""

    clock: Clock
    law: str
    servers: int
    racks: bool
    replicas: int
    slowdown: float
    hot: bool
    load: float

    @property
    def kind(self) -> tuple[str, str]:
        """By what the results are grouped."""
        where = "racks" if self.racks else "no racks"
        replicas = "1 replica" if self.replicas == 1 else "2 or 3 replicas"
        return self.clock, f"{where}, {replicas}"

    @property
    def name(self) -> str:
        """In words."""
        spot = "hot" if self.hot else "even"
        return (
            f"{self.clock} {self.law}, {self.servers} servers, {'racks, ' * self.racks}"
            f"{self.replicas} replicas, slowdown {self.slowdown:g}, {spot}, load {self.load:g}"
        )

    def cluster(self) -> Cluster:
        """With racks, replicas are placed as HDFS does, and the rack rate is the geometric mean."""
        tasks = SampledTasks(
            self.replicas, 1.0, HOT if self.hot else None, "hdfs" if self.racks else "uniform"
        )
        rack = self.slowdown**-0.5 if self.racks else None
        return Cluster.numbered(
            self.servers,
            Rates(1.0, 1.0 / self.slowdown, rack),
            tasks,
            racks=RACKS[self.servers] if self.racks else 1,
            service=LAWS[self.law],
        )


def grid(quick: bool) -> Iterator[Case]:
    """Slotted with alpha = 1; the laws other than the exponential one in continuous time only."""
    clocks: list[tuple[Clock, str]] = [("slotted", "exponential")]
    clocks += [("continuous", law) for law in (("exponential",) if quick else LAWS)]
    for (clock, law), servers, racks, replicas, slowdown, hot, load in itertools.product(
        clocks, RACKS, (False, True), (1, 2, 3), (2.0, 4.0), (False, True), LOADS
    ):
        case = Case(clock, law, servers, racks, replicas, slowdown, hot, load)
        if quick and (servers > 8 or slowdown > 2.0 or load not in QUICK_LOADS):
            continue
        if law == "exponential" or load in OTHER_LOADS:
            yield case


def ratio(case: Case, policies: Sequence[str | SchedulingPolicy], seed: int) -> Estimate | None:
    """Mean completion time over that of the first policy; None where either is not steady."""
    cluster = case.cluster()
    # Capacities are from about half to all of alpha M.
    horizon = float(round(TASKS[case.servers] / (0.75 * case.load * case.servers)))
    for longer in (1.0, 4.0):
        try:
            found = simulate_cluster(
                cluster, policies, load=case.load, clock=case.clock, percentiles=False, seed=seed,
                horizon=longer * horizon, warmup=float(round(longer * horizon / 3)),
                replications=REPLICATIONS, threads=1,
            )  # fmt: skip
        except RunTooShortError:
            continue
        return found.policies[1].ratio
    return None


def show(ratios: dict[Case, Estimate]) -> None:
    """Quantiles for each kind, then every system that is worse beyond its interval."""
    kinds: dict[tuple[str, str], list[Estimate]] = defaultdict(list)
    for case, one in ratios.items():
        kinds[case.kind].append(one)
    table = Table(
        "Clock", "Systems", "", "least", "median", "90 %", "most", "worse", "most beyond",
        title="Mean completion time of late binding over that of local tasks first",
        caption="worse: above 1 beyond the 95 % interval; beyond: of these, by the interval's end",
    )  # fmt: skip
    for (clock, kind), found in kinds.items():
        quantiles = np.quantile([one.value for one in found], [0.0, 0.5, 0.9, 1.0])
        low = [one.low for one in found]
        table.add_row(
            clock, kind, str(len(found)), *(f"{q:.3f}" for q in quantiles),
            str(sum(each > 1.0 for each in low)), f"{max(*low, 1.0):.3f}",
        )  # fmt: skip
    console = Console(width=110)
    console.print(table)
    worse = sorted((one.low, case) for case, one in ratios.items() if one.low > 1.0)
    for _, case in reversed(worse):
        one = ratios[case]
        console.print(f"{one.value:.3f} ± {one.half_width:.3f}  {case.name}", highlight=False)


def main() -> None:
    """Run the grid and print; progress goes to stderr."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true", help="8 servers, slowdown 2, three loads")
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    ratios: dict[Case, Estimate] = {}
    cases = list(grid(given.quick))
    for case in track(cases, console=Console(stderr=True)):
        if (one := ratio(case, ("local_first", "late_binding"), given.seed)) is not None:
            ratios[case] = one
    print(f"{len(cases) - len(ratios)} of {len(cases)} systems without a steady state are left out")
    show(ratios)


if __name__ == "__main__":
    main()
