"""Coverage of the intervals of `isocline measure`: `python -m benchmarks.measure_coverage [runs]`.

Short sweeps of emulated servers whose curves are known, through HTTP and all, on virtual time: the
share of 95 % intervals that hold the true rate, of the levels that were measured and of the curve
that was fitted to them. A workload between whole numbers, as where requests wait for a connection,
is looked up between the curve's whole numbers.
"""

import sys
import time
from dataclasses import dataclass

import numpy as np

from isocline.emulator.settings import Settings
from isocline.loadgen import LoadSettings, Schedule
from isocline.model.curves import Curve, HyperbolicCurve, KneeCurve, ServersCurve
from isocline.model.traffic import DeterministicSizes, ExponentialSizes, LognormalSizes, Sizes
from isocline.sweep import SweepResult, SweepSettings
from isocline.sweep.run import Sweep
from tests.emulator.in_memory import emulating
from tests.virtual_time import LoopClock, run_virtually

RUNS = 200


@dataclass(frozen=True)
class Case:
    """A server, and how it is swept."""

    name: str
    curve: Curve
    sizes: Sizes
    most: int = 32
    precision: float = 0.08
    limit: float = 60.0
    max_num_seqs: int | None = None

    def truth(self, workload: float) -> float:
        """Rate at a workload, jobs/s."""
        served = workload if self.max_num_seqs is None else min(workload, self.max_num_seqs)
        return float(self.curve.rate(np.float64(served)))


CASES = [
    Case("hyperbolic, exponential sizes", HyperbolicCurve(40.0, 6.0), ExponentialSizes()),
    Case("knee, equal sizes", KneeCurve(40.0, 8.0, 3.0), DeterministicSizes(), limit=30.0),
    Case("hyperbolic, lognormal:cv=2", HyperbolicCurve(80.0, 6.0), LognormalSizes(2.0)),
    Case(
        "8 served at a time, exponential",
        HyperbolicCurve(40.0, 6.0),
        ExponentialSizes(),
        max_num_seqs=8,
    ),
    Case("4 servers, exponential sizes", ServersCurve(10.0, 4), ExponentialSizes(), most=16),
]


def swept(case: Case, seed: int) -> SweepResult:
    """One sweep on virtual time."""

    async def scenario() -> SweepResult:
        settings = Settings(
            case.curve, unit="jobs", sizes=case.sizes, seed=seed, max_num_seqs=case.max_num_seqs
        )
        async with emulating(settings) as server:
            load = LoadSettings(f"http://127.0.0.1:{server.port}", model="m")
            asked = SweepSettings(load, case.most, case.precision, case.limit)
            schedule = Schedule.poisson(100.0, 1.0, 4, 4)
            return await Sweep(asked, schedule, LoopClock(), cpu=lambda: 0.0).run()

    return run_virtually(scenario())


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    for case in CASES:
        began = time.process_time()
        levels: list[bool] = []
        curves: list[bool] = []
        results = [swept(case, seed) for seed in range(runs)]
        for result in results:
            for point in result.curve.points:
                truth = case.truth(point.workload)
                levels.append(abs(point.rate - truth) <= 1.96 * (point.error or 0.0))
                low, high = result.curve.interval(point.workload)
                curves.append(low <= truth and (high is None or truth <= high))
        visits = np.mean([len(result.visits) for result in results])
        seconds = np.mean([result.seconds for result in results])
        done = np.mean([sum(p.completions for p in r.curve.points) for r in results])
        print(
            f"{case.name:36} levels {np.mean(levels):6.1%}  curve {np.mean(curves):6.1%}  "
            f"({len(levels)} intervals; {visits:.1f} visits, {done:.0f} requests in "
            f"{seconds:.0f} s; reached {np.mean([r.reached for r in results]):.0%}; CPU "
            f"{time.process_time() - began:.0f} s)",
            flush=True,
        )


if __name__ == "__main__":
    main()
