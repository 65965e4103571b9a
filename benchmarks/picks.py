"""Picks by arithmetic beside picks by branches, on one core: `python -m benchmarks.picks`.

Both functions choose in the same kernel for the same system, seed and replication, in turn, in one
run; a figure is the best of several rounds, in jobs (arrivals) per second of the processor. What
counts is the ratio. Results are compared, too, and must be equal to the last bit.
"""

import os
import time

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.simulation import fleet
from isocline.policies.parse import parse
from isocline.policies.routing.picks import least, least_of_many
from isocline.policies.routing.power_of_d import least_of_sample, least_of_short_sample
from isocline.simulate.common.kernels import counters
from isocline.simulate.common.replication import Run
from isocline.simulate.routing.engines import ChainEngine
from isocline.simulate.routing.prepare import prepare
from isocline.simulate.routing.run_settings import RunSettings

ROUNDS = 7
JOBS = 500_000  # of each round


def measured(policy: str, degree: int) -> tuple[list[float], bool]:
    """Millions of jobs per second by branches and by arithmetic, and whether results agree."""
    prepared = prepare(fleet(1_000, degree))
    length = JOBS / float(prepared.system.rates.sum())
    engines = []
    sampled = ":d=" in policy
    pair = (least_of_sample, least_of_short_sample) if sampled else (least_of_many, least)
    for choose in pair:
        settings = RunSettings(1.0, start="fluid", percentiles=False)
        engines.append(ChainEngine(Run(prepared, parse(policy), settings)))
        engines[-1].choose = choose
    speeds: list[list[float]] = [[], []]
    for number in range(ROUNDS + 1):
        for engine, noted in zip(engines, speeds, strict=True):
            before, begun = int(engine.count[counters.ARRIVALS]), time.process_time()
            engine.advance((number + 1) * length)
            seconds = time.process_time() - begun
            if number:  # the first compiles, and warms up
                noted.append((int(engine.count[counters.ARRIVALS]) - before) / seconds / 1e6)
    one, other = engines
    same = np.array_equal(one.count, other.count) and np.array_equal(one.gauge, other.gauge)
    return [max(noted) for noted in speeds], same


def main() -> None:
    table = Table(
        "1 000 × 1 000, load 0.7", "By branches", "By arithmetic", "Ratio", "Bit-identical",
        title="The least of all candidates, or of a sample, one core",
        caption=f"million jobs/s, best of {ROUNDS} rounds; {os.cpu_count()} cores, "
        f"{os.getloadavg()[0]:.1f} busy at the start",
    )  # fmt: skip
    for policy in ("gmsr", "gmsr:ties=first", "jsq", "gmsr:d=2", "gmsr:d=3"):
        for degree in (10, 30, 64):
            (branches, mask), same = measured(policy, degree)
            figures = f"{branches:.1f}", f"{mask:.1f}", f"{mask / branches:.2f} ×"
            table.add_row(f"{policy}, degree {degree}", *figures, "yes" if same else "no")
    Console().print(table)


if __name__ == "__main__":
    main()
