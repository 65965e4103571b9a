"""Savings that an audit promises against the truth, on virtual time: `python -m benchmarks.audit_virtual`.

20 fleets of three to five backends drawn at random: hyperbolic and knee curves whose peaks differ
by up to five times and knees by up to eight, at loads of 0.5 to 0.8, behind a router by the fewest
jobs or by the fewest over the capacity. Its log, of 2,000 completions or more of each backend, is
audited; the truth is the mean latency of `gmsr_secant` with the true curves on the same arrivals
and the same work. About two minutes; `--quick` has five fleets. `--first` draws others, `--cv` has
lognormal work in place of exponential.
"""  # noqa: E501

import argparse
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from isocline.audit import Audit, audit_log
from isocline.model.curves import Curve, HyperbolicCurve, KneeCurve
from isocline.model.traffic import Trace
from isocline.simulate.routing.compare import simulate
from tests.audit.virtual_router import (
    Choice,
    Job,
    Size,
    exponential,
    fewest,
    jobs_of,
    lognormal,
    works,
    written,
)
from tests.builders import fleet

LEAST = 2000  # completions of each backend
FLEETS, QUICK = 20, 5
GOAL = 3.0  # points


class Case(NamedTuple):
    """One fleet, its router, and a log."""

    curves: tuple[Curve, ...]
    load: float
    router: str
    jobs: list[Job]


def case(seed: int, size: Size = exponential) -> Case:
    rng = np.random.default_rng(seed + 100)
    curves: list[Curve] = []
    for _ in range(int(rng.integers(3, 6))):
        peak = float(np.exp(rng.uniform(np.log(40.0), np.log(200.0))))
        knee = float(np.exp(rng.uniform(np.log(3.0), np.log(24.0))))
        if rng.random() < 0.5:
            curves.append(HyperbolicCurve(peak, knee))
        else:
            curves.append(KneeCurve(peak, knee, float(rng.uniform(1.5, 4.0))))
    load = float(rng.uniform(0.5, 0.8))
    peaks = [curve.supremum for curve in curves]

    def by_capacity(jobs: list[int], _frontend: int, _rng: np.random.Generator) -> int:
        return int(np.argmin([(held + 1) / peak for held, peak in zip(jobs, peaks, strict=True)]))

    choose: Choice = fewest if seed % 2 == 0 else by_capacity  # type: ignore[assignment]
    count = 3200 * len(curves)
    while True:
        jobs = jobs_of(curves, [load * sum(peaks)], count, choose, seed, size)
        fewest_done = int(np.bincount([it.backend for it in jobs], minlength=len(curves)).min())
        if fewest_done >= LEAST:
            router = "fewest jobs" if seed % 2 == 0 else "fewest by capacity"
            return Case(tuple(curves), load, router, jobs)
        count = int(count * 1.1 * LEAST / max(fewest_done, 1)) + 1


def truth(found: Case, replayed: int) -> float:
    """Saving of gmsr_secant that knows the curves, on the requests that the audit replays."""
    jobs = found.jobs[:replayed]
    times = np.array([it.start for it in jobs])
    none = np.zeros(times.size)
    trace = Trace("log", times - times[0], none, none, works(jobs))
    system = fleet(found.curves, [1.0])
    best = simulate(system, ["gmsr_secant"], trace=trace, replications=3, percentiles=False)
    latency = best.policies[0].mean_latency
    assert latency is not None
    return 1.0 - latency.value / float(np.mean([it.end - it.start for it in jobs]))


def audited(found: Case, folder: Path, seed: int) -> Audit:
    log = written(found.jobs, folder / "log.csv")
    return audit_log(log, edges=["*=*"], policies=["gmsr_secant"], seed=seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--first", type=int, default=0, help="number of the first fleet")
    parser.add_argument("--cv", type=float, help="coefficient of variation of lognormal work")
    given = parser.parse_args()
    size = exponential if given.cv is None else lognormal(given.cv)
    errors, widths, inside = [], [], 0
    print("| fleet | load | router | promised, % | true, % | off by |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(given.first, given.first + (QUICK if given.quick else FLEETS)):
            found = case(seed, size)
            made = audited(found, Path(folder), seed)
            saving = made.policies[0].saving
            true = truth(found, made.replayed)
            errors.append(100.0 * (saving.value - true))
            widths.append(50.0 * (saving.high - saving.low))
            inside += saving.low <= true <= saving.high
            print(
                f"| {seed} | {found.load:.2f} | {found.router} | {100 * saving.value:.1f} "
                f"({100 * saving.low:.0f} to {100 * saving.high:.0f}) | {100 * true:.1f} "
                f"| {errors[-1]:+.1f} |",
                flush=True,
            )
    off = np.array(errors)
    print(
        f"\n{int((np.abs(off) <= GOAL).sum())} of {off.size} within {GOAL:g} points, mean "
        f"{off.mean():+.1f}, root mean square {np.sqrt((off**2).mean()):.1f}; the interval holds "
        f"the truth of {inside}, and is ± {np.mean(widths):.1f} on average"
    )


if __name__ == "__main__":
    main()
