"""Replications in lanes beside one at a time, on one core: `python -m benchmarks.lanes`.

Both kernels simulate the same replications in the same run, in turn; a figure is the best of
several rounds, in jobs (arrivals) per second of the processor. What counts is the ratio. Their
results are compared, too, and must be equal to the last bit.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.lanes_kernel import COUNTED, SUMMED, WIDTH, lanes, run_lanes
from benchmarks.rivals import CHOICES
from benchmarks.simulation import stations
from isocline.model.curves import HyperbolicCurve
from isocline.model.fleet import RoutingSystem
from isocline.policies.parse import parse
from isocline.simulate.common.kernels import counters
from isocline.simulate.common.replication import Run
from isocline.simulate.routing.engines import ChainEngine
from isocline.simulate.routing.prepare import prepare
from isocline.simulate.routing.run_settings import RunSettings
from tests.builders import fleet

ROUNDS = 7
TICKS = 200_000  # of each replication in each round
LARGEST = 4096  # tabulated for the lanes


@final
@dataclass(frozen=True)
class Row:
    """One system: millions of jobs per second, alone and in lanes, and whether results agree."""

    case: str
    alone: float
    lanes: float
    same: bool


def measured(case: str, system: RoutingSystem, d: int, replications: int = WIDTH) -> Row:
    """Run the same replications both ways, in turn."""
    prepared, policy = prepare(system), parse(f"power_of_d:d={d}")
    settings = RunSettings(1.0, percentiles=False, start="fluid")
    engines = [ChainEngine(Run(prepared, policy, settings, i)) for i in range(replications)]
    first = engines[0]
    runs = lanes(
        np.array([one.streams.events for one in engines]),
        np.array([one.streams.policy for one in engines]),
        np.array([one.view.workload for one in engines]),
        np.array([one.gauge[counters.RATE] for one in engines]),
        first.size - 1,
    )
    tables = first.system._replace(rate=prepared.rates(LARGEST))
    seconds: list[tuple[float, float]] = []
    for number in range(ROUNDS + 1):  # the first compiles, and warms up
        ticks = (number + 1) * TICKS
        begun = time.process_time()
        for one in engines:
            one.advance(ticks / one.system.speed)
        between = time.process_time()
        assert run_lanes(runs, tables, d, ticks) == counters.DONE
        seconds.append((between - begun, time.process_time() - between))
    jobs = sum(int(one.count[counters.ARRIVALS]) for one in engines) / (ROUNDS + 1) / 1e6
    same = all(
        np.array_equal(runs.counter[COUNTED, i], one.count[COUNTED])
        and np.array_equal(runs.gauge[SUMMED, i], one.gauge[SUMMED])
        for i, one in enumerate(engines)
    )
    alone, in_lanes = (min(column) for column in zip(*seconds[1:], strict=True))
    return Row(case, jobs / alone, jobs / in_lanes, same)


def rows() -> Iterator[Row]:
    for d in (2, CHOICES):
        yield measured(f"JSQ({d}), 100 servers, load 0.9", stations(), d)
    for count in (8, 4):
        yield measured(f"  the same, {count} replications", stations(), CHOICES, count)
    for backends in (1_000, 10_000):
        curve = HyperbolicCurve(40.0, 12.0)
        system = fleet([curve] * backends, [0.7 * backends * curve.supremum])
        yield measured(f"JSQ({CHOICES}), {backends:,} like curves", system, CHOICES)


def main() -> None:
    table = Table(
        "Case", "Alone", "In lanes", "Ratio", "Bit-identical",
        title="Replications in lanes, one core",
        caption=f"million jobs/s, best of {ROUNDS} rounds; {os.cpu_count()} cores, "
        f"{os.getloadavg()[0]:.1f} busy at the start",
    )  # fmt: skip
    for row in rows():
        figures = f"{row.alone:.1f}", f"{row.lanes:.1f}", f"{row.lanes / row.alone:.2f} ×"
        table.add_row(row.case, *figures, "yes" if row.same else "[bold]no[/bold]")
    Console().print(table)


if __name__ == "__main__":
    main()
