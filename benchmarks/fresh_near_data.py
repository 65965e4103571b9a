"""Help near the data, judged on systems drawn at random: `python -m benchmarks.fresh_near_data`.

System number i of a seed is always the same: servers, racks, replicas, where data is and how
popular it is, speeds, law of service, clock and load are all drawn from (seed, i). It is
simulated under the rule and the others with the same arrivals and, in continuous time, the same
service draws.
A system in which the rule is slower than one of the others beyond the 95 % interval is run again,
eight times as long and with other draws, since of thousands of intervals some miss by chance: only
what is seen twice counts. `--first` and `--systems` make pieces, whose `--out` files, lines of
JSON, `--show` puts together.
"""

import argparse
import json
import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from isocline.errors import RunTooShortError
from isocline.model.cluster import (
    Cluster,
    ExplicitTasks,
    HotSpot,
    Rates,
    SampledTasks,
    ServiceLaw,
    popular_tasks,
    zipf_weights,
)
from isocline.model.traffic import DeterministicSizes, ExponentialSizes, LognormalSizes
from isocline.simulate.common.estimate import Estimate
from isocline.simulate.common.run_settings import Clock
from isocline.simulate.scheduling.compare import simulate_cluster

RULE, OTHERS = "priced_help", ("late_binding", "local_first")
LAWS: dict[str, ServiceLaw] = {
    "exponential": ExponentialSizes(),
    "deterministic": DeterministicSizes(),
    "lognormal": LognormalSizes(1.5),
}
TASKS = 40_000  # in all replications together
REPLICATIONS = 5
AGAIN = 8  # times as long


@final
@dataclass(frozen=True)
class System:
    """A cluster, and how it is run."""

    number: int
    clock: Clock
    law: str
    servers: int
    racks: int
    replicas: int
    local: float
    rack: float | None
    remote: float
    hot: HotSpot | None
    chunks: int  # 0: each task has a chunk of its own
    zipf: float
    load: float

    @classmethod
    def drawn(cls, seed: int, number: int) -> "System":
        """System of this number; one in four has the slotted clock."""
        rng = np.random.default_rng((seed, number))
        slotted = rng.random() < 0.25
        law = "exponential" if slotted or rng.random() < 0.5 else str(rng.choice(list(LAWS)))
        servers = round(math.exp(rng.uniform(math.log(2), math.log(200))))
        racks = 1
        if servers >= 8 and rng.random() < 0.6:
            racks = int(rng.integers(2, min(servers // 3, 10) + 1))
            servers -= servers % racks
        most = 3 if racks > 1 else 4
        replicas = int(rng.integers(1, min(most, servers // 2) + 1))
        local = float(rng.choice([1.0, rng.uniform(0.05, 1.0)])) if slotted else 1.0
        remote = local * math.exp(-rng.uniform(math.log(1.1), math.log(6.0)))
        rack = local * (remote / local) ** rng.uniform(0.1, 0.9) if racks > 1 else None
        hot = None
        if rng.random() < 0.6:
            part = rng.uniform(0.1, 0.9)
            if racks > 1:  # whole racks, two or more: capacities are known from few groups
                part = min(max(round(part * racks), 2), racks - 2) / racks
            if min(part, 1 - part) * servers >= replicas and racks not in (2, 3):
                hot = HotSpot(part, rng.uniform(part, 1.0))
        chunks = int(rng.integers(1, 6) * servers) if rng.random() < 0.4 else 0
        if racks > 1 and servers > 24:
            chunks = 0  # else the plan takes minutes
        zipf = rng.uniform(0.0, 1.2)
        load = rng.uniform(0.2, 0.98)
        return cls(
            number, "slotted" if slotted else "continuous", law, servers, racks, replicas,
            local, rack, remote, hot, chunks, zipf, load,
        )  # fmt: skip

    def cluster(self) -> Cluster:
        """Servers, rates and tasks."""
        place = "hdfs" if self.racks > 1 else "uniform"
        rates = Rates(self.local, self.remote, self.rack)
        sampled = SampledTasks(self.replicas, 1.0, self.hot, place)
        found = Cluster.numbered(
            self.servers, rates, sampled, racks=self.racks, service=LAWS[self.law]
        )
        if not self.chunks:
            return found
        weights = zipf_weights(self.chunks, self.zipf)
        tasks: ExplicitTasks = popular_tasks(
            sampled.on(found.rack), self.servers, 1.0, weights, self.number
        )
        return Cluster.numbered(
            self.servers, rates, tasks, racks=self.racks, service=LAWS[self.law]
        )

    @property
    def kind(self) -> str:
        """By what the results are grouped."""
        racks = "racks" if self.racks > 1 else "no racks"
        replicas = "1 replica" if self.replicas == 1 else "2 to 4 replicas"
        return f"{self.clock}, {racks}, {replicas}"


def compared(system: System, rule: str, seed: int, times: float) -> dict[str, Estimate] | None:
    """Mean completion time of the rule over that of each other policy; inf if it is not steady.

    A policy without a steady state is left out; None: none has one, or all need longer runs.
    """
    cluster = system.cluster()
    tasks = times * max(TASKS, 400 * system.servers) / REPLICATIONS
    # Capacities are from about half to all of alpha M.
    horizon = round(tasks / (0.75 * system.load * system.servers * system.local))
    for longer in (1, 4, 16):
        try:
            found = simulate_cluster(
                cluster, (rule, *OTHERS), load=system.load, clock=system.clock, percentiles=False,
                seed=seed, horizon=float(longer * horizon),
                warmup=float(round(longer * horizon / 4)), replications=REPLICATIONS, threads=1,
            )  # fmt: skip
        except RunTooShortError:
            continue
        steady = [each for each in found.policies[1:] if each.status == "stable"]
        if found.policies[0].status != "stable":
            lost = Estimate(math.inf, math.inf, math.inf)
            return {each.policy: lost for each in steady} or None
        inverse = {each.policy: each.ratio for each in steady}
        return {
            name: Estimate(1.0 / one.value, 1.0 / one.high, 1.0 / one.low)
            for name, one in inverse.items()
            if one is not None
        }
    return None


def judged(system: System, rule: str, seed: int) -> dict[str, Any]:
    """Record of one system; what is worse beyond the interval is tried again."""
    record: dict[str, Any] = asdict(system) | {"kind": system.kind, "again": False, "ratio": None}
    found = compared(system, rule, seed, 1.0)
    if found is not None and any(one.low > 1.0 for one in found.values()):
        record["again"] = True
        found = compared(system, rule, seed + 1, AGAIN) or found
    if found is not None:
        record["ratio"] = {name: [one.value, one.low, one.high] for name, one in found.items()}
    return record


def show(records: Iterable[dict[str, Any]]) -> None:
    """Quantiles for each kind and rival, then every system that is worse beyond its interval."""
    ratio: dict[tuple[str, str], list[Estimate]] = defaultdict(list)
    worse, unsteady, again = [], 0, 0
    for record in records:
        unsteady += record["ratio"] is None
        again += record["again"]
        for other, three in (record["ratio"] or {}).items():
            one = Estimate(*three)
            ratio[other, record["kind"]].append(one)
            if one.low > 1.0:
                worse.append((one.low, other, one, record))
    table = Table(
        "Rival", "Systems", "", "least", "5 %", "median", "95 %", "most", "better", "worse",
        title="Mean completion time over the rival's",
        caption="better, worse: beyond the 95 % interval; worse ones were run again, longer",
    )  # fmt: skip
    for (other, kind), found in sorted(ratio.items()):
        quantiles = np.quantile([one.value for one in found], [0.0, 0.05, 0.5, 0.95, 1.0])
        table.add_row(
            other, kind, str(len(found)), *(f"{q:.3f}" for q in quantiles),
            str(sum(one.high < 1.0 for one in found)), str(sum(one.low > 1.0 for one in found)),
        )  # fmt: skip
    console = Console(width=130)
    console.print(table)
    print(f"{unsteady} without a steady state; {again} were run again")
    for _, other, one, record in sorted(worse, key=lambda each: -each[0]):
        figure = f"{one.value:.3f} ± {one.half_width:.3f} of {other}"
        console.print(figure, {key: record[key] for key in _SHOWN}, highlight=False)


_SHOWN = (
    "number", "clock", "law", "servers", "racks", "replicas", "local", "rack", "remote", "hot",
    "chunks", "zipf", "load",
)  # fmt: skip


def lines(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """Records of several pieces."""
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def main() -> None:
    """Run a piece, or show pieces; progress goes to stderr."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rule", default=RULE, help=f"what is judged; {RULE} by default")
    options.add_argument("--systems", type=int, default=100)
    options.add_argument("--first", type=int, default=0)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--out", type=Path, help="append a line of JSON for each system")
    options.add_argument("--show", type=Path, nargs="+", help="run nothing, show such files")
    given = options.parse_args()
    if given.show:
        show(lines(given.show))
        return
    records = []
    numbers = range(given.first, given.first + given.systems)
    for number in track(numbers, console=Console(stderr=True)):
        records.append(judged(System.drawn(given.seed, number), given.rule, given.seed))
        if given.out:
            with given.out.open("a") as file:
                file.write(json.dumps(records[-1]) + "\n")
    show(records)


if __name__ == "__main__":
    main()
